//! A nats-server whose ordinary clients make it ask for accounts that nobody made.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;

use super::Distance;
use crate::support::login::login;
use crate::support::{Account, NatsServer, until};

/// Clients that come one after another, each.
const STRANGERS: usize = 60;

/// Anybody can sign a user JWT with an account key that was just made. The nats-server asks for that account.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_get_in_while_strangers_come_with_accounts_that_nobody_made() {
    let world = Distance::with(20, |launch| launch).await;
    world.proxy.heal();
    let system = world.operator.system();
    world.primary.http.post(&system.path(), world.operator.account(system, 10)).await.expect(200);
    let nats = NatsServer::start("2.15.1", &world.operator, &world.replica.url).await;
    world.proxy.far(super::FAR);
    let (address, ends) = (nats.address().to_owned(), Arc::new(AtomicBool::new(false)));
    let turned_away = Arc::new(AtomicUsize::new(0));
    let strangers = (0..STRANGERS).map(|_| {
        let (address, ends, turned_away) = (address.clone(), ends.clone(), turned_away.clone());
        tokio::spawn(async move {
            while !ends.load(Ordering::Relaxed) {
                assert!(login(&address, &Account::new().user()).await.is_err());
                turned_away.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let strangers: Vec<_> = strangers.collect();
    until("strangers are turned away", || async { turned_away.load(Ordering::Relaxed) > 2 * STRANGERS }).await;
    let users = join_all(world.accounts.iter().map(|account| {
        let (address, user) = (address.clone(), account.user());
        async move { login(&address, &user).await.map(drop) }
    }))
    .await;
    ends.store(true, Ordering::Relaxed);
    join_all(strangers).await.into_iter().for_each(Result::unwrap);
    assert_eq!(users, vec![Ok(()); world.accounts.len()]);
}
