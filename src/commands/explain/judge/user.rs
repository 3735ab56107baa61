//! Checks of the user JWT alone.

use super::super::names::Names;
use super::times;
use crate::calendar::{period, utc_time};
use crate::commands::checks::Check;
use crate::commands::shown::printable;
use crate::jwt::UserJwt;
use crate::key::{Kind, PublicKey};

/// The longest line that a nats-server reads unless `max_control_line` is raised, in bytes.
const CONTROL_LINE: usize = 4096;
/// Bytes of that line besides the JWT: the signature, and what the client says of itself.
const BESIDE: usize = 400;

pub(super) fn checks(user: &UserJwt, size: usize, names: &Names, now: i64) -> Vec<Check> {
    let mut checks = vec![readable(user, names), claims(user, names), time(user, names, now)];
    if size + BESIDE > CONTROL_LINE {
        checks.push(Check::warning(
            "user_size",
            format!(
                "the JWT has {size} bytes; with the rest of the client's CONNECT it may be longer than the {CONTROL_LINE} \
                 bytes that a nats-server reads unless max_control_line is raised"
            ),
        ));
    }
    checks
}

/// The signature was verified when the JWT was decoded.
fn readable(user: &UserJwt, names: &Names) -> Check {
    const CODE: &str = "user_jwt";
    match PublicKey::parse_kind(&user.claims.sub, Kind::User) {
        Ok(_) => Check::pass(CODE, format!("the user JWT is genuine: {} signed it", printable(&user.claims.iss))),
        Err(error) => Check::fail(
            CODE,
            format!("the subject of the user JWT is {error}"),
            format!("nsc add user -a {} -n {}", names.account, names.user),
        ),
    }
}

fn claims(user: &UserJwt, names: &Names) -> Check {
    const CODE: &str = "user_claims";
    let issues = user.validate(0);
    let mut problems: Vec<_> =
        issues.iter().filter(|issue| issue.blocking).map(|issue| printable(&issue.text)).collect();
    let zone = &user.body.template.times_location;
    if times::is_wrong_zone(zone) {
        problems.push(format!("there is no time zone {}", printable(zone)));
    }
    if problems.is_empty() {
        return Check::pass(CODE, "its claims are valid");
    }
    Check::fail(
        CODE,
        format!("its claims are not valid: {}", problems.join("; ")),
        format!(
            "correct them with nsc edit user -a {} -n {}, and give the client the new JWT",
            names.account, names.user
        ),
    )
}

fn time(user: &UserJwt, names: &Names, now: i64) -> Check {
    const CODE: &str = "user_time";
    let (exp, nbf) = (user.claims.exp, user.claims.nbf);
    let edit = |flags: &str| names.reissued(&format!("nsc edit user -a {} -n {} {flags}", names.account, names.user));
    if exp > 0 && now > exp {
        let text = format!("the user JWT expired at {}, {} ago", utc_time(exp), period(now, exp));
        return Check::fail(CODE, text, edit("--expiry 30d"));
    }
    if nbf > now {
        let text = format!("the user JWT is valid from {} on, in {}", utc_time(nbf), period(now, nbf));
        return Check::fail(CODE, text, format!("wait, or: {}", edit("--start 0")));
    }
    if exp == 0 {
        return Check::pass(CODE, "it never expires");
    }
    Check::pass(CODE, format!("it expires at {}, in {}", utc_time(exp), period(now, exp)))
}
