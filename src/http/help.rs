//! `GET /jwt/v1/help`: what can be asked, with examples that work as they are shown.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};

use super::{Shared, address, reply};
use crate::node::Writes;

/// Where this server is said to be, if the request does not say it in plain letters.
const SOMEWHERE: &str = "localhost:9090";
/// The longest name of a host that is repeated, in bytes.
const LONGEST_HOST: usize = 255;

const START: &str = "
# NATS Account Server JWT API HELP

In these examples ACCOUNT is the public key of an account, A..., and HASH the hash of an activation.

## For nats-server

The configuration of a nats-server that asks this server for accounts:

    <resolver>

";

const CHANGES: &str = "\
## Pushing

An account JWT that the operator signed, and an activation JWT that an account signed. With 200 it
is on disk; any other answer says why it is not.

    curl -X POST --data-binary @account.jwt <base>/jwt/v1/accounts/$ACCOUNT
    curl -X POST --data-binary @activation.jwt <base>/jwt/v1/activations

With ?wait=2s the answer waits until the nats-servers have the account, and its header
Nas-Receipts says which.

    curl -i -X POST --data-binary @account.jwt \"<base>/jwt/v1/accounts/$ACCOUNT?wait=2s\"

";

const READS: &str = "\
## Reading

The JWTs of an account and of the operator, byte for byte; an activation, by its hash:

    curl <base>/jwt/v1/accounts/$ACCOUNT
    curl <base>/jwt/v1/operator
    curl <base>/jwt/v1/activations/$HASH

Parameters, which count if their value is true; the first of them decides:

  text=true     the JWT as text
  decode=true   header and claims, to be read by people
  check=true    404 if the JWT of an account has expired
  notify=true   announce the JWT to the nats-servers again; each at most once in 10 seconds

    curl \"<base>/jwt/v1/accounts/$ACCOUNT?text=true\"
    curl \"<base>/jwt/v1/accounts/$ACCOUNT?decode=true\"
    curl \"<base>/jwt/v1/accounts/$ACCOUNT?check=true\"
    curl \"<base>/jwt/v1/activations/$HASH?decode=true\"

HEAD answers as GET does, without the body. Who accepts JSON gets errors as problem documents.

    curl -I <base>/jwt/v1/accounts/$ACCOUNT
    curl -H \"Accept: application/json\" <base>/jwt/v1/accounts/$ACCOUNT

";

const OF_A_PRIMARY: &str = "\
## All accounts, and the past of one

Every JWT that is served, as a line KEY|JWT, and no more of them than max says; the versions that
an account had; which nats-servers have its newest one; and all changes, in order:

    curl \"<base>/jwt/v1/pack?max=100\"
    curl <base>/jwt/v1/accounts/$ACCOUNT/history
    curl <base>/jwt/v1/accounts/$ACCOUNT/propagation
    curl <base>/jwt/v1/changes

";

const DELETIONS: &str = "\
## Deleting

A request that the operator signs, with the seed of its key in a file, and that names the accounts:

    nats-account-server delete-request --seed-file operator.nk $ACCOUNT > request.jwt
    curl -X DELETE --data-binary @request.jwt <base>/jwt/v1/accounts/$ACCOUNT

";

const HEALTH: &str = "\
## Health

    curl <base>/healthz
    curl <base>/livez
    curl \"<base>/readyz?verbose\"
    curl <base>/jwt/v1/followers
    curl <base>/metrics
";

pub(super) fn get(request: &HttpRequest, shared: &Shared) -> HttpResponse {
    let base = base(request, shared);
    let mut text = START.to_owned();
    let refused = match shared.node.writes() {
        Writes::Refused(error) => Some(error),
        _ => None,
    };
    match &refused {
        Some(error) => text.push_str(&format!("## Pushing\n\nNot here: {error}\n\n")),
        None => text.push_str(CHANGES),
    }
    text.push_str(READS);
    if shared.node.is_primary() {
        text.push_str(OF_A_PRIMARY);
    }
    if refused.is_none() {
        text.push_str(DELETIONS);
    }
    text.push_str(HEALTH);
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/plain"))
        .insert_header(reply::NOSNIFF)
        // It depends on how this server was addressed.
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(filled(&text, &base))
}

/// The text with this server's address in it. A shell takes brackets for a pattern, so a URL with them is in quotes.
fn filled(text: &str, base: &str) -> String {
    let text = text.replace("<resolver>", &address::resolver(base));
    if !base.contains('[') {
        return text.replace("<base>", base);
    }
    let quoted = text.split_inclusive([' ', '\n']).map(|word| match word.strip_prefix("<base>") {
        Some(rest) => format!("\"<base>{}\"{}", rest.trim_end(), &rest[rest.trim_end().len()..]),
        None => word.to_owned(),
    });
    quoted.collect::<String>().replace("<base>", base)
}

/// This server as the client reached it. People paste it into a shell, so it is made of plain letters only.
fn base(request: &HttpRequest, shared: &Shared) -> String {
    let connection = request.connection_info();
    let scheme = if shared.is_https || connection.scheme() == "https" { "https" } else { "http" };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    let host = connection.host();
    let host =
        if !host.is_empty() && host.len() <= LONGEST_HOST && host.bytes().all(is_plain) { host } else { SOMEWHERE };
    format!("{scheme}://{host}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_are_quoted_for_a_shell() {
        let text = "    curl <base>/a\n    curl -I <base>/b -d x\n    curl \"<base>/c?d\"\n    <resolver>\n";
        assert_eq!(
            filled(text, "http://[::1]:1"),
            "    curl \"http://[::1]:1/a\"\n    curl -I \"http://[::1]:1/b\" -d x\n    curl \"http://[::1]:1/c?d\"\n    \
             resolver: \"URL(http://[::1]:1/jwt/v1/accounts/)\"\n"
        );
        assert!(filled(text, "http://a:1").starts_with("    curl http://a:1/a\n"));
        let whole = [START, CHANGES, READS, OF_A_PRIMARY, DELETIONS, HEALTH].concat();
        let commands = filled(&whole, "http://[::1]:1");
        for line in commands.lines().filter(|line| line.contains("http://")) {
            assert_eq!(line.matches("\"http://").count() + line.matches("\"URL(http://").count(), 1, "{line}");
            assert_eq!(line.matches('"').count() % 2, 0, "{line}");
        }
    }
}
