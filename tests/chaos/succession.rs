//! A mirror takes the place of the primary, as the runbook says.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use nats_account_server::feed::wire::Page;
use tokio::time::sleep;

use super::cast::Way;
use super::moves::position;
use super::node::Book;
use super::play::Play;
use super::readers::read;
use super::schedule::Succession;
use super::support::command::run;
use super::witness::Witness;

/// How long a mirror may take to have everything. More is no fault: it may have to compare.
const LEVEL: Duration = Duration::from_secs(3);

/// What a promotion says of accounts that upstream must be asked about first. If that never ends, the end of the play shows it.
const DOUBT: &str = "the primary may have had something else than what the mirror served";

impl Play {
    /// The primary ends for good, and a mirror is promoted. If that is incomplete, both go on as before.
    pub(super) async fn promote(&mut self, Succession { mirror, is_planned, is_kept }: Succession, skew: i64) {
        let world = Arc::clone(&self.world);
        [0, mirror].into_iter().for_each(|number| self.members[number].stop(false));
        let turns = if is_planned { Some(world.all_turns().await) } else { None };
        let shown = if is_planned { self.catches_up(mirror).await } else { None };
        self.members[0].kill();
        drop(turns);
        let name = self.members[mirror].node.name;
        let reached = match self.http(mirror) {
            Some(http) => position(http, "").await,
            None => None,
        };
        self.members[mirror].end().await;
        let folder = self.members[mirror].dir().to_str().unwrap().to_owned();
        let promoted = run(["-dir", &folder, "-operator", &world.operator.jwt(), "promote"]).await;
        world.note_all(&format!("promotion of {name}, which has {reached:?}: {promoted:?}"));
        let Some(reached) = reached.filter(|_| promoted.status == 0) else {
            world.ledger().count("promotions refused".to_owned());
            // After the mirror has said that it is in sync, a hub may still have given it something that the primary has lost.
            if shown.is_some() && !promoted.stdout.contains(DOUBT) {
                world.fault(0, &format!("{name} is in sync, and cannot be promoted: {promoted:?}"));
            }
            self.start(0, 0).await;
            self.start(mirror, skew).await;
            return;
        };
        let witness = Witness::of(&world, self.members[0].dir()).await;
        let must_have = self.must_have(mirror, &witness, &reached, shown);
        world
            .ledger()
            .count(if witness.ends_at(&reached) { "promotions" } else { "promotions with losses" }.to_owned());
        if !witness.ends_at(&reached) {
            world.went_back.store(true, Ordering::Relaxed);
        }
        self.change_places(mirror, must_have, is_kept);
        self.start(0, 0).await;
        for subject in 0..world.used() {
            // Whoever asks judges.
            read(&world, &self.members[0].node, subject).await;
        }
        self.start(mirror, skew).await;
    }

    /// What the mirror has shown, and what had reached it. If that is everything, it is what the primary has shown, too.
    /// `shown`: that part of it, if the mirror was seen to have it.
    fn must_have(&self, mirror: usize, witness: &Witness, reached: &Page, shown: Option<Book>) -> Book {
        let mut book = self.members[mirror].node.book();
        let mut also = |other: Book| {
            for (subject, seen) in other {
                let both = book.remove(&subject).unwrap_or_default().and(&seen);
                book.insert(subject, both);
            }
        };
        also(witness.book(&self.world, reached));
        if let Some(shown) = shown.or_else(|| witness.ends_at(reached).then(|| self.members[0].node.book())) {
            also(shown);
        }
        book
    }

    /// The folder of the mirror becomes that of the primary, and that of the primary the mirror's, or an empty one.
    fn change_places(&mut self, mirror: usize, must_have: Book, is_kept: bool) {
        let [promoted, former] = [mirror, 0].map(|number| self.members[number].folder.take());
        let shown = self.members[0].node.book();
        self.members[0].folder = promoted;
        self.members[0].node.becomes(must_have);
        let empty = (Some(tempfile::tempdir().unwrap()), Book::new());
        let (folder, book) = if is_kept { (former, shown) } else { empty };
        self.members[mirror].folder = folder;
        self.members[mirror].node.becomes(book);
    }

    /// Opens the ways from a mirror to the primary, and waits until the mirror has everything, and can be promoted. Returns
    /// what the primary had shown by then; `None`: that takes too long.
    async fn catches_up(&mut self, mirror: usize) -> Option<Book> {
        let mut below = mirror;
        while let Some(link) = self.links.iter().position(|link| link.of == below) {
            below = self.links[link].to;
            self.members[below].stop(false);
            self.link(link, Way::Open);
        }
        let began = Instant::now();
        while began.elapsed() < LEVEL {
            let shown = self.members[0].node.book();
            if self.is_level(mirror).await {
                return Some(shown);
            }
            sleep(Duration::from_millis(20)).await;
        }
        None
    }

    async fn is_level(&self, mirror: usize) -> bool {
        let (Some(here), Some(there)) = (self.http(mirror), self.http(0)) else { return false };
        let (Some(primary), Some(mine)) = (position(there, "").await, position(here, "").await) else { return false };
        // A mirror gives its pack if it has everything, and says that it is in sync if nothing of that is in doubt.
        let answers = async |path| here.try_get(path).await.ok().filter(|reply| reply.status == 200);
        (primary.session, primary.serial, primary.chain) == (mine.session, mine.serial, mine.chain)
            && self.is_connected(mirror).await
            && answers("/jwt/v1/pack").await.is_some()
            && answers("/api/v1/status").await.is_some_and(|status| status.body.contains(r#""in_sync":true"#))
    }
}
