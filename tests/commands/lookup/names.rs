//! Which account a name means.

use super::cmd;
use crate::support::{Account, Operator, Server};

#[tokio::test]
async fn a_name_means_one_account_or_none() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let named = ["app", "APP", "app-test", "twice", "twice", "a*", "gone"].map(Account::named);
    for account in &named {
        server.http.post(&account.path(), operator.account(account, 100)).await.expect(200);
    }
    server.http.delete(&named[6].path(), operator.delete_request(&[&named[6]], 1)).await.expect(200);
    for (asked, key) in [
        ("app", &named[0]),
        ("APP", &named[1]),
        ("app-*", &named[2]),
        ("APP-TEST", &named[2]),
        ("a*", &named[5]),
        ("gone", &named[6]),
        (&named[3].key(), &named[3]),
    ] {
        let ran = cmd(&["show", "--url", &server.url, asked]).await.expect(0);
        assert!(
            ran.stdout.contains(&format!("  key                       {}\n", key.key())),
            "{asked}: {}",
            ran.stdout
        );
    }
    for (asked, said, keys) in [
        ("twice", "2 accounts at ", &[3, 4][..]),
        ("aPP", "2 accounts at ", &[0, 1]),
        ("*p*", "3 accounts at ", &[0, 1, 2]),
        ("nobody", "no account is called nobody at ", &[]),
        ("", "a pattern of 1 to 256 characters", &[]),
    ] {
        let ran = cmd(&["show", "--url", &server.url, asked]).await;
        assert_eq!((ran.status, &*ran.stdout), (if asked.is_empty() { 2 } else { 1 }, ""), "{asked}");
        assert!(ran.stderr.contains(said), "{asked}: {}", ran.stderr);
        let listed: Vec<_> = (0..named.len()).filter(|at| ran.stderr.contains(&named[*at].key())).collect();
        assert_eq!(listed, keys, "{asked}: {}", ran.stderr);
    }
    let nobody = Account::new().key();
    let ran = cmd(&["show", "--url", &server.url, &nobody]).await.expect(1);
    assert!(ran.stderr.contains(&format!("nothing is stored of account {nobody} at ")), "{}", ran.stderr);
}
