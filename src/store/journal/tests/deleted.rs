//! By which request an account is deleted.

use super::*;
use crate::key::AccountKey;

#[tokio::test]
async fn a_deletion_is_told_by_the_request_that_is_in_force() {
    let (signer, a, b) = (Signer::new(), KeyPair::new_account(), KeyPair::new_account());
    let journal = Journal::open(&Options::primary(None, 2, 1), |_, _| {}).expect("opens");
    let (first, second) = (signer.entry(&a, NOW, "a"), signer.entry(&b, NOW, "b"));
    let (a_key, b_key, unknown) = (*first.key(), *second.key(), AccountKey::from_raw([9; 32]));
    for entry in [&first, &second] {
        journal.commit(put(entry)).await.expect("new");
    }
    let request_of = |key| journal.tombstone(&key).expect("readable").map(|tombstone| tombstone.request().clone());
    let are_deleted = |keys: &[AccountKey]| journal.are_all_deleted(keys).expect("readable");
    assert_eq!((request_of(a_key), request_of(unknown)), (None, None));
    assert!(!are_deleted(&[a_key]) && !are_deleted(&[unknown]));

    let text = |write: &Write| match write {
        Write::Delete(tombstone, _) => Some(tombstone.request().clone()),
        _ => None,
    };
    let (later, both) = (signer.delete(&[&a], NOW + 5), signer.delete(&[&a, &b], NOW + 3));
    journal.commit(later.clone()).await.expect("deleted");
    assert!(are_deleted(&[a_key]) && !are_deleted(&[a_key, b_key]));
    journal.commit(both.clone()).await.expect("deletes the other one");
    assert_eq!(request_of(a_key), text(&later), "the earlier request does not take its place");
    assert_eq!(request_of(b_key), text(&both));
    assert!(are_deleted(&[a_key, b_key]));

    journal.commit(put(&signer.entry(&a, NOW + 6, "a"))).await.expect("signed after the deletion");
    assert_eq!(request_of(a_key), None);
    assert!(!are_deleted(&[a_key, b_key]) && are_deleted(&[b_key]));
    journal.commit(Write::Remove(a_key, Via::EditedFile)).await.expect("removed");
    assert_eq!(request_of(a_key), None, "it left its folder, which nobody signed");
    assert!(!are_deleted(&[a_key]));
}

#[tokio::test]
async fn a_request_that_cannot_be_read_back_is_an_error_and_deletes_all_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("journal.sqlite");
    let (signer, account) = (Signer::new(), KeyPair::new_account());
    let journal = open(&path).expect("opens");
    journal.commit(signer.delete(&[&account], NOW)).await.expect("deleted");
    let key = AccountKey::parse(&account.public_key()).expect("a key");
    for damage in ["UPDATE change SET body = x'00'", "UPDATE change SET body = NULL", "DELETE FROM change"] {
        rusqlite::Connection::open(&path).expect("opens").execute_batch(damage).expect("damaged");
        let text = journal.tombstone(&key).expect_err("damaged").to_string();
        assert!(text.contains(&account.public_key()) && text.contains("cannot be read back"), "{text}");
        assert!(journal.are_all_deleted(&[key]).expect("readable"));
    }
}

#[tokio::test]
async fn accounts_that_are_deleted_or_have_left_their_folder_expire_no_more() {
    let signer = Signer::new();
    let accounts: Vec<_> = (0..4).map(|_| KeyPair::new_account()).collect();
    let journal = Journal::open(&Options::primary(None, 2, 1), |_, _| {}).expect("opens");
    let expiring = |account: &KeyPair, iat, exp| {
        let claims = testkit::with(testkit::account(account, iat), json!({ "exp": exp }));
        let jwt = sign(&claims, &signer.operator);
        Arc::new(signer.gate.admit(jwt.as_bytes(), None, Via::Post, iat).expect("admitted"))
    };
    let count = || {
        let figures = journal.expiry_figures(NOW + 100, &[10, 100], true).expect("readable");
        let earliest = journal.earliest_expiry(NOW + 100).expect("readable");
        (figures.expired, figures.within, earliest.map(|at| at - NOW), journal.count_tombstones().expect("readable"))
    };
    assert_eq!(count(), (0, vec![0, 0], None, 0));
    let entries: Vec<_> =
        accounts.iter().zip([50, 105, 150, 500]).map(|(key, at)| expiring(key, NOW, NOW + at)).collect();
    for entry in &entries {
        journal.commit(put(entry)).await.expect("new");
    }
    assert_eq!(count(), (1, vec![1, 2], Some(105), 0));
    journal.commit(signer.delete(&[&accounts[0], &accounts[1]], NOW + 5)).await.expect("deleted");
    assert_eq!(count(), (0, vec![0, 1], Some(150), 2));
    journal.commit(Write::Remove(*entries[2].key(), Via::EditedFile)).await.expect("removed");
    assert_eq!(count(), (0, vec![0, 0], Some(500), 2));
    // Signed after the deletion.
    journal.commit(put(&expiring(&accounts[1], NOW + 6, NOW + 108))).await.expect("newer");
    assert_eq!(count(), (0, vec![1, 1], Some(108), 2));
}
