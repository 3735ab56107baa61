//! What `show` says of one account.

use nkeys::KeyPair;
use serde_json::{Value, json};

use super::{cmd, document, end, stable};
use crate::support::command::run_with;
use crate::support::mint::User;
use crate::support::{Account, Launch, Operator, Server, now};

/// An account with something of everything.
fn rich(account: &Account, billing: &Account, users: [&User; 2], keys: [&KeyPair; 2]) -> Value {
    let mut claims = account.claims(now() - 3 * 86_400 - 3600);
    claims["exp"] = (now() + 40 * 86_400 + 3600).into();
    let nats = json!({
        "limits": {
            "subs": -1, "data": -1, "payload": 1_048_576, "imports": 10, "exports": -1, "wildcards": true, "conn": 50, "leaf": 0,
            "tiered_limits": {
                "R1": {
                    "mem_storage": 1_073_741_824, "disk_storage": 10_737_418_240_i64, "streams": -1, "consumer": 100,
                    "max_ack_pending": 1000, "disk_max_stream_bytes": 1_536,
                },
                "R3": { "disk_storage": -1, "streams": 5, "consumer": -1, "max_bytes_required": true },
            },
        },
        "exports": [
            { "name": "orders", "subject": "orders.>", "type": "stream" },
            {
                "name": "pay", "subject": "pay.*.charge", "type": "service", "token_req": true, "response_type": "Stream",
                "account_token_position": 2, "service_latency": { "sampling": 10, "results": "latency.pay" },
                "revocations": { "*": 5 },
            },
        ],
        "imports": [
            { "subject": "bills.>", "account": billing.key(), "type": "stream", "local_subject": "in.bills.>" },
        ],
        "signing_keys": [
            keys[0].public_key(),
            {
                "kind": "user_scope", "key": keys[1].public_key(), "role": "worker",
                "template": {
                    "pub": { "allow": ["jobs.>"], "deny": ["jobs.admin"] }, "subs": 10, "data": -1, "payload": -1,
                    "src": ["10.0.0.0/8"], "bearer_token": true,
                },
            },
        ],
        "revocations": { "*": now() - 5 * 86_400 - 60, users[0].key(): now() - 4 * 86_400 - 60 },
        "default_permissions": { "sub": { "deny": ["secret.>"] }, "resp": { "max": 1, "ttl": 5_000_000_000_i64 } },
        "mappings": { "a.*": [{ "subject": "b.$1", "weight": 80 }, { "subject": "c.$1", "weight": 20, "cluster": "east" }] },
        "authorization": { "auth_users": [users[1].key()], "allowed_accounts": [billing.key()] },
        "description": "Orders of the shop", "tags": ["prod", "team:a"],
    });
    for (name, value) in nats.as_object().unwrap() {
        claims["nats"][name] = value.clone();
    }
    claims
}

const SHOWN: &str = "\
orders (ENDS)
  key                       KEY
  state                     live
  asked                     PLACE
  issuer                    ISSUER
  issued                    DATE CET (UTC), 3 days ago
  expires                   DATE CET (UTC), in 40 days
  changed                   DATE CET (UTC), NOW, by post, serial 4
  description               Orders of the shop
  tags                      prod, team:a

Limits
  connections               50
  leafnode connections      0
  subscriptions             unlimited
  message size              1 MiB
  data                      unlimited
  imports                   10
  exports                   unlimited
  wildcards in exports      allowed
  bearer tokens             allowed

JetStream, tier R1
  memory                    1 GiB
  disk                      10 GiB
  streams                   unlimited
  consumers                 100
  unacknowledged messages   1000
  a stream on disk          1536 B

JetStream, tier R3
  memory                    0 B
  disk                      unlimited
  streams                   5
  consumers                 unlimited
  streams without a bound   not allowed

Exports (2)
  stream orders.> (orders): public
  service pay.*.charge (pay): importers need an activation, token 2 of the subject is the importer's key, \
answers: stream, latency of 10 % to latency.pay, 1 revoked

Imports (1)
  stream bills.> from billing (BILLING): here in.bills.>

Mappings (1)
  a.* → b.$1 80 %, c.$1 20 % in east

Signing keys (2)
  PLAIN
  SCOPED: role worker
    publish: jobs.>, but not jobs.admin
    subscribe: everything
    limits: subscriptions 10
    only from: 10.0.0.0/8
    bearer tokens

Revocations (2)
  every user: JWTs issued up to DATE CET (UTC), 5 days ago
  USER: JWTs issued up to DATE CET (UTC), 4 days ago

Default permissions
  publish                   everything
  subscribe                 everything, but not secret.>
  respond to requests       messages 1, milliseconds 5000

Authorization service
  its users                 SERVICE
  accounts it may assign    billing (BILLING)

History (Europe/Berlin)
  serial 4      MINUTE  post from 127.0.0.1, served
  serial 3      MINUTE  post from 127.0.0.1
";

#[tokio::test]
async fn a_person_reads_all_of_an_account_and_programs_the_same_offline() {
    let (operator, dir) = (Operator::new(), tempfile::tempdir().unwrap());
    let server = Launch::primary(&operator).dir(dir.path()).start().await;
    let (orders, billing) = (Account::named("orders"), Account::named("billing"));
    let (user, service, mut keys) = (orders.user(), orders.user(), [KeyPair::new_account(), KeyPair::new_account()]);
    // They are shown in the order of their texts.
    keys.sort_by_key(KeyPair::public_key);
    server.http.post(&billing.path(), operator.account(&billing, 100)).await.expect(200);
    let mut claims = rich(&orders, &billing, [&user, &service], [&keys[0], &keys[1]]);
    let jwt = operator.sign(&claims);
    claims["iat"] = (claims["iat"].as_i64().unwrap() - 60).into();
    claims["nats"]["limits"]["conn"] = 100.into();
    server.http.post(&orders.path(), operator.sign(&claims)).await.expect(200);
    server.http.post(&orders.path(), jwt.clone()).await.expect(200);

    let ends = |key: &str| format!("{}…{}", &key[..4], &key[52..]);
    let replaced = [
        (orders.key(), "KEY"),
        (operator.key(), "ISSUER"),
        (user.key(), "USER"),
        (service.key(), "SERVICE"),
        (keys[0].public_key(), "PLAIN"),
        (keys[1].public_key(), "SCOPED"),
        (ends(&orders.key()), "ENDS"),
        (ends(&billing.key()), "BILLING"),
        (server.url.clone(), "PLACE"),
    ];
    let zone = [("TZ", "Europe/Berlin")];
    let ran = run_with(&zone, ["show", "--url", &server.url, "orders"]).await.expect(0);
    // In summer, clocks are others.
    let shown = stable(&ran.stdout.replace(" CEST ", " CET "), &replaced);
    assert_eq!((&*shown, &*ran.stderr), (SHOWN, ""));

    let url = server.url.clone();
    let diff = ["show", "--url", &url, "orders", "--diff"];
    let ran = cmd(&diff).await.expect(0);
    let shown = stable(&ran.stdout, &replaced);
    let (_, changes) = shown.split_once("\nChanges\n").unwrap();
    assert!(shown.starts_with("orders (ENDS)\n  from                      serial 3      MINUTE  post from"), "{shown}");
    assert_eq!(changes, "  connections 100 → 50\n");
    let of_serials = cmd(&[&diff[..], &["3", "4"]].concat()).await.expect(0);
    assert_eq!(of_serials.stdout, ran.stdout);
    let backwards = cmd(&[&diff[..], &["4", "3"]].concat()).await.expect(0);
    assert!(backwards.stdout.contains("connections 50 → 100"), "{}", backwards.stdout);
    let ran = cmd(&[&diff[..], &["3", "999"]].concat()).await.expect(1);
    assert!(ran.stderr.contains("does not hold serial 999"), "{}", ran.stderr);

    // Offline, all is the same but what only a server knows.
    let key = orders.key();
    let questions: [&[&str]; 3] = [&["orders"], &[&key], &["orders", "--diff", "3"]];
    let mut online = Vec::new();
    for question in questions {
        online.push(document(&cmd(&[&["show", "--json", "--url", &url], question].concat()).await.expect(0)));
    }
    assert_eq!(online[0]["names"], json!({ billing.key(): "billing" }));
    assert_eq!(online[0]["account"]["claims"]["nats"]["limits"]["conn"], 50);
    end(server).await;
    for (question, mut online) in questions.into_iter().zip(online) {
        let args = [&["show", "--json", "-dir", dir.path().to_str().unwrap()], question].concat();
        let mut offline = document(&cmd(&args).await.expect(0));
        for document in [&mut online, &mut offline] {
            if let Some(document) = document.as_object_mut() {
                document.remove("place");
            }
        }
        assert_eq!(online, offline, "{question:?}");
    }

    // The file says the same of itself.
    let file = dir.path().join("given.jwt");
    std::fs::write(&file, format!("-----BEGIN NATS ACCOUNT JWT-----\n{jwt}\n------END NATS ACCOUNT JWT------\n"))
        .unwrap();
    let ran = run_with(&zone, ["show", "-dir", dir.path().to_str().unwrap(), file.to_str().unwrap()]).await.expect(0);
    let shown = stable(&ran.stdout.replace(" CEST ", " CET "), &replaced);
    let limits = |text: &str| {
        let (_, limits) = text.split_once("\nLimits\n").unwrap();
        limits.split("\nHistory").next().unwrap().to_owned()
    };
    assert_eq!(limits(&shown), limits(SHOWN));
    assert!(shown.contains("state                     file: what the file says"), "{shown}");
}

#[tokio::test]
async fn what_became_of_an_account_is_shown() {
    let operator = Operator::new();
    let server = Server::primary(&operator).await;
    let (gone, old) = (Account::named("gone"), Account::named("old"));
    server.http.post(&gone.path(), operator.account(&gone, 100)).await.expect(200);
    server.http.delete(&gone.path(), operator.delete_request(&[&gone], 1)).await.expect(200);
    let mut claims = old.claims(now() - 100);
    claims["nats"]["revocations"] = (0..25).map(|_| (old.user().key(), json!(now()))).collect::<Value>();
    server.http.post(&old.path(), operator.sign_by_signing_key(&claims)).await.expect(200);
    server.http.post("/jwt/v1/operator?withhold=1", operator.listing(&[], 0)).await.expect(200);
    let show = |name: &'static str| {
        let url = server.url.clone();
        async move { cmd(&["show", "--url", &url, name]).await.expect(0).stdout }
    };
    let shown = show("gone").await;
    assert!(shown.contains("  state                     deleted: a delete request deleted it"), "{shown}");
    assert!(shown.contains(&format!(", signed by {}", operator.key())), "{shown}");
    let shown = show("old").await;
    assert!(shown.contains("  state                     withheld: its JWT is not served"), "{shown}");
    assert!(shown.contains("\nRevocations (25)\n") && shown.contains("  and 5 more; --json shows all\n"), "{shown}");
    let ran = cmd(&["show", "--url", &server.url, "old", "--diff"]).await.expect(0);
    assert!(ran.stdout.contains("no earlier version is stored"), "{}", ran.stdout);
}
