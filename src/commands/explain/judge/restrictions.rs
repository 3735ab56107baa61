//! Checks of what the user JWT, or the scope of its signing key, demands of a connection, and of revocations.

use super::super::client::{Client, edit};
use super::super::names::Names;
use super::times;
use crate::calendar::{period, utc_time};
use crate::commands::checks::Check;
use crate::commands::shown::printable;
use crate::jwt::claims::UserTemplate;
use crate::jwt::{AccountJwt, UserJwt, is_revoked};

pub(super) fn checks(
    user: &UserJwt,
    account: &AccountJwt,
    template: &UserTemplate,
    names: &Names,
    client: &Client,
) -> Vec<Check> {
    vec![
        bearer(account, template, names),
        connection_type(template, names, client),
        revocation(user, account, names, client.now),
        source(template, names, client),
        times::check(template, names, client.now),
        proxy(template, names),
    ]
}

fn bearer(account: &AccountJwt, template: &UserTemplate, names: &Names) -> Check {
    const CODE: &str = "bearer";
    match (template.bearer_token, account.body.limits.disallow_bearer) {
        (false, _) => Check::pass(CODE, "the client proves that it has the user's private key"),
        (true, false) => Check::warning(CODE, "it is a bearer token: whoever has the JWT is let in"),
        (true, true) => Check::fail(
            CODE,
            "it is a bearer token, and the account does not allow those",
            format!(
                "{}; or allow them: {}",
                edit(names, "--bearer=false"),
                names.pushed(&format!("nsc edit account -n {} --disallow-bearer=false", names.account))
            ),
        ),
    }
}

fn connection_type(template: &UserTemplate, names: &Names, client: &Client) -> Check {
    const CODE: &str = "connection_type";
    let (list, name) = (&template.allowed_connection_types, client.connection.name());
    if list.is_empty() {
        return Check::pass(CODE, "every type of connection is allowed");
    }
    let shown = printable(&list.join(", "));
    if client.connection.is_allowed_by(list) {
        return Check::pass(CODE, format!("{name} is among the allowed types of connections: {shown}"));
    }
    Check::fail(
        CODE,
        format!("a connection of type {name} is not allowed, only {shown}"),
        edit(names, &format!("--conn-type {name}")),
    )
}

fn revocation(user: &UserJwt, account: &AccountJwt, names: &Names, now: i64) -> Check {
    const CODE: &str = "revocation";
    let (key, iat, revocations) = (&user.claims.sub, user.claims.iat, &account.body.revocations);
    if !is_revoked(revocations, key, iat) {
        let earlier = [key.as_str(), "*"].iter().filter_map(|key| revocations.get(*key)).max();
        return Check::pass(
            CODE,
            earlier.map_or_else(
                || "the account does not revoke the user".to_owned(),
                |until| format!("the account revokes JWTs of the user up to {}; this one is newer", utc_time(*until)),
            ),
        );
    }
    let own = revocations.get(key).filter(|until| **until >= iat);
    let until = own.or_else(|| revocations.get("*")).copied().unwrap_or_default();
    let (whom, name) = if own.is_some() { ("the user", &*names.user) } else { ("all its users (*)", "'*'") };
    Check::fail(
        CODE,
        format!(
            "the account revokes {whom}: JWTs issued up to {}; this one was issued at {}, {} ago",
            utc_time(until),
            utc_time(iat),
            period(now, iat)
        ),
        format!(
            "issue the user again, or withdraw the revocation: {}",
            names.pushed(&format!("nsc revocations delete-user -a {} -n {name}", names.account))
        ),
    )
}

fn source(template: &UserTemplate, names: &Names, client: &Client) -> Check {
    const CODE: &str = "source";
    let networks = &template.src.0;
    if networks.is_empty() {
        return Check::pass(CODE, "every address is allowed");
    }
    let shown = printable(&networks.join(", "));
    let Some(address) = client.from.map(|address| address.to_canonical()) else {
        return Check::unknown(
            CODE,
            format!("only clients in {shown} are accepted"),
            "give the address that the nats-server sees, with --from",
        );
    };
    let contains = |network: &String| network.parse::<ipnet::IpNet>().is_ok_and(|network| network.contains(&address));
    if networks.iter().any(contains) {
        return Check::pass(CODE, format!("{address} is in the allowed networks: {shown}"));
    }
    Check::fail(
        CODE,
        format!("{address} is not in the allowed networks: {shown}"),
        edit(names, &format!("--source-network {address}/{}", if address.is_ipv4() { 32 } else { 128 })),
    )
}

fn proxy(template: &UserTemplate, names: &Names) -> Check {
    const CODE: &str = "proxy";
    if !template.proxy_required {
        return Check::pass(CODE, "it needs no proxy");
    }
    Check::unknown(
        CODE,
        "the user must come through a trusted proxy; nats-servers before 2.12 do not check that",
        format!("connect through the proxy, or: {}", edit(names, "--proxy-required=false")),
    )
}
