//! How far the newest change of an account has come.

use std::collections::BTreeMap;
use std::io;

use super::page::Page;
use crate::commands::limits::some;
use crate::commands::moments::Moments;
use crate::commands::shown::printable;
use crate::node::Propagation;

pub(super) fn write(delivery: &Propagation, moments: &Moments, page: &mut Page<'_>) -> io::Result<()> {
    page.section("Delivery")?;
    let complete = if delivery.complete { "every nats-server and replica has it" } else { "not proven everywhere" };
    page.about(&format!("serial {}", delivery.serial), complete)?;
    if let Some(at) = delivery.announced_at {
        page.about("announced", &moments.full(at.div_euclid(1000)))?;
    }
    let mut outcomes: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for server in &delivery.servers {
        outcomes.entry(&server.outcome).or_default().push(server.name.clone());
    }
    for (outcome, servers) in outcomes {
        page.about(&printable(outcome), &numbered(&servers))?;
    }
    let silent: Vec<_> = delivery.silent.iter().map(|server| server.name.clone()).collect();
    let behind: Vec<_> = delivery.replicas_behind.iter().map(|replica| replica.name.clone()).collect();
    for (label, names) in [("no answer", silent), ("replicas behind", behind)] {
        if !names.is_empty() {
            page.about(label, &numbered(&names))?;
        }
    }
    match &delivery.note {
        Some(note) => page.about("note", &printable(note)),
        None => Ok(()),
    }
}

fn numbered(names: &[String]) -> String {
    format!("{}: {}", names.len(), some(names))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::commands::shown::Paint;

    #[test]
    fn servers_are_grouped_by_what_became_of_the_change_there() {
        let server = |name: &str, outcome: &str| json!({ "id": name, "name": name, "outcome": outcome, "after_ms": 1.0, "compared_at": null });
        let delivery = json!({
            "account": "A", "serial": 7, "iat": 1, "identity": "", "committed_at": 1, "announced_at": null, "complete": false,
            "compared_at": null, "note": "a\u{1b}b",
            "servers": [server("n2", "updated"), server("n1", "behind"), server("n3\u{1b}", "updated")],
            "silent": [{ "id": "4", "name": "n4" }],
            "replicas_behind": [{ "id": "5", "name": "eu", "serial": 2, "heard_at": 9 }],
        });
        let (delivery, mut out) = (serde_json::from_value(delivery).expect("a delivery"), Vec::new());
        write(&delivery, &Moments::here(), &mut Page::new(Paint::none(), &mut out)).expect("written");
        let expected = "
Delivery
  serial 7                  not proven everywhere
  behind                    1: n1
  updated                   2: n2, n3\\u{1b}
  no answer                 1: n4
  replicas behind           1: eu
  note                      a\\u{1b}b
";
        assert_eq!(String::from_utf8(out).expect("text"), expected);
    }
}
