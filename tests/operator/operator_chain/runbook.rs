//! `docs/stolen-key.md`: the commands of the page, from the alarm to a clean fleet. In the place of nsc is a script that gives
//! out what was signed beforehand.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use super::{World, answers, in_force, reload};
use crate::support::{Account, Launch, NatsLaunch, NatsServer, until};

const PAGE: &str = include_str!("../../../docs/stolen-key.md");
const RELEASE: &str = "2.12.8";

/// The commands of a section of the page.
fn section(title: &str) -> String {
    let (_, rest) = PAGE.split_once(&format!("\n## {title}")).unwrap();
    let section = rest.split("\n## ").next().unwrap();
    let commands: Vec<_> = section.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    assert!(!commands.is_empty(), "{title}");
    commands.join("\n")
}

/// What nsc does on the page: it signs, and it pushes what it signed.
const NSC: &str = r#"#!/bin/sh
set -eu
case "$*" in
    "edit operator --sk generate -K $IDENTITY") cp added.jwt current.jwt ;;
    "edit operator --rm-sk $STOLEN -K $IDENTITY") cp removed.jwt current.jwt ;;
    "describe operator --raw") cat current.jwt ;;
    "edit account --name $NAME --tag re-signed -K $NEW") cp "again-$NAME.jwt" push.jwt ;;
    "push --all") curl -sS --fail-with-body --data-binary @push.jwt "$PRIMARY/jwt/v1/accounts/$ACCOUNT" ;;
    *) echo "nsc was not expected to $*" >&2; exit 9 ;;
esac
"#;

struct Desk<'w> {
    folder: &'w Path,
    variables: Vec<(&'static str, String)>,
}

impl Desk<'_> {
    /// Runs some commands as somebody at a shell does. What fails is shown and ends the test.
    async fn run(&self, commands: String) -> String {
        let mut shell = Command::new("bash");
        let path = format!("{}:{}", self.folder.join("bin").display(), std::env::var("PATH").unwrap());
        shell.args(["-euc", &commands]).current_dir(self.folder).env("PATH", path);
        shell.envs(self.variables.iter().map(|(name, value)| (*name, value)));
        let output = tokio::task::spawn_blocking(move || shell.output()).await.unwrap().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        let (said, wrong) = (text(output.stdout), text(output.stderr));
        assert!(output.status.success(), "{commands}\n{said}\n{wrong}");
        said
    }
}

#[tokio::test]
async fn the_page_on_stolen_keys_leads_from_the_alarm_to_a_clean_fleet() {
    let (stolen, honest, new, thief) = (0, 1, 2, 3);
    let world = World::new();
    let desk = world.dir.path().join("desk");
    std::fs::create_dir_all(desk.join("bin")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_nats-account-server"), desk.join("bin/nats-account-server"))
        .unwrap();
    std::fs::write(desk.join("bin/nsc"), NSC).unwrap();
    std::fs::set_permissions(desk.join("bin/nsc"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let keep = |name: &str, text: &str| std::fs::write(desk.join(name), text).unwrap();

    world.configure(world.by_identity(&[stolen, honest], 5_000));
    let primary = world.primary().await;
    let first = std::fs::read_to_string(world.file()).unwrap();
    let cache = Launch::default().flag("-primary", &primary.url).flag("-operator", &first).start().await;
    let mirror = Launch::default().flag("-primary", &primary.url).env("NAS_REPLICA__MODE", "mirror").start().await;
    let system = world.operator.system();
    primary.http.post(&system.path(), world.account(system, honest, 20)).await.expect(200);
    let nats_file = world.folder("nats.jwt");
    std::fs::write(&nats_file, &first).unwrap();
    let lines = format!(
        "operator: {nats_file:?}\nsystem_account: {}\nresolver: URL(\"{}/jwt/v1/accounts/\")\nhttp: \"127.0.0.1:-1\"",
        system.key(),
        cache.url
    );
    let nats = || NatsLaunch::bare(RELEASE).with(&lines).start();
    let nats_server = nats().await;
    let (kept, taken) = (world.put(&primary, honest).await, world.put(&primary, stolen).await);
    for replica in [&cache, &mirror] {
        replica.follows().await;
        answers(replica, &taken, 200).await;
    }

    // The thief can write the operator's file of the primary. He lists a key of his own, and dates that ahead.
    let forged = world.by_key(stolen, &[stolen, thief], -3_000);
    world.configure(&forged);
    reload(&primary).await;
    let made: Account = world.put(&primary, thief).await;
    for server in [&primary, &cache, &mirror] {
        in_force(server, &forged).await;
        server.logs(&format!("the signing key {} signed the new one", world.key(stolen))).await;
        assert_eq!(server.http.metric("operator_links_total", "").await, 1.0);
        answers(server, &kept, 404).await;
        answers(server, &made, 200).await;
    }

    keep("added.jwt", &world.by_identity(&[stolen, honest, new], 1));
    let signed = world.by_identity(&[honest, new], 0);
    keep("removed.jwt", &signed);
    keep("again-app.jwt", &world.account(&taken, new, 0));
    keep("new.nk", &world.keys[new].seed().unwrap());
    let mut desk = Desk {
        folder: &desk,
        variables: vec![
            ("PRIMARY", primary.url.clone()),
            ("REPLICAS", format!("{} {}", cache.url, mirror.url)),
            ("STOLEN", world.key(stolen)),
            ("IDENTITY", world.operator.key()),
            ("NEW", world.key(new)),
            ("NAME", "app".to_owned()),
            ("ACCOUNT", taken.key()),
            ("UNWANTED", made.key()),
        ],
    };
    let said = desk.run(section("1. What happened")).await;
    assert!(said.contains(&world.key(thief)) && said.contains("operator_links_total 1"), "{said}");
    desk.run(section("2. Sign with the identity key")).await;
    let said = desk.run(section("3. Push it")).await;
    for part in ["2 accounts would be withheld", "the identity key signed the new one", &world.key(thief)] {
        assert!(said.contains(part), "{part}: {said}");
    }
    for server in [&primary, &cache, &mirror] {
        in_force(server, &signed).await;
        answers(server, &kept, 200).await;
        answers(server, &taken, 404).await;
        answers(server, &made, 404).await;
    }
    // The files are replaced, and what reads them at a start alone is restarted.
    for file in [&nats_file, &world.file()] {
        std::fs::copy(desk.folder.join("operator.jwt"), file).unwrap();
    }
    drop(nats_server);
    let nats_server = nats().await;
    reload(&primary).await;
    desk.variables.push(("NATS_SERVERS", format!("http://{}", nats_server.monitoring())));
    let said = desk.run(section("5. See that every server has it")).await;
    assert_eq!((said.matches(" has it").count(), said.contains("DOES NOT")), (4, false), "{said}");
    assert!(said.contains("2 accounts are withheld") && said.contains("withheld_accounts 2"), "{said}");
    assert!(!said.contains("is not in force"), "{said}");
    let said = desk.run(section("6. Re-sign the accounts")).await;
    assert!(said.contains("deleted 1 accounts") && said.contains("withheld_accounts 0"), "{said}");
    for server in [&primary, &cache, &mirror] {
        answers(server, &taken, 200).await;
        answers(server, &made, 404).await;
    }
    // The thief's file is of no use any more.
    world.configure(&forged);
    reload(&primary).await;
    in_force(&primary, &signed).await;
    until("that is said", || async { super::report(&primary).await.contains("was replaced by a later one") }).await;
    assert!(NatsServer::has(RELEASE));
}
