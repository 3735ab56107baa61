//! Every order in which the steps of the first scan and those of somebody who asks can follow each other, for tests.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nkeys::KeyPair;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::progress::ScanStage;
use super::seam::ScanMoment;
use super::{Primary, Setup, Source};
use crate::clock;
use crate::folder;
use crate::gate::{Gate, SentFor, Standing, Trust, Via};
use crate::jwt::HashId;
use crate::key::AccountKey;
use crate::store::journal::Write;
use crate::testkit::{self, sign};

/// Where the file of an account is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FilePlace {
    /// Where its name leads.
    Flat,
    /// There, too, in a folder for the end of its name.
    Sharded,
    /// Where no name leads.
    Elsewhere,
    /// In an operator's folder of nsc, under the name that a person gave the account.
    Nsc,
    /// Where its name leads; the journal has one that is withheld.
    Resigned,
    /// There is none.
    Nowhere,
    /// Where its name leads, and what is there is refused.
    Refused,
    /// Where its name leads, and it cannot be read before the scan comes to it.
    Unreadable,
}

impl FilePlace {
    pub(crate) const ALL: [Self; 8] = [
        Self::Flat,
        Self::Sharded,
        Self::Elsewhere,
        Self::Nsc,
        Self::Resigned,
        Self::Nowhere,
        Self::Refused,
        Self::Unreadable,
    ];
    /// One of each kind: found by its name, found by the scan alone, and not to be found.
    pub(crate) const KINDS: [Self; 3] = [Self::Flat, Self::Nsc, Self::Nowhere];

    /// Whether the account has a JWT, once everything is imported.
    pub(crate) fn is_account(self) -> bool {
        !matches!(self, Self::Nowhere | Self::Refused)
    }

    /// What the scan does for accounts, in this order.
    fn scan(self) -> Vec<ScanStep> {
        match self {
            Self::Flat | Self::Sharded | Self::Resigned | Self::Unreadable => {
                vec![ScanStep::Reach(ScanStage::Placed), ScanStep::Account, ScanStep::Reach(ScanStage::Accounts)]
            }
            Self::Elsewhere => {
                vec![ScanStep::Account, ScanStep::Reach(ScanStage::Placed), ScanStep::Reach(ScanStage::Accounts)]
            }
            Self::Nsc => vec![ScanStep::Account, ScanStep::Reach(ScanStage::Complete)],
            Self::Nowhere | Self::Refused => {
                vec![ScanStep::Reach(ScanStage::Placed), ScanStep::Reach(ScanStage::Accounts)]
            }
        }
    }
}

/// A step of the scan.
#[derive(Debug, Clone, Copy)]
enum ScanStep {
    /// The account's file is imported.
    Account,
    /// The file of its activation is.
    Activation,
    Reach(ScanStage),
}

/// Moments of one who asks for an account at which the scan can go on, the last of them when that one waits.
pub(crate) const MOMENTS: usize = 6;

/// A primary whose folder is imported as the schedule says.
pub(crate) struct Scene {
    pub(crate) primary: Arc<Primary>,
    pub(crate) gate: Arc<Gate>,
    operator: KeyPair,
    /// A signing key that the operator has withdrawn, and what counted before that.
    withdrawn: (KeyPair, Arc<Standing>),
    now: i64,
    folder: tempfile::TempDir,
    place: FilePlace,
    /// What the scan does, in this order; steps that belong together at once.
    steps: Vec<Vec<ScanStep>>,
    /// When it can be done: before one who asks begins, at each moment on the way but the last, which is when that one waits.
    moments: usize,
}

/// An account that somebody asks for.
pub(crate) struct AskedAccount {
    pub(crate) key: AccountKey,
    pub(crate) jwt: String,
    /// An activation that it signed, and its hash.
    pub(crate) activation: String,
    pub(crate) id: HashId,
}

impl Scene {
    /// One in which accounts are asked for, with `moments` at which the scan can go on.
    pub(crate) async fn new(place: FilePlace, moments: usize) -> Self {
        Self::of(place, place.scan().into_iter().map(|step| vec![step]).collect(), moments).await
    }

    /// One in which the scan imports the account, and then ends.
    pub(crate) async fn brief(place: FilePlace) -> Self {
        let mut steps = place.scan();
        let end = steps.pop().into_iter().collect();
        Self::of(place, vec![steps, end], MOMENTS).await
    }

    /// One with files of activations, which lie where those of their accounts do, and are asked for.
    pub(crate) async fn with_activations(place: FilePlace) -> Self {
        let is_file = place.is_account() && place != FilePlace::Nsc;
        let activation = if is_file { vec![ScanStep::Activation] } else { vec![] };
        let steps = vec![place.scan(), activation, vec![ScanStep::Reach(ScanStage::Complete)]];
        // To import an activation takes a look at its account, which has moments of its own.
        Self::of(place, steps, 9).await
    }

    async fn of(place: FilePlace, steps: Vec<Vec<ScanStep>>, moments: usize) -> Self {
        let (operator, folder, now) =
            (KeyPair::new_operator(), tempfile::tempdir().expect("made"), clock::unix_seconds());
        let withdrawn = KeyPair::new_operator();
        let trust = |keys: &[&KeyPair], age| {
            let jwt = sign(&testkit::operator(&operator, now - age, keys), &operator);
            Trust::from_operator_jwt(&jwt, now).expect("an operator")
        };
        let gate = Arc::new(Gate::new(Some(trust(&[&withdrawn], 1_000)), None, 3_600));
        let root = folder.path().to_owned();
        std::fs::write(root.join(".nsc"), "{}").expect("written");
        let source = if place == FilePlace::Nsc { Source::Nsc(root) } else { Source::ReadOnly(root) };
        let setup = Setup::small(source);
        let primary = Arc::new(Primary::open(&setup, gate.clone()).expect("opens"));
        primary.settle_operator().await;
        let withdrawn = (withdrawn, Arc::clone(&gate.standing()));
        gate.set_trust(trust(&[], 700));
        Self { primary, gate, operator, withdrawn, now, folder, place, steps, moments }
    }

    /// Asks once in every order, each time for another account.
    pub(crate) async fn in_every_order<T>(
        &self,
        ask: impl AsyncFn(&AskedAccount) -> T,
        judge: impl Fn(T, &AskedAccount) -> Result<(), String>,
    ) {
        let mut when = vec![0; self.steps.len()];
        loop {
            let asked = self.account();
            let answer = self.ask(&asked, &when, &ask).await;
            if let Err(wrong) = judge(answer, &asked) {
                panic!("{:?}: {wrong}, where {:?} came at {when:?}", self.place, self.steps);
            }
            // The next order: a step never comes before the one that it follows.
            let Some(last) = when.iter().rposition(|at| *at < self.moments) else { return };
            let at = when[last] + 1;
            when[last..].fill(at);
        }
    }

    async fn ask<T>(&self, asked: &AskedAccount, when: &[usize], ask: &impl AsyncFn(&AskedAccount) -> T) -> T {
        let (scan, passed, last) = (self.scan(asked, when), AtomicUsize::new(0), self.moments - 1);
        self.primary.progress.restart();
        scan(0);
        let (at_moment, is_waiting) = (scan.clone(), Arc::new(Notify::new()));
        let waits = is_waiting.clone();
        self.primary.seam.set(move |moment| {
            at_moment(last.min(1 + passed.fetch_add(1, Ordering::SeqCst)));
            if moment == ScanMoment::Waiting {
                waits.notify_one();
            }
        });
        let mut answer = std::pin::pin!(ask(asked));
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            // Nothing more comes of this one before the scan has gone on.
            () = is_waiting.notified() => {
                scan(self.moments);
                answer.await
            }
        }
    }

    /// The scan: goes on with what is to be done up to a moment, each step once.
    fn scan(&self, asked: &AskedAccount, when: &[usize]) -> Arc<dyn Fn(usize) + Send + Sync> {
        let primary = self.primary.clone();
        let entry = Arc::new(self.gate.admit(asked.jwt.as_bytes(), None, Via::FirstScan, self.now).expect("admitted"));
        let activation = asked.activation.clone();
        let steps = when.iter().zip(&self.steps).flat_map(|(at, steps)| steps.iter().map(move |step| (*at, *step)));
        let left: Mutex<Vec<_>> = Mutex::new(steps.rev().collect());
        Arc::new(move |moment| {
            let next = || left.lock().pop_if(|(at, _)| *at <= moment);
            while let Some((_, step)) = next() {
                let (primary, entry, activation) = (primary.clone(), entry.clone(), activation.clone());
                let go_on = move || match step {
                    ScanStep::Reach(stage) => primary.progress.reach(stage),
                    ScanStep::Account => {
                        primary.journal.commit_blocking(Write::Put(entry, Via::FirstScan)).expect("committed");
                    }
                    ScanStep::Activation => {
                        let token = activation.as_bytes();
                        primary.submit_activation_blocking(token, SentFor::ANY, Via::FirstScan).expect("taken");
                    }
                };
                wait_for(go_on);
            }
        })
    }

    /// A new account, with its file.
    pub(crate) fn account(&self) -> AskedAccount {
        let account = KeyPair::new_account();
        let key = AccountKey::parse(&account.public_key()).expect("a key");
        let claims = testkit::account(&account, self.now - 500);
        let jwt = sign(&claims, &self.operator);
        let importer = KeyPair::new_account().public_key();
        let activation = sign(&testkit::activation(&importer, "a", self.now - 400), &account);
        let id = HashId::of(&key.text(), &importer, "a").expect("a hash");
        let root = self.folder.path();
        let write = |path: PathBuf, text: &str| {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        let [flat, sharded] = folder::places(root, &key);
        let [its_flat, its_sharded] = folder::activation_places(root, &id);
        let elsewhere = |place: &PathBuf| root.join("copies").join(place.file_name().expect("a name"));
        match self.place {
            FilePlace::Flat => {
                write(flat, &jwt);
                write(its_flat, &activation);
            }
            FilePlace::Sharded => {
                write(sharded, &jwt);
                write(its_sharded, &activation);
            }
            FilePlace::Elsewhere => {
                write(elsewhere(&flat), &jwt);
                write(elsewhere(&its_flat), &activation);
            }
            FilePlace::Resigned => {
                self.withhold(&account);
                write(flat, &jwt);
            }
            FilePlace::Nsc => write(root.join(format!("accounts/{key}/{key}.jwt")), &jwt),
            FilePlace::Refused => write(flat, &sign(&claims, &KeyPair::new_operator())),
            FilePlace::Unreadable => std::fs::create_dir(flat).expect("made"),
            FilePlace::Nowhere => {}
        }
        AskedAccount { key, jwt, activation, id }
    }

    /// Gives the journal a JWT that is withheld.
    fn withhold(&self, account: &KeyPair) {
        let jwt = sign(&testkit::account(account, self.now - 800), &self.withdrawn.0);
        let now = Arc::clone(&self.gate.standing());
        self.gate.set_standing(Standing::clone(&self.withdrawn.1));
        let primary = self.primary.clone();
        wait_for(move || {
            primary.submit_blocking(jwt.as_bytes(), None, Via::FirstScan).expect("taken");
        });
        self.gate.set_standing(Standing::clone(&now));
    }
}

/// Waits on a thread of its own: this one may belong to the runtime.
fn wait_for(work: impl FnOnce() + Send + 'static) {
    std::thread::spawn(work).join().expect("done");
}
