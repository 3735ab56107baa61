//! Who knows what was promised, and looks whether it was kept.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::time::Instant;

use nats_account_server::feed::wire::Item;

use super::world::{Asked, BUSY, World};
use super::{digest, file, flush, refused};
use crate::support::feed::Reader;
use crate::support::{Http, until};

/// The journal as its feed tells it, told again.
pub(super) struct Checker {
    feed: Reader,
    /// What stands for each account.
    heads: Vec<Head>,
    /// The accounts by their keys.
    numbers: HashMap<String, usize>,
    /// Where each change is, by its digest.
    serials: HashMap<String, u64>,
    /// The requests that were looked at: what was there stays there.
    checked: usize,
    /// The accounts that nobody works on any more, and that were looked at.
    passed: usize,
}

#[derive(Clone, Default)]
struct Head {
    /// The digest of the newest JWT and its time of issue.
    newest: Option<(String, i64)>,
    /// Of the newest deletion.
    deleted: Option<i64>,
}

impl Head {
    /// The digest of what is to be served.
    fn live(&self) -> Option<&str> {
        let (digest, iat) = self.newest.as_ref()?;
        self.deleted.is_none_or(|deleted| *iat > deleted).then_some(digest)
    }
}

impl Checker {
    pub(super) fn new(world: &World) -> Self {
        let keys = world.accounts.iter().enumerate().map(|(number, subject)| (subject.account.key(), number));
        Self {
            feed: Reader::default(),
            heads: vec![Head::default(); world.accounts.len()],
            numbers: keys.collect(),
            serials: HashMap::new(),
            checked: 0,
            passed: BUSY,
        }
    }

    /// Reads what was committed since last time. Returns every state that each account had meanwhile.
    async fn follow(&mut self, world: &World, http: &Http) -> Vec<Vec<Head>> {
        let mut states: Vec<Vec<Head>> = self.heads.iter().map(|head| vec![head.clone()]).collect();
        for item in self.feed.more(http).await {
            if item.kind != "account" {
                continue;
            }
            for subject in self.apply(world, &item) {
                states[subject].push(self.heads[subject].clone());
            }
        }
        states
    }

    /// Applies one change, which must be one that follows the rules. Returns the accounts that it is about.
    fn apply(&mut self, world: &World, item: &Item) -> Vec<usize> {
        let (text, serial) = (item.jwt.as_ref().or(item.request.as_ref()), item.serial);
        let digest = item.digest.clone().unwrap_or_else(|| digest(text.unwrap()));
        let before = self.serials.insert(digest.clone(), serial);
        assert_eq!(before, None, "change {serial} was there before: what was replaced came back");
        let ledger = world.ledger();
        if item.op == "put" {
            let minted = ledger.minted.get(&digest);
            let minted = minted.unwrap_or_else(|| panic!("nobody signed change {serial}: {text:?}"));
            let subject = self.numbers[item.key.as_ref().unwrap()];
            assert_eq!(minted.account, subject, "change {serial} is another account's");
            let head = &mut self.heads[subject];
            assert!(head.newest.as_ref().is_none_or(|(_, iat)| minted.iat >= *iat), "change {serial} is older");
            assert!(head.deleted.is_none_or(|deleted| minted.iat > deleted), "change {serial} was deleted");
            head.newest = Some((digest, minted.iat));
            return vec![subject];
        }
        assert_eq!(item.op, "delete");
        let asked = ledger.asked.iter().find(|asked| asked.digest == digest).expect("somebody asked for that");
        let subjects: Vec<usize> = item.keys.iter().map(|key| self.numbers[key]).collect();
        assert_eq!(subjects.iter().collect::<HashSet<_>>(), asked.deletes.iter().collect());
        for subject in &subjects {
            let head = &mut self.heads[*subject];
            if head.live().is_some() {
                assert!(head.newest.as_ref().unwrap().1 <= asked.iat, "change {serial} deletes what is newer");
            }
            head.deleted = head.deleted.max(Some(asked.iat));
        }
        subjects
    }

    /// Looks whether everything that was acknowledged is there, and whether what is served is what the journal says.
    /// Others may go on meanwhile.
    pub(super) async fn check(&mut self, world: &World, http: &Http) {
        // What was acknowledged before the feed was read must be in it.
        let asked: Vec<Asked> = world.ledger().asked[self.checked..].to_vec();
        let is_open =
            asked.iter().position(|asked| asked.acknowledged.is_none() && asked.sent.elapsed().as_secs() < 40);
        self.checked += is_open.unwrap_or(asked.len());
        self.follow(world, http).await;
        for asked in asked.iter().filter(|asked| asked.acknowledged.is_some()) {
            let is_there = self.serials.contains_key(&asked.digest);
            // A deletion that says nothing new is no change.
            let deletion = |subject: &usize| self.heads[*subject].deleted.is_some_and(|at| at >= asked.iat);
            let is_covered = !asked.deletes.is_empty() && asked.deletes.iter().all(deletion);
            assert!(is_there || is_covered, "an acknowledged change is lost: {}", asked.digest);
        }
        let used = world.used();
        let mut replies = Vec::new();
        for subject in (0..BUSY).chain(self.passed..used) {
            replies.push((subject, http.get(&world.accounts[subject].account.path()).await));
        }
        // The last of them may be under way.
        self.passed = used.saturating_sub(20).max(self.passed);
        let states = self.follow(world, http).await;
        for (subject, reply) in replies {
            let served = (reply.status == 200).then(|| digest(&reply.body));
            let fits = states[subject].iter().any(|state| state.live() == served.as_deref());
            let key = world.accounts[subject].account.key();
            assert!(fits && (reply.status == 200 || reply.status == 404), "{key}: {}", reply.body);
        }
    }

    /// Changes were committed in the order in which they were acknowledged: what was sent after an answer comes after
    /// what was answered.
    fn is_in_order(&self, world: &World) {
        let ledger = world.ledger();
        for subject in 0..BUSY {
            let of_subject = |asked: &&Asked| match &asked.deletes[..] {
                [] => ledger.minted[&asked.digest].account == subject,
                deletes => deletes.contains(&subject),
            };
            // The same request may have been sent again; the first time counts.
            let mut sent = HashSet::new();
            let mut committed: Vec<(u64, &Asked)> = ledger
                .asked
                .iter()
                .filter(of_subject)
                .filter(|asked| sent.insert(&asked.digest))
                .filter_map(|asked| Some((*self.serials.get(&asked.digest)?, asked)))
                .collect();
            committed.sort_by_key(|(serial, _)| *serial);
            let mut first_answer: Option<Instant> = None;
            for (serial, asked) in committed.iter().rev() {
                assert!(first_answer.is_none_or(|at| asked.sent <= at), "change {serial} overtook a later one");
                first_answer = first_answer.into_iter().chain(asked.acknowledged).min();
            }
        }
    }

    /// The end, with nobody left who changes anything: journal and folder agree, and no text is lost.
    pub(super) async fn settle(&mut self, world: &World, http: &Http) {
        let all = &world.accounts[..world.used()];
        for subject in all {
            let path = file(&world.dir, &subject.account);
            until(&format!("{} is what is served", path.display()), || async {
                let served = http.get(&subject.account.path()).await;
                match fs::read_to_string(&path) {
                    Ok(text) => served.status == 200 && served.body == text,
                    Err(_) => served.status == 404 && path.symlink_metadata().is_err(),
                }
            })
            .await;
        }
        flush(&world.dir).await;
        self.check(world, http).await;
        let mut live = 0;
        for (subject, head) in all.iter().zip(&self.heads) {
            live += usize::from(head.live().is_some());
            let found = fs::read_to_string(file(&world.dir, &subject.account)).ok();
            assert_eq!(found.map(|text| digest(&text)).as_deref(), head.live(), "{}", subject.account.key());
        }
        assert_eq!(http.metric("accounts", "").await, f64::from(u32::try_from(live).unwrap()));
        self.is_in_order(world);
        self.nothing_is_lost(world);
        let making = fs::read_dir(world.dir.join(".nats-account-server/making")).unwrap();
        assert_eq!(making.count(), 0, "nothing half made is left");
    }

    /// Every text that lay in its place for long enough was taken in, or is kept; and what is kept is somebody's.
    fn nothing_is_lost(&self, world: &World) {
        let (ledger, kept) = (world.ledger(), refused(&world.dir));
        for judged in &ledger.judged {
            let digest = digest(&String::from_utf8_lossy(&judged.text));
            assert!(
                self.serials.contains_key(&digest) || kept.iter().any(|(_, text)| *text == judged.text),
                "a text of {} is lost: {}",
                world.accounts[judged.account].account.key(),
                String::from_utf8_lossy(&judged.text)
            );
        }
        let key = |name: &str| self.numbers.contains_key(name.split('-').next().unwrap());
        for (name, text) in &kept {
            assert!(key(name), "{name} names its account");
            // Half a text may have been moved away while it was written.
            let is_theirs = ledger.written.iter().any(|written| written.starts_with(text));
            assert!(is_theirs, "{name} was pushed, not written by an editor: {}", String::from_utf8_lossy(text));
        }
    }

    /// Changes so far.
    pub(super) fn changes(&self) -> usize {
        self.serials.len()
    }
}
