//! Checks of what was made, and of what it refers to.

use super::super::checks::Check;
use super::super::shown::{called, printable, word};
use super::files::{FileState, MadeFile};
use super::plan::Plan;
use crate::calendar::utc_time;
use crate::clock;
use crate::config::{Overrides, Settings};
use crate::gate::Trust;
use crate::jwt::OperatorJwt;
use crate::nats;

pub(super) fn checks(plan: &Plan, given: &Settings, trust: &Trust, files: &[MadeFile]) -> Vec<Check> {
    let mut checks: Vec<_> = files.iter().filter(|file| file.state == FileState::Kept).map(kept).collect();
    checks.extend([operator(trust), account_server(plan, trust), system_account(trust), creds(plan, trust)]);
    checks.extend([settings(plan), listening(given)]);
    checks
}

fn kept(file: &MadeFile) -> Check {
    let text = format!("{} is there with other content, and was not changed", file.path.display());
    Check { remedy: Some("move it away, and run this again".to_owned()), ..Check::warning("file", text) }
}

fn operator(trust: &Trust) -> Check {
    const CODE: &str = "operator";
    let called = called(trust.name(), &trust.identity().text());
    if trust.is_expired(clock::unix_seconds()) {
        let text = format!("the JWT of the operator {called} expired at {}", utc_time(trust.exp()));
        return Check { remedy: Some("nsc edit operator --expiry 0".to_owned()), ..Check::warning(CODE, text) };
    }
    match trust.warnings() {
        [] => Check::pass(CODE, format!("the JWT of the operator {called} can be used")),
        warnings => Check::warning(
            CODE,
            format!("the JWT of the operator {called} can be used: {}", printable(&warnings.join("; "))),
        ),
    }
}

/// nsc pushes to the address in the operator's JWT.
fn account_server(plan: &Plan, trust: &Trust) -> Check {
    const CODE: &str = "account_server";
    let named = OperatorJwt::decode(trust.text()).map(|jwt| jwt.body.account_server_url).unwrap_or_default();
    let wanted = format!("{}/jwt/v1", plan.url);
    if named.is_empty() {
        let remedy = Some(format!("nsc edit operator --account-jwt-server-url {}", word(&wanted)));
        return Check { remedy, ..Check::warning(CODE, "the operator's JWT does not say where nsc pushes accounts") };
    }
    Check::pass(CODE, format!("nsc pushes accounts to {}", printable(&named)))
}

fn system_account(trust: &Trust) -> Check {
    const CODE: &str = "system_account";
    match trust.system_account() {
        Some(key) => Check::pass(CODE, format!("the system account is {key}")),
        None => Check {
            remedy: Some("nsc edit operator --system-account SYS".to_owned()),
            ..Check::warning(
                CODE,
                "the operator's JWT names no system account: this server cannot announce changes over NATS, so nats-servers go on \
                 with what they have loaded, revoked users included",
            )
        },
    }
}

fn creds(plan: &Plan, trust: &Trust) -> Check {
    const CODE: &str = "creds";
    let generate = "nsc generate creds -a SYS -n sys > sys.creds";
    let Some(path) = &plan.creds else {
        return Check {
            remedy: Some(generate.to_owned()),
            ..Check::warning(CODE, "there are no credentials (--creds): no change is announced over NATS")
        };
    };
    let shown = path.display();
    match (nats::account_in(path), trust.system_account()) {
        (Err(why), _) => Check::fail(CODE, format!("{shown} cannot be used: {why}"), generate),
        (Ok((_, exp)), _) if exp > 0 && exp <= clock::unix_seconds() => {
            Check::fail(CODE, format!("the user in {shown} expired at {}", utc_time(exp)), generate)
        }
        (Ok((account, _)), Some(system)) if account == *system => {
            Check::pass(CODE, format!("{shown} has a user of the system account"))
        }
        (Ok((account, _)), Some(_)) => Check::fail(
            CODE,
            format!("{shown} has a user of the account {account}, and not of the system account"),
            generate,
        ),
        (Ok((account, _)), None) => Check::warning(
            CODE,
            format!("{shown} has a user of the account {account}; no account is the system account"),
        ),
    }
}

fn settings(plan: &Plan) -> Check {
    const CODE: &str = "settings";
    let file = plan.settings_file();
    let shown = file.display();
    // What this process has in its environment is not what the server will have.
    let loaded = Settings::load_with(Overrides::new(Some(file.clone())), std::iter::empty());
    match loaded.map(|(_, warnings)| warnings) {
        Ok(warnings) if warnings.is_empty() => Check::pass(CODE, format!("the server can use {shown}")),
        Ok(warnings) => {
            Check::warning(CODE, format!("the server can use {shown}: {}", printable(&warnings.join("; "))))
        }
        Err(error) => {
            Check::fail(CODE, format!("the server cannot use {shown}: {error}"), "correct it, or move it away")
        }
    }
}

fn listening(given: &Settings) -> Check {
    const CODE: &str = "listen";
    let host = &given.http.host;
    let is_local = host == "localhost" || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback());
    let text = format!("the server will listen on {}:{}", printable(host), given.http.port);
    if is_local {
        let remedy = Some(format!("if other machines need it: -hp 0.0.0.0:{}", given.http.port));
        return Check { remedy, ..Check::warning(CODE, format!("{text}, which only this machine reaches")) };
    }
    Check::pass(CODE, text)
}
