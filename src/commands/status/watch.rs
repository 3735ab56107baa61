//! One look, or one after another.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::ask::ask;
use super::judge::State;
use super::report::Report;
use crate::calendar::utc_time;
use crate::clock;
use crate::commands::shown::Paint;
use crate::upstream::remote::RemoteServer;

/// How a look is shown.
#[derive(Clone, Copy, Debug)]
pub(super) enum Form {
    Text(Paint),
    Json,
}

/// Looks once, or every `interval` until a signal, or until standard output is closed. Gives the state of the last look.
pub(super) async fn run(servers: &[RemoteServer], patience: Duration, every: Option<Duration>, form: Form) -> State {
    let Some(every) = every else {
        let report = look(servers, patience).await;
        // Nobody to tell, if standard output is closed. The exit status still says it.
        let _ = show(&report, form, None);
        return report.state;
    };
    // Nothing is known before the first look.
    let mut state = State::Unreachable;
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watching = async {
        for turn in 0_u64.. {
            ticks.tick().await;
            let report = look(servers, patience).await;
            state = report.state;
            if show(&report, form, Some(turn)).is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = watching => {}
        () = told_to_stop() => {}
    }
    state
}

/// Asks all servers at the same time.
async fn look(servers: &[RemoteServer], patience: Duration) -> Report {
    let asked = join_all(servers.iter().map(async |server| (server.shown(), ask(server, patience).await))).await;
    Report::new(asked, clock::unix_millis())
}

/// Shows a look. `turn`: which one it is, if others follow. It fails if standard output is closed.
fn show(report: &Report, form: Form, turn: Option<u64>) -> io::Result<()> {
    let mut text = Vec::new();
    match (form, turn) {
        (Form::Json, _) => report.write_json(turn.is_some(), &mut text)?,
        (Form::Text(paint), None) => report.write(paint, &mut text)?,
        (Form::Text(paint), Some(turn)) => {
            let is_terminal = io::stdout().is_terminal();
            if !is_terminal && turn > 0 {
                writeln!(text)?;
            }
            writeln!(text, "{}\n", utc_time(report.at / 1000))?;
            report.write(paint, &mut text)?;
            if is_terminal {
                text = redrawn(&text, turn == 0);
            }
        }
    }
    let mut out = io::stdout().lock();
    out.write_all(&text)?;
    out.flush()
}

/// What draws lines over those of the look before, without a moment in which the screen is empty.
fn redrawn(lines: &[u8], is_first: bool) -> Vec<u8> {
    let mut drawn = if is_first { b"\x1b[2J\x1b[H".to_vec() } else { b"\x1b[H".to_vec() };
    for line in lines.split_inclusive(|byte| *byte == b'\n') {
        drawn.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
        drawn.extend_from_slice(b"\x1b[K\n");
    }
    drawn.extend_from_slice(b"\x1b[J");
    drawn
}

/// Waits for Ctrl-C, or for the signal that ends services.
async fn told_to_stop() {
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupted), Ok(mut terminated)) => {
            tokio::select! {
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
        }
        // Then the signals end the process by themselves.
        _ => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_drawn_over_the_one_before() {
        for (is_first, start) in [(true, "\x1b[2J\x1b[H"), (false, "\x1b[H")] {
            let drawn = String::from_utf8(redrawn(b"a\nb\n", is_first)).expect("text");
            assert_eq!(drawn, format!("{start}a\x1b[K\nb\x1b[K\n\x1b[J"));
        }
    }
}
