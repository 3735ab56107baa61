//! The key that signed the user, and what it lets the user do.

use super::super::names::Names;
use super::template;
use crate::commands::checks::Check;
use crate::commands::shown::printable;
use crate::jwt::claims::UserTemplate;
use crate::jwt::{AccountJwt, UserJwt};

/// Checks the signing key and its scope. Returns the permissions and limits that count, too. `is_strict`: the operator demands
/// signing keys.
pub(super) fn checks(
    user: &UserJwt,
    account: &AccountJwt,
    is_strict: bool,
    names: &Names,
) -> (UserTemplate, Vec<Check>) {
    let (issuer, own) = (&user.claims.iss, &user.body.template);
    let mut checks = vec![signing_key(issuer, account, is_strict, names)];
    let Some(scope) = account.body.signing_keys.scope(issuer) else { return (own.clone(), checks) };
    let (filled, refused) = template::fill(&scope.template, user, account);
    checks.push(match refused {
        _ if *own != UserTemplate::default() => own_permissions(names),
        Some(subject) => Check::fail(
            "scope",
            format!(
                "the scope denies the subject {}, and the user's tags do not make it a valid one",
                printable(&subject)
            ),
            names.reissued(&format!("nsc edit user -a {} -n {} --tag TAG:VALUE", names.account, names.user)),
        ),
        None => Check::pass("scope", format!("its permissions are those of the scope {}", role(names))),
    });
    (filled, checks)
}

fn signing_key(issuer: &str, account: &AccountJwt, is_strict: bool, names: &Names) -> Check {
    const CODE: &str = "signing_key";
    // nats-server applies the operator's demand to the users of its accounts, too.
    if issuer == account.claims.sub && is_strict {
        return Check::fail(
            CODE,
            "the account's identity key signed the user, but the operator demands signing keys",
            names.reissued(&format!("nsc edit user -a {} -n {} -K KEY", names.account, names.user)),
        );
    }
    if issuer == account.claims.sub {
        return Check::pass(CODE, "the account's identity key signed the user");
    }
    if account.body.signing_keys.contains(issuer) {
        return Check::pass(CODE, "the account lists the signing key that signed the user");
    }
    Check::fail(
        CODE,
        format!(
            "the account does not list the signing key {issuer} that signed the user: it was removed, or never pushed"
        ),
        format!(
            "sign the user with a listed key (nsc edit user -a {} -n {} -K KEY), or list this one again: {}",
            names.account,
            names.user,
            names.pushed(&format!("nsc edit account -n {} --sk {issuer}", names.account))
        ),
    )
}

fn own_permissions(names: &Names) -> Check {
    Check::fail(
        "scope",
        format!("the scope {} decides all permissions and limits, and the user JWT carries its own", role(names)),
        format!(
            "make the user again without permissions and limits: nsc delete user -a {account} -n {user} && nsc add user -a \
             {account} -n {user} -K {role}",
            account = names.account,
            user = names.user,
            role = role(names)
        ),
    )
}

fn role(names: &Names) -> &str {
    names.role.as_deref().unwrap_or_default()
}

/// The service that decides about users of the account, if it is asked about this one. Its answer cannot be told from here.
pub(super) fn authorization_service(user: &UserJwt, account: &AccountJwt) -> Option<Check> {
    let users = &account.body.authorization.auth_users;
    if users.is_empty() || users.contains(&user.claims.sub) {
        return None;
    }
    Some(Check::unknown(
        "auth_callout",
        "an authorization service of the account decides about its users, whatever the checks above say",
        "look into the log of that service",
    ))
}
