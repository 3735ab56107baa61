//! A load of keep-alive connections that wrk makes (`apt-get install wrk`).

use std::process::Command;

/// What wrk saw.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// Requests that were answered.
    pub(crate) requests: f64,
    /// Requests answered per second.
    pub(crate) rate: f64,
}

/// Runs wrk with 64 connections for so many seconds. `more` are further arguments, the URL among them. Every answer has to be
/// a good one.
pub(crate) fn wrk(threads: u32, seconds: u32, more: &[&str]) -> Seen {
    let output = Command::new("wrk")
        .args([format!("-t{threads}"), "-c64".to_owned(), format!("-d{seconds}s")])
        .args(more)
        .output()
        .expect("wrk is needed: apt-get install wrk");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && !text.contains("Non-2xx"), "{text}");
    let number = |line: Option<&str>| line.expect("wrk counts requests").trim().parse().unwrap();
    Seen {
        requests: number(text.lines().find_map(|line| Some(line.trim().split_once(" requests in ")?.0))),
        rate: number(text.lines().find_map(|line| line.strip_prefix("Requests/sec:"))),
    }
}
