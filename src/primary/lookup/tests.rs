//! Nobody is told that an account is absent while its file waits for its turn, in whatever order things happen.

use futures_util::future::join_all;

use super::super::schedules::{AskedAccount, FilePlace, MOMENTS, Scene};
use super::*;
use crate::gate::{SentFor, Via};

/// What an account holds is what its file holds.
fn judge(place: FilePlace) -> impl Fn(Result<Lookup, StoreError>, &AskedAccount) -> Result<(), String> {
    move |found, asked| match found {
        Ok(Lookup::Served(stored)) if place.is_account() && stored.entry.text() == asked.jwt => Ok(()),
        Ok(Lookup::Absent) if !place.is_account() => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lookup_finds_the_account_in_whatever_order_the_scan_comes_to_it() {
    for place in FilePlace::ALL {
        let scene = Scene::new(place, MOMENTS).await;
        scene.in_every_order(async |asked| scene.primary.lookup(&asked.key).await, judge(place)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_waiting_it_finds_the_account_or_says_that_it_does_not_know() {
    for place in FilePlace::ALL {
        let scene = Scene::new(place, 3).await;
        let sure = judge(place);
        scene
            .in_every_order(
                async |asked| scene.primary.lookup_now(&asked.key),
                |found, asked| found.map_or(Ok(()), |found| sure(Ok(found), asked)),
            )
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_account_orders_to_be_signed_is_weighed_against_its_file() {
    for place in FilePlace::KINDS {
        let scene = Scene::brief(place).await;
        scene
            .in_every_order(
                async |asked| scene.primary.held(&asked.key).await.map(|held| held.is_live()),
                |is_live, _| match is_live {
                    Ok(is_live) if is_live == place.is_account() => Ok(()),
                    other => Err(format!("{other:?}")),
                },
            )
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_activation_finds_the_account_that_vouches_for_it() {
    for place in FilePlace::KINDS {
        let scene = Scene::brief(place).await;
        let submit = async |asked: &AskedAccount| {
            scene.primary.submit_activation(asked.activation.as_bytes(), SentFor::ANY, Via::Post).await
        };
        scene
            .in_every_order(submit, |submitted, _| match submitted {
                Ok(_) if place.is_account() => Ok(()),
                Err(error) if !place.is_account() && error.to_string().contains("is not known here") => Ok(()),
                other => Err(format!("{other:?}")),
            })
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_name_leads_to_a_file_an_account_is_not_absent_before_the_scan_has_ended() {
    let places = [FilePlace::Elsewhere, FilePlace::Nsc, FilePlace::Nowhere, FilePlace::Unreadable];
    let found = join_all(places.map(async |place| {
        let scene = Scene::brief(place).await;
        scene.primary.lookup(&scene.account().key).await
    }));
    for (place, found) in places.iter().zip(found.await) {
        assert!(matches!(found, Err(StoreError::Importing)), "{place:?}: {found:?}");
    }
    // A JWT that can be served waits for nothing.
    let scene = Scene::brief(FilePlace::Flat).await;
    let key = scene.account().key;
    let found = tokio::time::timeout(SCAN_WAIT / 2, scene.primary.lookup(&key)).await;
    assert!(matches!(found, Ok(Ok(Lookup::Served(_)))), "{found:?}");
}
