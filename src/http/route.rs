//! Which route a path leads to.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use actix_web::http::Method;

use super::api::ApiRoute;
use super::query::Params;
use crate::access::Scopes;
use crate::config::Scope;

/// A route, with what the path says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route<'p> {
    /// `/jwt/v1/accounts/`: nats-server asks for it at start and wants 200.
    Probe,
    /// `/jwt/v1/accounts/<key>`
    Account(&'p str),
    /// `/jwt/v1/accounts/<key>/history`
    History(&'p str),
    /// `/jwt/v1/accounts/<key>/propagation`
    Propagation(&'p str),
    /// `/jwt/v1/activations`
    Activations,
    /// `/jwt/v1/activations/<hash>`, which may be empty
    Activation(&'p str),
    Operator,
    Changes,
    Digests,
    Keys,
    Followers,
    Ahead,
    /// `/api/v1/…`
    Api(ApiRoute<'p>),
    Help,
    Pack,
    Healthz,
    Livez,
    Readyz,
    Metrics,
    /// `*`: the server as a whole, which `OPTIONS` may ask about.
    Server,
    /// A known path with a slash too many.
    Slash,
    Unknown,
}

impl<'p> Route<'p> {
    pub(super) fn of(path: &'p str) -> Self {
        if let Some(key) = path.strip_prefix("/jwt/v1/accounts/") {
            return match key.split_once('/') {
                None if key.is_empty() => Self::Probe,
                None => Self::Account(key),
                Some((before, "")) if !before.is_empty() => Self::Slash,
                Some((key, page)) => Self::page(key, page),
            };
        }
        if let Some(hash) = path.strip_prefix("/jwt/v1/activations/") {
            return match hash.split_once('/') {
                None => Self::Activation(hash),
                Some((before, "")) if !before.is_empty() => Self::Slash,
                Some(_) => Self::Unknown,
            };
        }
        match Self::exact(path) {
            // One slash too many is mended, not any number of them.
            Self::Unknown => match path.strip_suffix('/') {
                Some(rest) if Self::exact(rest) != Self::Unknown => Self::Slash,
                _ => Self::Unknown,
            },
            route => route,
        }
    }

    /// A page about an account.
    fn page(key: &'p str, page: &str) -> Self {
        match page {
            "history" if !key.is_empty() => Self::History(key),
            "propagation" if !key.is_empty() => Self::Propagation(key),
            _ => match page.strip_suffix('/') {
                Some(rest) if !rest.ends_with('/') && Self::page(key, rest) != Self::Unknown => Self::Slash,
                _ => Self::Unknown,
            },
        }
    }

    fn exact(path: &'p str) -> Self {
        if let Some(route) = ApiRoute::of(path) {
            return Self::Api(route);
        }
        match path {
            "/jwt/v1/accounts" => Self::Probe,
            "/jwt/v1/activations" => Self::Activations,
            "/jwt/v1/operator" => Self::Operator,
            "/jwt/v1/changes" => Self::Changes,
            "/jwt/v1/digests" => Self::Digests,
            "/jwt/v1/keys" => Self::Keys,
            "/jwt/v1/followers" => Self::Followers,
            "/jwt/v1/ahead" => Self::Ahead,
            "/jwt/v1/help" => Self::Help,
            "/jwt/v1/pack" => Self::Pack,
            "/healthz" => Self::Healthz,
            "/livez" => Self::Livez,
            "/readyz" => Self::Readyz,
            "/metrics" => Self::Metrics,
            "*" => Self::Server,
            _ => Self::Unknown,
        }
    }

    /// The methods that the route allows. `takes_changes`: whether this server stores changes or passes them on.
    pub(super) const fn allow(&self, takes_changes: bool) -> &'static str {
        match self {
            Self::Account(_) if takes_changes => "GET, HEAD, POST, DELETE, OPTIONS",
            Self::Operator if takes_changes => "GET, HEAD, POST, OPTIONS",
            Self::Activations if takes_changes => "POST, OPTIONS",
            Self::Activations => "OPTIONS",
            Self::Api(ApiRoute::Check) => "POST, OPTIONS",
            // Their POST changes no account.
            Self::Digests | Self::Followers => "GET, HEAD, POST, OPTIONS",
            _ => "GET, HEAD, OPTIONS",
        }
    }

    /// What a client must be allowed to do for a request.
    ///
    /// `docs/access.md` has the table, and tests compare the two.
    pub(super) fn needs(&self, method: &Method, params: &Params) -> Needs {
        const NONE: Needs = Needs::Nothing;
        // A method that the route does not have, and what follows only from the path.
        const ANY: Needs = Needs::Anything;
        let [read, list, push] = [Scope::Read, Scope::List, Scope::Push].map(|scope| Needs::All(Scopes::one(scope)));
        // To announce a JWT again makes every nats-server load it.
        let one = if params.is_true("notify") { Needs::All(Scopes::one(Scope::Read).with(Scope::Push)) } else { read };
        let ready = if params.has("verbose") { list } else { NONE };
        let (get, post, delete) = match self {
            Self::Slash | Self::Unknown => return ANY,
            Self::Account(_) => (one, push, push),
            Self::Activation(_) => (one, ANY, ANY),
            Self::Probe | Self::Help => (read, ANY, ANY),
            Self::Operator => (read, push, ANY),
            Self::Activations => (ANY, push, ANY),
            Self::Digests | Self::Followers => (list, list, ANY),
            Self::Api(ApiRoute::Check) => (ANY, list, ANY),
            Self::Healthz | Self::Livez => (NONE, ANY, ANY),
            Self::Readyz => (ready, ANY, ANY),
            Self::Server => (ANY, ANY, ANY),
            Self::History(_)
            | Self::Propagation(_)
            | Self::Changes
            | Self::Keys
            | Self::Ahead
            | Self::Api(_)
            | Self::Pack
            | Self::Metrics => (list, ANY, ANY),
        };
        match *method {
            Method::GET | Method::HEAD => get,
            Method::POST => post,
            Method::DELETE => delete,
            // Which methods there are.
            Method::OPTIONS => NONE,
            _ => ANY,
        }
    }

    /// The label in metrics.
    pub(super) const fn label(&self) -> &'static str {
        match self {
            Self::Probe => "probe",
            Self::Account(_) => "account",
            Self::History(_) => "history",
            Self::Propagation(_) => "propagation",
            Self::Activations | Self::Activation(_) => "activation",
            Self::Operator => "operator",
            Self::Changes => "changes",
            Self::Digests => "digests",
            Self::Keys => "keys",
            Self::Followers => "followers",
            Self::Ahead => "ahead",
            Self::Api(route) => route.label(),
            Self::Help => "help",
            Self::Pack => "pack",
            Self::Healthz | Self::Livez | Self::Readyz => "health",
            Self::Metrics => "metrics",
            Self::Server | Self::Slash | Self::Unknown => "other",
        }
    }
}

/// What a client must be allowed to do for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing.
    Nothing,
    /// At least one thing, whatever it is.
    Anything,
    /// All of these.
    All(Scopes),
}

/// Paths that are longer than this, in bytes, are not guessed at.
const LONGEST_GUESS: usize = 1024;
/// Where a path names an account or an activation: in its fourth part.
const NAME: usize = 3;
/// What stands in a path for itself.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'=');

/// The route that was probably meant by a path that leads nowhere: without slashes and dots too many, and in lower case
/// but for what names an account or an activation. As it is to be spelt in a URL.
pub(super) fn meant(path: &str) -> Option<String> {
    if path.len() > LONGEST_GUESS {
        return None;
    }
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let mut target = String::with_capacity(path.len());
    for (place, part) in parts.into_iter().enumerate() {
        target.push('/');
        if place == NAME {
            target.extend(utf8_percent_encode(part, PLAIN));
        } else {
            target.push_str(&part.to_ascii_lowercase());
        }
    }
    (!matches!(Route::of(&target), Route::Server | Route::Slash | Route::Unknown)).then_some(target)
}

/// The path with its percent escapes decoded. What does not decode to text matches no route anyway.
pub(super) fn decoded(path: &str) -> Cow<'_, str> {
    if !path.contains('%') {
        return Cow::Borrowed(path);
    }
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escape = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        match escape.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(out).map_or(Cow::Borrowed(path), Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::ROUTES;

    /// The rows of the table in the documentation: method, path with its query, scopes.
    fn documented() -> Vec<(Method, String, Needs)> {
        let page = include_str!("../../docs/access.md");
        let row = |line: &str| {
            let [_, method, path, scopes, _] = line.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
                return None;
            };
            let path = path.strip_prefix('`')?.strip_suffix('`').filter(|path| path.starts_with('/'))?;
            let needs = match scopes {
                "none" => Needs::Nothing,
                scopes => Needs::All(Scopes::parse(scopes).expect("scopes")),
            };
            Some((method.parse().expect("a method"), path.to_owned(), needs))
        };
        page.lines().filter_map(row).collect()
    }

    fn needs(method: &Method, path: &str) -> Needs {
        let request = actix_web::test::TestRequest::with_uri(&path.replace(['<', '>'], "")).to_http_request();
        Route::of(request.uri().path()).needs(method, &Params::of(&request))
    }

    #[test]
    fn the_documentation_says_what_each_route_needs() {
        let documented = documented();
        for (method, path, expected) in &documented {
            assert_eq!(needs(method, path), *expected, "{method} {path}");
            if *method == Method::GET {
                assert_eq!(needs(&Method::HEAD, path), *expected, "HEAD {path}");
            }
            assert_eq!(needs(&Method::OPTIONS, path), Needs::Nothing, "OPTIONS {path}");
            assert_eq!(needs(&Method::PUT, path), Needs::Anything, "PUT {path}");
        }
        // And it leaves out none.
        let has = |method: &Method, path: &str| documented.iter().any(|row| row.0 == method && row.1 == path);
        for (_, path, _) in &documented {
            let bare = path.split('?').next().expect("a path");
            let methods =
                Route::of(bare).allow(true).split(", ").map(|method| method.parse::<Method>().expect("a method"));
            for method in methods.filter(|method| !matches!(*method, Method::HEAD | Method::OPTIONS)) {
                assert!(has(&method, bare), "{method} {bare} is missing");
            }
        }
        for path in
            ["/", "/jwt/v1/accounts/x/", "/jwt/v1/accounts//x", "/x", "/api/v1/x", "/JWT/v1/pack", "/api/v1/../pack"]
        {
            for method in [Method::GET, Method::POST, Method::OPTIONS] {
                assert_eq!(needs(&method, path), Needs::Anything, "{method} {path}");
            }
        }
    }

    #[test]
    fn paths_find_their_routes() {
        for (path, route) in [
            ("/jwt/v1/accounts", Route::Probe),
            ("/jwt/v1/accounts/", Route::Probe),
            ("/jwt/v1/accounts/AB", Route::Account("AB")),
            ("/jwt/v1/accounts/AB/", Route::Slash),
            ("/jwt/v1/accounts/AB/CD", Route::Unknown),
            ("/jwt/v1/accounts/AB/history", Route::History("AB")),
            ("/jwt/v1/accounts/AB/history/", Route::Slash),
            ("/jwt/v1/accounts//history", Route::Unknown),
            ("/jwt/v1/accounts//", Route::Unknown),
            ("/jwt/v1/accounts/AB/propagation", Route::Propagation("AB")),
            ("/jwt/v1/accounts/AB/propagation/", Route::Slash),
            ("/jwt/v1/accounts/AB/propagation//", Route::Unknown),
            ("/jwt/v1/accounts//propagation", Route::Unknown),
            ("/jwt/v1/accounts//propagation/", Route::Unknown),
            ("/jwt/v1/activations", Route::Activations),
            ("/jwt/v1/activations/", Route::Activation("")),
            ("/jwt/v1/activations/AB====", Route::Activation("AB====")),
            ("/jwt/v1/activations/AB/", Route::Slash),
            ("/jwt/v1/activations/AB/CD", Route::Unknown),
            ("/jwt/v1/activations//", Route::Unknown),
            ("/jwt/v1/operator/", Route::Slash),
            ("/jwt/v1/digests", Route::Digests),
            ("/jwt/v1/digests/", Route::Slash),
            ("/jwt/v1/digests/ab", Route::Unknown),
            ("/jwt/v1/keys", Route::Keys),
            ("/jwt/v1/followers", Route::Followers),
            ("/jwt/v1/followers/", Route::Slash),
            ("/jwt/v1/ahead", Route::Ahead),
            ("/jwt/v1/ahead/", Route::Slash),
            ("/jwt/v2/operator", Route::Unknown),
            ("*", Route::Server),
            ("/api/v1/status", Route::Api(ApiRoute::Status)),
            ("/api/v1/accounts/AB", Route::Api(ApiRoute::Account("AB"))),
            ("/api/v1/accounts/AB/", Route::Slash),
            ("/api/v1/accounts/", Route::Slash),
            ("/api/v1/accounts//", Route::Unknown),
            ("/api/v1/", Route::Unknown),
            ("/api/v1", Route::Unknown),
            ("/healthz", Route::Healthz),
            ("/healthz/", Route::Slash),
            ("/healthz//", Route::Unknown),
            ("/", Route::Unknown),
            ("//", Route::Unknown),
            (&"/".repeat(60_000), Route::Unknown),
            ("", Route::Unknown),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
    }

    #[test]
    fn what_was_meant_is_a_route_in_its_own_spelling() {
        for (path, route) in [
            ("/JWT/V1/HELP", Some("/jwt/v1/help")),
            ("//jwt///v1/./help", Some("/jwt/v1/help")),
            ("/jwt/v1/x/../pack", Some("/jwt/v1/pack")),
            ("/Jwt/v1/Accounts/aB", Some("/jwt/v1/accounts/aB")),
            ("/Jwt/v1/Accounts/aB/History", Some("/jwt/v1/accounts/aB/history")),
            ("/JWT/v1/accounts/a\r\nb:<é>", Some("/jwt/v1/accounts/a%0D%0Ab%3A%3C%C3%A9%3E")),
            ("/JWT/v1/activations/AB====", Some("/jwt/v1/activations/AB====")),
            ("/API/v1/Accounts/aB/Versions/7", Some("/api/v1/accounts/aB/versions/7")),
            ("/healthz//", Some("/healthz")),
            ("/jwt/v1/accounts//", Some("/jwt/v1/accounts")),
            ("/jwt/v1/accounts/../../../x", None),
            ("//example.com/healthz", None),
            ("//", None),
            ("/*", None),
            ("/x", None),
            (&format!("{}/healthz", "/".repeat(LONGEST_GUESS)), None),
        ] {
            assert_eq!(meant(path).as_deref(), route, "{path}");
        }
    }

    #[test]
    fn every_route_has_counters_from_the_start() {
        let key = "AB";
        for path in [
            "/jwt/v1/accounts",
            "/jwt/v1/accounts/AB",
            "/jwt/v1/accounts/AB/history",
            "/jwt/v1/accounts/AB/propagation",
            "/jwt/v1/activations/AB",
            "/jwt/v1/operator",
            "/jwt/v1/changes",
            "/jwt/v1/digests",
            "/jwt/v1/keys",
            "/jwt/v1/followers",
            "/jwt/v1/ahead",
            "/jwt/v1/help",
            "/jwt/v1/pack",
            "/healthz",
            "/metrics",
            "/x",
        ] {
            let label = Route::of(path).label();
            assert!(ROUTES.iter().any(|(known, _)| *known == label), "{label}");
        }
        for route in [
            ApiRoute::Accounts,
            ApiRoute::Account(key),
            ApiRoute::Versions(key),
            ApiRoute::Activations,
            ApiRoute::Operator,
            ApiRoute::Replicas,
            ApiRoute::Servers,
            ApiRoute::Status,
            ApiRoute::Check,
            ApiRoute::Audit,
            ApiRoute::OpenApi,
        ] {
            let label = Route::Api(route).label();
            assert!(ROUTES.iter().any(|(known, _)| *known == label), "{label}");
        }
    }

    #[test]
    fn escapes_are_decoded_and_broken_ones_are_left() {
        assert_eq!(decoded("/a%2Fb"), "/a/b");
        assert_eq!(decoded("/a%2"), "/a%2");
        assert_eq!(decoded("/a%zz%41"), "/a%zzA");
        assert_eq!(decoded("/%ff"), "/%ff");
    }
}
