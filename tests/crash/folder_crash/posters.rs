//! Who pushes, who deletes, and who reads.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::world::{Asked, BUSY, World};
use super::{digest, file};
use crate::support::{Account, Http};

impl World {
    /// Remembers a request before it is sent. Returns its number.
    fn sends(&self, digest: String, deletes: Vec<usize>, iat: i64) -> usize {
        let mut ledger = self.ledger();
        ledger.asked.push(Asked { digest, deletes, iat, sent: Instant::now(), acknowledged: None });
        ledger.asked.len() - 1
    }

    /// Remembers an answer. Returns whether it was yes.
    fn is_answered(&self, number: usize, status: u16, body: &str) -> bool {
        let mut ledger = self.ledger();
        match status {
            200 => ledger.asked[number].acknowledged = Some(Instant::now()),
            // What is held is newer, or a deletion is.
            409 => *ledger.refusals.entry(status).or_default() += 1,
            _ => panic!("status {status}: {body}"),
        }
        status == 200
    }
}

/// Pushes.
pub(super) async fn poster(world: Arc<World>) {
    while let Some(http) = world.server().await {
        let subject = world.any();
        let account = &world.accounts[subject].account;
        let jwt = world.mint(subject);
        let digest = digest(&jwt);
        let iat = world.ledger().minted[&digest].iat;
        let number = world.sends(digest, Vec::new(), iat);
        let Ok(reply) = http.try_post(&account.path(), jwt).await else {
            sleep(Duration::from_millis(5)).await;
            continue;
        };
        if world.is_answered(number, reply.status, &reply.body) && rand::random_ratio(1, 4) {
            // Who was answered reads his own write, or a later one.
            let Ok(held) = http.try_get(&account.path()).await else { continue };
            let ledger = world.ledger();
            let shown = (held.status == 200).then(|| ledger.minted[&super::digest(&held.body)].iat);
            let is_deleted = || ledger.asked.iter().any(|asked| asked.deletes.contains(&subject) && asked.iat >= iat);
            assert!(shown.map_or_else(is_deleted, |shown| shown >= iat), "pushed {iat}, then read {}", held.body);
        }
    }
}

/// Deletes, now and then two at once.
pub(super) async fn deleter(world: Arc<World>) {
    while let Some(http) = world.server().await {
        let first = world.any();
        let mut subjects = vec![first];
        if rand::random_ratio(1, 3) {
            subjects.extend(Some(world.any()).filter(|second| *second != first));
        }
        let iat = subjects.iter().map(|subject| world.iat(*subject)).max().unwrap();
        let accounts: Vec<&Account> = subjects.iter().map(|subject| &world.accounts[*subject].account).collect();
        let request = world.operator.delete_request_at(&accounts, iat);
        let number = world.sends(digest(&request), subjects, iat);
        if let Ok(reply) = http.try_delete(&accounts[0].path(), request).await {
            world.is_answered(number, reply.status, &reply.body);
        }
        sleep(Duration::from_millis(rand::random_range(20..200))).await;
    }
}

/// Pushes accounts that nobody else works on, some at a time, and deletes some of these at once. Of the deleted, some
/// are dropped as files again.
pub(super) async fn passer(world: Arc<World>) {
    while let Some(http) = world.server().await {
        let group = (0..rand::random_range(1..8)).map_while(|_| world.next());
        let all = group.map(|subject| passing(&world, &http, subject));
        futures_util::future::join_all(all).await;
        sleep(Duration::from_millis(rand::random_range(0..200))).await;
    }
}

async fn passing(world: &World, http: &Http, subject: usize) {
    let account = &world.accounts[subject].account;
    let jwt = world.mint(subject);
    let digest = digest(&jwt);
    let iat = world.ledger().minted[&digest].iat;
    let number = world.sends(digest, Vec::new(), iat);
    let Ok(reply) = http.try_post(&account.path(), jwt.clone()).await else { return };
    assert!(world.is_answered(number, reply.status, &reply.body), "nobody else pushes it: {}", reply.body);
    if rand::random() {
        return;
    }
    let request = world.operator.delete_request_at(&[account], iat);
    let number = world.sends(super::digest(&request), vec![subject], iat);
    let Ok(reply) = http.try_delete(&account.path(), request).await else { return };
    assert!(world.is_answered(number, reply.status, &reply.body), "nobody else pushes it: {}", reply.body);
    if rand::random() {
        world.ledger().written.insert(jwt.clone().into_bytes());
        fs::write(file(&world.dir, account), jwt).unwrap();
    }
}

/// Reads what is served, and the files that nobody edits: whole, and never older than before.
pub(super) async fn reader(world: Arc<World>) {
    let mut served = vec![i64::MIN; BUSY];
    let mut filed = served.clone();
    while let Some(http) = world.server().await {
        let subject = world.any();
        let account = &world.accounts[subject].account;
        if let Ok(reply) = http.try_get(&account.path()).await {
            match reply.status {
                200 => world.is_no_older(subject, &reply.body, &mut served, "served"),
                404 => {}
                status => panic!("status {status}: {}", reply.body),
            }
        }
        if World::is_quiet(subject)
            && let Ok(text) = fs::read_to_string(file(&world.dir, account))
        {
            world.is_no_older(subject, &text, &mut filed, "found in the folder");
        }
        sleep(Duration::from_millis(1)).await;
    }
}

impl World {
    fn is_no_older(&self, subject: usize, text: &str, before: &mut [i64], how: &str) {
        let mut ledger = self.ledger();
        ledger.read += 1;
        let minted = ledger.minted.get(&digest(text));
        let minted = minted.unwrap_or_else(|| panic!("nobody signed what is {how}: {text}"));
        assert_eq!(minted.account, subject, "another account's JWT is {how}");
        assert!(minted.iat >= before[subject], "an older JWT is {how}");
        before[subject] = minted.iat;
    }
}
