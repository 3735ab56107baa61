//! Follows the change feed of an account server, and checks that nothing is left out or altered.
//!
//! `cargo run --example follow -- http://primary:9090 [CHANGES]` prints each change as it is committed, and ends after CHANGES of
//! them. `docs/replication.md` describes the feed. What a change says still has to pass a gate of your own, as the signature of
//! each JWT is yours to check: see `nats_account_server::gate`.

// It trusts its server with the size of an answer, which a server of others must not.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

use std::error::Error;
use std::time::Duration;

use nats_account_server::feed::wire::{Item, Page};
use nats_account_server::feed::{Chain, Head};
use reqwest::StatusCode;

/// How long the server may wait for the next change before it answers that there is none.
const WAIT: &str = "25s";
/// How long an answer may take: the wait, and some time for the way.
const PATIENCE: Duration = Duration::from_secs(35);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let server = args.next().ok_or("give the URL of an account server, as in http://127.0.0.1:9090")?;
    let mut left = args.next().map_or(Ok(u64::MAX), |count| count.parse())?;
    let client = reqwest::Client::builder().timeout(PATIENCE).build()?;
    // Before the first change.
    let mut at: Option<Head> = None;
    while left > 0 {
        let position = at.map_or("after=0".to_owned(), |head| {
            format!("session={}&after={}&chain={}", head.session, head.serial, head.chain)
        });
        let answer = client.get(format!("{server}/jwt/v1/changes?{position}&wait={WAIT}")).send().await?;
        if answer.status() == StatusCode::GONE {
            // It was restored, replaced, or has forgotten what comes next. A replica compares what it has; this program has nothing.
            println!("the history of {server} is another one now: {}", answer.text().await?);
            at = None;
            continue;
        }
        let page: Page = answer.error_for_status()?.json().await?;
        let mut chain = at.map_or(Chain::default(), |head| head.chain);
        let mut serial = at.map_or(0, |head| head.serial);
        for change in page.changes.iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
            serial += 1;
            chain = check(change, serial, chain)?;
            println!("{serial} {} {} {}", change.op, change.kind, named(change));
            left -= 1;
        }
        at = page.position();
    }
    Ok(())
}

/// The chain value after a change, if it is the next one of the same history.
fn check(change: &Item, serial: u64, chain: Chain) -> Result<Chain, String> {
    let (operation, body) =
        change.link().ok_or_else(|| format!("change {serial} is of a form that is not known here"))?;
    let next = chain.next(serial, operation, &body);
    if change.serial == serial && change.chain == next.to_string() {
        Ok(next)
    } else {
        Err(format!("change {} does not continue the history after change {}", change.serial, serial - 1))
    }
}

/// What a change is about.
fn named(change: &Item) -> String {
    change.key.clone().unwrap_or_else(|| change.keys.join(" "))
}
