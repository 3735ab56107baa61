//! Checks of the user's account: whether a nats-server gets a JWT of it, and accepts that.

use super::super::names::{Names, account_key};
use crate::calendar::{period, utc_time};
use crate::commands::checks::Check;
use crate::commands::shown::{called, printable};
use crate::gate::Trust;
use crate::jwt::{AccountJwt, UserJwt};
use crate::key::AccountKey;

/// What is stored of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum AccountState {
    /// This JWT.
    Stored(String),
    /// A JWT that is not served: why.
    Withheld(String),
    /// It was deleted, by a request of this time if that is known, unix seconds.
    Deleted(Option<i64>),
    /// Nothing.
    Absent,
    /// That cannot be told: why.
    Unclear(String),
}

impl AccountState {
    /// The account's JWT, if there is one that can be read.
    pub(super) fn jwt(&self) -> Option<AccountJwt> {
        match self {
            Self::Stored(token) => AccountJwt::decode(token).ok(),
            _ => None,
        }
    }
}

pub(super) fn checks(
    user: &UserJwt,
    state: &AccountState,
    operator: Option<&Trust>,
    names: &Names,
    now: i64,
) -> Vec<Check> {
    let mut checks = vec![issuer(user, names), stored(user, state, names, now)];
    if let Some(account) = state.jwt() {
        checks.extend([signature(&account, operator, names), claims(&account, names), time(&account, names, now)]);
    }
    checks
}

fn issuer(user: &UserJwt, names: &Names) -> Check {
    const CODE: &str = "user_issuer";
    let key = account_key(user);
    if let Err(error) = AccountKey::parse(key) {
        return Check::fail(
            CODE,
            format!("the user JWT names no account: {error}"),
            format!("nsc add user -a {} -n {}", names.account, names.user),
        );
    }
    if user.body.issuer_account.is_empty() || key == user.claims.iss {
        return Check::pass(CODE, format!("its issuer is the account {key} itself"));
    }
    Check::pass(CODE, format!("its issuer is the signing key {} of the account {key}", user.claims.iss))
}

fn stored(user: &UserJwt, state: &AccountState, names: &Names, now: i64) -> Check {
    const CODE: &str = "account";
    let key = printable(account_key(user));
    match state {
        AccountState::Stored(token) => match AccountJwt::decode(token) {
            Ok(account) if account.claims.sub != account_key(user) => {
                Check::fail(CODE, format!("what is stored for {key} is about {}", account.claims.sub), names.push())
            }
            Ok(account) => {
                let (called, iat) = (called(&account.claims.name, &account.claims.sub), account.claims.iat);
                Check::pass(CODE, format!("the JWT of {called} is of {}, {} ago", utc_time(iat), period(now, iat)))
            }
            Err(error) => Check::fail(CODE, format!("the JWT of account {key} cannot be read: {error}"), names.push()),
        },
        AccountState::Withheld(why) => Check::fail(CODE, why.clone(), names.push()),
        AccountState::Deleted(at) => {
            let when = at.map_or_else(String::new, |at| format!(" at {}, {} ago", utc_time(at), period(now, at)));
            Check::fail(
                CODE,
                format!("the account {key} was deleted{when}"),
                format!("to bring it back, sign it again with nsc edit account, then: {}", names.push()),
            )
        }
        AccountState::Absent => Check::fail(CODE, format!("there is no JWT of the account {key}"), names.push()),
        AccountState::Unclear(why) => Check::unknown(
            CODE,
            format!("it cannot be told what is stored of the account {key}: {why}"),
            "ask the primary, with --url",
        ),
    }
}

fn signature(account: &AccountJwt, operator: Option<&Trust>, names: &Names) -> Check {
    const CODE: &str = "account_signature";
    let issuer = &account.claims.iss;
    let Some(operator) = operator else {
        return Check::unknown(
            CODE,
            format!("{issuer} signed the account, and it is not known whether the operator lists that key"),
            "give the operator's JWT, with -operator",
        );
    };
    let of = called(operator.name(), &operator.identity().text());
    if operator.vouches(issuer) {
        return Check::pass(CODE, format!("a key of the operator {of} signed the account"));
    }
    let why = if *issuer == operator.identity().text() {
        "its identity key, but the operator allows only signing keys to sign accounts"
    } else if *issuer == account.claims.sub {
        "the account itself"
    } else {
        "a key that its JWT does not list"
    };
    Check::fail(
        CODE,
        format!("the operator {of} does not vouch for the account: {issuer} signed it, {why}"),
        format!(
            "sign the account with a key of the operator (nsc edit account -n {} -K KEY), then: {}",
            names.account,
            names.push()
        ),
    )
}

fn claims(account: &AccountJwt, names: &Names) -> Check {
    const CODE: &str = "account_claims";
    let issues = account.validate(0);
    let problems: Vec<_> = issues.iter().filter(|issue| issue.blocking).map(|issue| printable(&issue.text)).collect();
    if problems.is_empty() {
        return Check::pass(CODE, "the account's claims are valid");
    }
    Check::fail(
        CODE,
        format!("the account's claims are not valid: {}", problems.join("; ")),
        names.pushed(&format!("correct them with nsc edit account -n {}", names.account)),
    )
}

/// nats-server also ends an account in the second of its expiry.
fn time(account: &AccountJwt, names: &Names, now: i64) -> Check {
    const CODE: &str = "account_time";
    let (exp, nbf) = (account.claims.exp, account.claims.nbf);
    let edit = |flags: &str| names.pushed(&format!("nsc edit account -n {} {flags}", names.account));
    if exp > 0 && now >= exp {
        let text = format!("the account expired at {}, {} ago", utc_time(exp), period(now, exp));
        return Check::fail(CODE, text, edit("--expiry 0"));
    }
    if nbf > now {
        let text = format!("the account is valid from {} on, in {}", utc_time(nbf), period(now, nbf));
        return Check::fail(CODE, text, format!("wait, or: {}", edit("--start 0")));
    }
    if exp == 0 {
        return Check::pass(CODE, "the account never expires");
    }
    Check::pass(CODE, format!("the account expires at {}, in {}", utc_time(exp), period(now, exp)))
}
