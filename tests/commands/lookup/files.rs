//! A folder of JWT files without a journal.

use serde_json::{Value, json};

use super::{cmd, document, lines, sorted, write};
use crate::support::{Account, Operator};

#[tokio::test]
async fn the_files_of_a_folder_are_read_as_a_server_would() {
    let (operator, other, dir) = (Operator::new(), Operator::new(), tempfile::tempdir().unwrap());
    let (app, foreign, gone, broken) =
        (Account::named("app"), Account::named("foreign"), Account::named("gone"), Account::new());
    write(dir.path(), &operator, &app, 100);
    write(dir.path(), &other, &foreign, 100);
    std::fs::write(dir.path().join(format!("{}.jwt.deleted", gone.key())), operator.account(&gone, 50)).unwrap();
    std::fs::write(dir.path().join(format!("{}.jwt", broken.key())), operator.account(&app, 50)).unwrap();
    let jwt = operator.jwt();
    let place = ["-dir", dir.path().to_str().unwrap(), "-operator", &jwt];
    let list = |args: &'static [&'static str]| {
        let args = [&["list", "--json"], &place[..], args].concat().into_iter().map(str::to_owned).collect::<Vec<_>>();
        async move { crate::support::command::run(args).await }
    };
    let ran = list(&[]).await.expect(0);
    assert_eq!(sorted(&lines(&ran), "name"), ["app", "foreign"]);
    assert!(
        ran.stderr.contains("one file or folder cannot be used: ") && ran.stderr.contains(&broken.key()),
        "{}",
        ran.stderr
    );
    let ran = list(&["--state", "withheld,deleted"]).await.expect(0);
    assert_eq!(sorted(&lines(&ran), "state"), ["deleted", "withheld"]);
    assert_eq!(sorted(&lines(&ran), "name"), ["foreign", "gone"]);
    // When they changed is not known.
    list(&["--changed-since", "1h"]).await.expect(1);
    list(&["--name", "a*"]).await.expect(0);

    let show = |args: &[&str]| {
        let args = [&["show"], &place[..], args].concat().into_iter().map(str::to_owned).collect::<Vec<_>>();
        async move { crate::support::command::run(args).await }
    };
    let shown = document(&show(&["--json", "app"]).await.expect(0));
    assert_eq!((&shown["account"]["name"], &shown["account"]["state"]), (&json!("app"), &json!("live")));
    assert_eq!((&shown["account"]["serial"], shown.get("history")), (&Value::Null, None));
    let ran = show(&["gone"]).await.expect(0);
    assert!(ran.stdout.starts_with("gone (") && ran.stdout.contains("deleted: "), "{}", ran.stdout);
    let ran = show(&["app", "--diff"]).await.expect(2);
    assert!(ran.stderr.contains("has no journal"), "{}", ran.stderr);
    let ran = show(&[&broken.key()]).await.expect(2);
    assert!(ran.stderr.contains(&format!("{}.jwt: ", broken.key())), "{}", ran.stderr);
    let ran = show(&["nobody"]).await.expect(1);
    assert!(
        ran.stderr.contains("no account is called nobody") && ran.stderr.contains("cannot be used"),
        "{}",
        ran.stderr
    );
    let found = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(found, 4, "something was written");
    cmd(&["list", "-dir", "/no/such/folder"]).await.expect(2);
}
