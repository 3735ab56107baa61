//! What to try while the demo runs: commands to copy, with the real ports, keys and paths.

use super::error::DemoError;
use super::mint::Version;
use super::nsc;
use super::report::Report;
use super::stage::Stage;

/// Prints the commands. Those that need a nats-server are left out when there is none.
pub(super) fn print(stage: &Stage, report: &Report, with_nats: bool) -> Result<(), DemoError> {
    let connections = Version { number: 4, connections: Some(0), revoked: Some(&stage.cast.alice) };
    stage.version("app-4-cut-off", &stage.cast.app, connections)?;
    let app = stage.at_primary(&stage.cast.app);
    let at_replica = stage.at_replica(&stage.cast.app);
    report.heading("Try next, in another terminal");
    if with_nats {
        nats(stage, report);
    }
    report.command("the JWT that nats-servers get, and what it says", &format!("curl -i {at_replica}"));
    report.command("the same for people", &format!("curl '{at_replica}?decode=true'"));
    let cut_off = path(stage, "jwt/app-4-cut-off.jwt");
    let purpose = if with_nats {
        "forbid app any connection: its clients are cut off at once"
    } else {
        "forbid app any connection"
    };
    report.command(purpose, &format!("curl --data-binary @{cut_off} {app}"));
    let foreign = path(stage, "jwt/app-foreign.jwt");
    report.command("a JWT of another operator is rejected", &format!("curl --data-binary @{foreign} {app}"));
    nsc_commands(stage, report);
    let (primary, replica) = (stage.ports.primary_url(), stage.ports.replica_url());
    report.command("how the replica is doing", &format!("curl '{replica}/readyz?verbose'"));
    report.command("what Prometheus scrapes", &format!("curl {primary}/metrics"));
    report.command(
        "every change, as it happens",
        &format!("curl -N -H 'Accept: text/event-stream' {primary}/jwt/v1/changes"),
    );
    Ok(())
}

fn nats(stage: &Stage, report: &Report) {
    let nats = format!("nats -s {}", stage.ports.nats_url());
    let bob = path(stage, "bob.creds");
    report.command("be a user of app", &format!("{nats} --creds {bob} sub '>'"));
    report.command("send that user a message", &format!("{nats} --creds {bob} pub hello 'it works'"));
    report.command(
        "see the servers as a user of the system account",
        &format!("{nats} --creds {} server list", path(stage, "sys.creds")),
    );
    let account = format!("{}/accountz?acc={}", stage.ports.monitor_url(), stage.cast.app.id());
    report.command("what the nats-server knows of app", &format!("curl '{account}'"));
}

fn nsc_commands(stage: &Stage, report: &Report) {
    let nsc = format!("nsc -H {}", path(stage, nsc::DIR));
    report.command(
        "change app with nsc, and push it: any number of connections, but messages of 64 bytes at most",
        &format!("{nsc} edit account app --payload 64 && {nsc} push -a app"),
    );
    report.command("pull everything with nsc", &format!("{nsc} pull -A"));
}

/// A path in the demo's folder, as a word of the shell.
fn path(stage: &Stage, name: &str) -> String {
    word(&stage.folder.path(name).display().to_string())
}

fn word(text: &str) -> String {
    let plain = |symbol: char| symbol.is_ascii_alphanumeric() || "/._-+:@%".contains(symbol);
    if text.chars().all(plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_quoted_for_the_shell_where_it_needs_that() {
        assert_eq!(word("/home/me/demo"), "/home/me/demo");
        assert_eq!(word("/home/my demo"), "'/home/my demo'");
        assert_eq!(word("it's"), r"'it'\''s'");
    }
}
