//! Servers with the mark of an account server that mean no good.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{codes, document, status};
use crate::support::{Answer, FakePrimary};

/// A server that answers `/api/v1/<name>` with what `answer` gives for the name.
async fn marked(answer: impl Fn(&str) -> Answer + Send + Sync + 'static) -> FakePrimary {
    FakePrimary::new(move |path| {
        answer(path.trim_start_matches("/api/v1/")).header("nas-server", "nats-account-server-1")
    })
    .await
}

fn a_status(change: impl FnOnce(&mut Value)) -> String {
    let mut status = json!({
        "role": "primary", "version": "2.0.0", "ready": true, "in_sync": true,
        "position": { "session": "0".repeat(32), "serial": 1 },
        "checks": [ { "code": "process", "status": "pass", "detail": "is running" } ]
    });
    change(&mut status);
    status.to_string()
}

#[tokio::test]
async fn answers_without_an_end_in_size_or_time_are_given_up() {
    let endless = marked(|_| Answer::endless(200)).await;
    let dripping = marked(|_| Answer::new(200, " ".repeat(1 << 16)).drip(Duration::from_millis(20))).await;
    let silent = marked(|_| Answer::new(200, "").after(Duration::from_secs(60))).await;
    let late = marked(|name| match name {
        "status" => Answer::new(200, a_status(|_| ())),
        _ => Answer::new(200, "{}").after(Duration::from_secs(60)),
    })
    .await;
    let began = Instant::now();
    let mut args = vec!["--timeout", "1s", &*endless.url, &dripping.url, &silent.url, &late.url];
    args.extend(vec![&*silent.url; 30]);
    let (document, status) = document(&args).await;
    // All at the same time. The other seconds are for a busy machine.
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    assert_eq!(status, 2);
    for (place, code, said) in [
        (0, vec!["unreachable"], "more than the 262144 bytes"),
        (1, vec!["unreachable"], "no answer within 1000 ms"),
        (2, vec!["unreachable"], "no answer within 1000 ms"),
        (3, vec!["list", "list"], "no answer within 1000 ms"),
    ] {
        let server = &document["servers"][place];
        assert_eq!(codes(server), code, "{server:#}");
        assert!(server["reasons"][0]["detail"].as_str().unwrap().contains(said), "{server:#}");
    }
    assert_eq!(document["servers"][3]["state"], "degraded", "what it said of itself counts");
}

#[tokio::test]
async fn long_lists_are_cut_and_nothing_steers_the_terminal() {
    let evil = "\u{1b}[31m\u{9b}2J\u{202e}\r\nx";
    let hostile = marked(move |name| {
        let replica = |at: u32| {
            let state = if at % 100 == 99 { "behind" } else { "in_sync" };
            json!({ "name": format!("r{at}"), "mode": evil, "state": state })
        };
        let server = |at: u32| {
            let state = ["unknown", "in_sync", "behind"][at as usize % 3];
            json!({ "name": format!("n{at}"), "version": evil, "state": state })
        };
        let check = json!({ "code": evil, "status": evil, "detail": evil });
        let body = match name {
            "status" => a_status(|status| {
                status["version"] = evil.repeat(1000).into();
                status["checks"] = vec![check; 600].into();
            }),
            "replicas" => json!({ "followers": (0..4000).map(replica).collect::<Vec<_>>() }).to_string(),
            _ => {
                let silent = json!([{ "name": evil.repeat(1000), "version": "2.15.1", "gone_for": 12 }]);
                json!({ "compared": true, "servers": (0..3000).map(server).collect::<Vec<_>>(), "silent": silent })
                    .to_string()
            }
        };
        Answer::new(200, body)
    })
    .await;
    for args in [&[&*hostile.url][..], &["--json", &hostile.url]] {
        let ran = status(args).await;
        let steering = |symbol: char| (symbol.is_control() && symbol != '\n') || symbol == '\u{202e}';
        assert_eq!(ran.stdout.find(steering), None, "{}", ran.stdout);
        assert!(ran.stdout.lines().count() < 2000 && ran.stdout.len() < 1 << 18, "{}", ran.stdout.len());
    }
    let text = status(&[&hostile.url]).await.stdout;
    assert!(text.lines().count() < 180, "{text}");
    assert!(text.contains("\n  and 3950 more\n") && text.contains("\n  and 2951 more\n"), "{text}");
    let position = |text_of: &str| text.find(text_of).unwrap_or_else(|| panic!("{text_of} is missing: {text}"));
    assert!(position("r3999 ") < position("r0 ") && !text.contains("r11 "), "those that are behind come first: {text}");
    assert!(
        text.contains("\n  n2 ") && !text.contains("\n  n0 "),
        "there are more that are behind than are shown: {text}"
    );
    let (document, _) = document(&[&hostile.url]).await;
    let replicas = &document["servers"][0]["replicas"];
    assert_eq!((replicas["list"].as_array().unwrap().len(), &replicas["more"]), (50, &3950.into()));
}
