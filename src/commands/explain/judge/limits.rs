//! Checks of how many connections the account may have.

use super::super::client::Client;
use super::super::names::Names;
use crate::commands::checks::Check;
use crate::jwt::AccountJwt;

pub(super) fn checks(account: &AccountJwt, names: &Names, client: &Client) -> Vec<Check> {
    let limits = &account.body.limits;
    let (most, what, flag) = if client.connection.is_leafnode() {
        (limits.leaf, "leafnode connections", "--leaf-conns")
    } else {
        (limits.conn, "connections", "--conns")
    };
    vec![connections(most, what, names, flag)]
}

fn connections(most: i64, what: &str, names: &Names, flag: &str) -> Check {
    const CODE: &str = "connections";
    match most {
        ..0 => Check::pass(CODE, format!("the account may have any number of {what}")),
        0 => Check::fail(
            CODE,
            format!("the account may have no {what}: the limit is 0"),
            names.pushed(&format!("nsc edit account -n {} {flag} -1", names.account)),
        ),
        most => Check::warning(CODE, format!("the account may have {most} {what}, and a further one is refused")),
    }
}
