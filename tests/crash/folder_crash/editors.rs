//! Who edits files, as people and tools do.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::world::{Judged, World};
use super::{digest, file};
use crate::support::{Account, Operator};

/// The server judges a file that has been still for a second. Clocks of files tick coarsely.
const STILL: Duration = Duration::from_millis(950);

/// Does something to a file, and mostly stays to see what becomes of it.
pub(super) async fn editor(world: Arc<World>, number: usize) {
    while !world.is_over() {
        let subject = world.any_edited();
        let Ok(_alone) = world.accounts[subject].editing.try_lock() else {
            sleep(Duration::from_millis(5)).await;
            continue;
        };
        let account = &world.accounts[subject].account;
        let path = file(&world.dir, account);
        if rand::random_ratio(1, 8) {
            // It may be gone just now.
            let _ = fs::remove_file(&path);
            sleep(Duration::from_millis(rand::random_range(0..300))).await;
            continue;
        }
        let text = content(&world, subject);
        world.ledger().written.insert(text.clone());
        let aside = world.dir.join(format!("editor-{number}"));
        if !write(&path, &aside, &text).await {
            continue;
        }
        if rand::random_ratio(2, 3) {
            watch(&world, subject, &path, text).await;
        } else {
            sleep(Duration::from_millis(rand::random_range(0..100))).await;
        }
    }
}

/// What is to be written: newer, older, or nothing that anybody can serve.
fn content(world: &World, subject: usize) -> Vec<u8> {
    let account = &world.accounts[subject].account;
    match rand::random_range(0..10) {
        0 => format!("no JWT at all: {}", rand::random::<u64>()).into_bytes(),
        1 => (0..500).map(|_| rand::random()).collect(),
        2 => world.mint(subject).as_bytes()[..rand::random_range(1..200)].to_vec(),
        3 => Operator::new().account(account, rand::random_range(1..1000)).into_bytes(),
        4 => world.operator.account(&Account::new(), 10).into_bytes(),
        5 => world.earlier(subject).unwrap_or_else(|| world.mint(subject)).into_bytes(),
        _ => world.mint(subject).into_bytes(),
    }
}

/// Writes a file in one of the ways in which files are written. `false`: the server did something to it meanwhile.
async fn write(path: &Path, aside: &Path, text: &[u8]) -> bool {
    let pause = || sleep(Duration::from_millis(rand::random_range(0..20)));
    match rand::random_range(0..3) {
        0 => fs::write(path, text).is_ok(),
        1 => {
            fs::write(aside, text).unwrap();
            fs::rename(aside, path).is_ok()
        }
        _ => {
            // Emptied first, then written in pieces.
            let mut open = fs::File::create(path).unwrap();
            for piece in text.chunks(text.len() / 2 + 1) {
                pause().await;
                open.write_all(piece).unwrap();
            }
            true
        }
    }
}

/// Stays until the text is served, or has gone from its place.
async fn watch(world: &World, subject: usize, path: &Path, text: Vec<u8>) {
    let written = Instant::now();
    let mut seen = written;
    let digest = digest(&String::from_utf8_lossy(&text));
    while !world.is_over() {
        if fs::read(path).ok().as_ref() != Some(&text) {
            let mut ledger = world.ledger();
            // An answer of a server that is just being killed can take long.
            if seen - written < STILL {
                // Written over before it could be judged, by a change that came at the same moment.
                ledger.raced += 1;
            } else {
                ledger.judged.push(Judged { account: subject, text });
            }
            return;
        }
        seen = Instant::now();
        if let Some(http) = world.server().await
            && let Ok(reply) = http.try_get(&world.accounts[subject].account.path()).await
            && super::digest(&reply.body) == digest
        {
            break;
        }
        sleep(Duration::from_millis(10)).await;
    }
    world.ledger().judged.push(Judged { account: subject, text });
}
