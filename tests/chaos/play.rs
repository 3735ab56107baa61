//! One storm, from its seed to the peace after it.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::cast::{FORWARDER, Link, Member, Way};
use super::ledger::{FIRST, World};
use super::node::Book;
use super::readers::reader;
use super::schedule::{Act, Schedule, Step};
use super::support::{Account, Operator, Server, now};
use super::writers::{Desk, writer};

/// A step that takes longer is told.
const SLOW: Duration = Duration::from_secs(3);
const WRITERS: u64 = 3;
const READERS_OF_EACH: u64 = 2;
/// How often is looked how far each node has come.
const LOOK: Duration = Duration::from_millis(250);

pub(super) struct Play {
    pub(super) seed: u64,
    pub(super) world: Arc<World>,
    pub(super) members: Vec<Member>,
    pub(super) links: Vec<Link>,
    /// A primary of another operator.
    liar: Server,
    backups: Vec<(tempfile::TempDir, Book)>,
}

impl Play {
    pub(super) async fn new(seed: u64) -> Self {
        let world = World::new();
        let (members, links) = Member::all(&world.operator).await;
        let operator = Operator::new();
        let liar = Server::primary(&operator).await;
        for subject in &world.accounts[..2 * FIRST] {
            lie(&operator, &liar, &subject.account).await;
        }
        let mut play = Self { seed, world, members, links, liar, backups: Vec::new() };
        for number in 0..play.members.len() {
            play.start(number, 0).await;
        }
        play
    }

    pub(super) fn desk(&self) -> Desk {
        let node = |number: usize| self.members[number].node.clone();
        Desk { primary: node(0), forwarder: node(FORWARDER) }
    }

    pub(super) async fn start(&mut self, number: usize, skew: i64) {
        // Who waits for an answer of the primary is told the truth by its clock.
        let skew = if number == 0 { 0 } else { skew };
        self.members[number].start(skew).await;
        let host = self.host(number);
        self.links.iter_mut().filter(|link| link.to == number).for_each(|link| link.leads_anew(&host));
    }

    pub(super) fn host(&self, number: usize) -> String {
        self.members[number].server.as_ref().map_or_else(|| "127.0.0.1:1".to_owned(), |server| server.host().to_owned())
    }

    pub(super) fn link(&mut self, link: usize, way: Way) {
        let target = self.host(self.links[link].to);
        self.links[link].is(way, &target, self.liar.host());
    }

    /// Storm and peace.
    pub(super) async fn run(mut self, storm: Duration) {
        println!("CHAOS_SEED={}", self.seed);
        let world = self.world.clone();
        let desk = self.desk();
        for subject in 0..FIRST {
            let number = world.mint(subject, 1);
            assert_eq!(desk.push(&world, false, number).await, Some(200));
        }
        let mut cast = JoinSet::new();
        for number in 0..WRITERS {
            cast.spawn(writer(world.clone(), desk.clone(), self.seed * 100 + number));
        }
        for (member, seed) in self.members.iter().zip(0..) {
            for number in 0..READERS_OF_EACH {
                let seed = self.seed * 100 + 10 + 10 * seed + number;
                cast.spawn(reader(world.clone(), member.node.clone(), seed));
            }
            let (world, node) = (world.clone(), member.node.clone());
            cast.spawn(async move {
                while !world.is_over() {
                    node.remember();
                    sleep(LOOK).await;
                }
            });
        }
        let (began, mut steps) = (Instant::now(), 0);
        let mirrors = (1..self.members.len()).filter(|number| self.members[*number].is_mirror).collect();
        for step in Schedule::new(self.seed, self.members.len(), self.links.len(), mirrors) {
            if began.elapsed() > storm || world.is_over() {
                break;
            }
            sleep(step.pause).await;
            world.note_all(&format!("{step:?}"));
            let begun = Instant::now();
            self.take(step).await;
            if begun.elapsed() > SLOW {
                println!("CHAOS_SEED={}: {step:?} took {:.1} s", self.seed, begun.elapsed().as_secs_f64());
            }
            steps += 1;
        }
        self.heal();
        world.end();
        while let Some(ended) = cast.join_next().await {
            ended.expect("all who take part see what they expect");
        }
        world.judge(self.seed);
        let stormed = began.elapsed();
        self.settle().await;
        println!(
            "CHAOS_SEED={}: {steps} steps in {:.1} s, peace after {:.1} s, {} accounts, {:?}",
            self.seed,
            stormed.as_secs_f64(),
            began.elapsed().as_secs_f64(),
            world.used(),
            world.ledger().counts
        );
    }

    /// Ends all that hinders.
    fn heal(&mut self) {
        self.members.iter().for_each(|member| member.stop(false));
        (0..self.links.len()).for_each(|link| self.link(link, Way::Open));
    }

    async fn take(&mut self, step: Step) {
        match step.act {
            Act::Kill(number) => {
                self.members[number].kill();
                sleep(step.down).await;
                self.start(number, step.skew).await;
            }
            Act::Terminate(number) => {
                self.members[number].end().await;
                sleep(step.down).await;
                self.start(number, step.skew).await;
            }
            Act::Stop(number) => self.members[number].stop(true),
            Act::Continue(number) => self.members[number].stop(false),
            Act::BlackHole(link) => self.link(link, Way::Silent),
            Act::Cut(link) => self.link(link, Way::Cut),
            Act::Mislead(link) => self.link(link, Way::Misled),
            Act::Heal(link) => self.link(link, Way::Open),
            Act::Backup => {
                self.members[0].end().await;
                let backup = tempfile::tempdir().unwrap();
                copy(self.members[0].dir(), backup.path());
                self.backups.push((backup, self.members[0].node.book()));
                self.start(0, step.skew).await;
            }
            Act::Restore(nth) => {
                self.members[0].kill();
                sleep(step.down).await;
                let folder = tempfile::tempdir().unwrap();
                let mut book = Book::new();
                if let Some(nth) = nth.checked_rem(self.backups.len()) {
                    copy(self.backups[nth].0.path(), folder.path());
                    book = self.backups[nth].1.clone();
                }
                self.goes_back(folder, book);
                self.start(0, step.skew).await;
            }
            Act::Empty => {
                self.members[0].end().await;
                sleep(step.down).await;
                self.goes_back(tempfile::tempdir().unwrap(), Book::new());
                self.start(0, step.skew).await;
            }
            Act::Promote(succession) => self.promote(succession, step.skew).await,
            Act::Move { link, to } => self.moves(link, to).await,
        }
    }

    fn goes_back(&mut self, folder: tempfile::TempDir, book: Book) {
        self.members[0].folder = Some(folder);
        self.members[0].node.becomes(book);
        self.world.went_back.store(true, Ordering::Relaxed);
    }
}

/// A JWT for somebody's account, signed by another operator.
async fn lie(operator: &Operator, liar: &Server, account: &Account) {
    liar.http.post(&account.path(), operator.sign(&account.claims(now()))).await.expect(200);
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
