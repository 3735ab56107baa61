//! Whether the writer answers.

use nkeys::KeyPair;

use super::super::{Journal, Options};
use super::{NOW, Signer, put};
use crate::store::StoreError;

#[tokio::test]
async fn a_writer_that_is_stuck_gives_no_sign_of_life() {
    let (begun, is_begun) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let signer = Signer::new();
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options::primary(Some(folder.path().join("journal")), 2, 2);
    let journal = Journal::open(&options, move |_, _| {
        begun.send(()).expect("the test waits");
        // It ends when the test drops its side, too.
        let _ = released.recv();
    });
    let journal = journal.expect("opens");
    journal.ping_writer().await.expect("it answers");
    let committing = journal.enqueue(put(&signer.entry(&KeyPair::new_account(), NOW, "a"))).await.expect("queued");
    is_begun.recv().expect("it commits");
    let mut ping = std::pin::pin!(journal.ping_writer());
    assert!(futures_util::poll!(&mut ping).is_pending());
    release.send(()).expect("it waits");
    ping.await.expect("it answers again");
    committing.outcome().await.expect("committed");
    journal.close().await;
    assert!(matches!(journal.ping_writer().await, Err(StoreError::Closed)));
}
