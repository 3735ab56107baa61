//! Addresses of nats-servers and primaries.

use reqwest::Url;

/// Checks the address of a nats-server, with or without scheme; it is kept as written.
pub(super) fn nats_server(text: &str) -> Result<String, String> {
    let url = parse(&with_scheme(text))?;
    if !["nats", "tls", "ws", "wss"].contains(&url.scheme()) {
        return Err(format!("{}:// is not a NATS scheme", url.scheme()));
    }
    Ok(text.to_owned())
}

/// Checks the URL of a primary and cuts it to its base: people paste what they gave nats-server as resolver.
pub(super) fn primary(text: &str) -> Result<String, String> {
    if !text.contains("://") {
        return Err("the scheme http:// or https:// is missing".to_owned());
    }
    let url = parse(text)?;
    if !["http", "https"].contains(&url.scheme()) {
        return Err(format!("{}:// is neither http:// nor https://", url.scheme()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("a query or fragment is not allowed".to_owned());
    }
    let mut base = text.trim_end_matches('/');
    for path in ["/jwt/v1/accounts", "/jwt/v1"] {
        base = base.strip_suffix(path).unwrap_or(base);
    }
    Ok(base.trim_end_matches('/').to_owned())
}

/// Checks the origin of a web page, or `*`, and brings it to the spelling that browsers use.
pub(super) fn origin(text: &str) -> Result<String, String> {
    if text == "*" {
        return Ok(text.to_owned());
    }
    let url = parse(text)?;
    let origin = url.origin();
    if !origin.is_tuple() {
        return Err(format!("{}:// has no origin", url.scheme()));
    }
    if url.host_str().is_some_and(|host| host.contains('*')) {
        return Err("a host cannot contain *; write * alone to allow every origin".to_owned());
    }
    if Login::of(&url).is_some() || url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err("an origin is scheme, host and port, and nothing else".to_owned());
    }
    Ok(origin.ascii_serialization())
}

fn parse(text: &str) -> Result<Url, String> {
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("it contains white space".to_owned());
    }
    let url = Url::parse(text).map_err(|error| error.to_string())?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err("the host is missing".to_owned());
    }
    Ok(url)
}

/// The login in a URL.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Login {
    /// A user name and a password.
    User(String, String),
    /// The text before the `@`, without a colon: a token.
    Token(String),
}

impl Login {
    /// Takes it out of a URL, so that nothing that shows the URL can show it.
    pub(crate) fn take(url: &mut Url) -> Option<Self> {
        let login = Self::of(url)?;
        // Neither fails for a URL that had a user name or a password.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Some(login)
    }

    fn of(url: &Url) -> Option<Self> {
        let plain = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        match (url.username(), url.password()) {
            ("", None) => None,
            (token, None) => Some(Self::Token(plain(token))),
            (user, Some(password)) => Some(Self::User(plain(user), plain(password))),
        }
    }

    /// That of a nats-server's address, which may be without scheme.
    pub(super) fn of_nats_server(text: &str) -> Option<Self> {
        Self::of(&parse(&with_scheme(text)).ok()?)
    }
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::User(..) => "User(***)",
            Self::Token(_) => "Token(***)",
        })
    }
}

/// Whether a primary's URL carries a user name or a password.
pub(super) fn has_login(text: &str) -> bool {
    parse(text).is_ok_and(|url| Login::of(&url).is_some())
}

/// A nats-server's address, with or without scheme; the text before the `@` is hidden.
pub(super) fn nats_without_password(text: &str) -> String {
    if text.contains("://") {
        return without_password(text);
    }
    without_password(&with_scheme(text)).trim_start_matches("nats://").to_owned()
}

fn with_scheme(text: &str) -> String {
    if text.contains("://") { text.to_owned() } else { format!("nats://{text}") }
}

/// The text; what is between `://` and `@` is hidden.
pub(crate) fn without_password(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("://") {
        let (before, after) = rest.split_at(start + 3);
        out.push_str(before);
        let authority = after.split(['/', ',', ' ', '?', '#']).next().unwrap_or_default();
        rest = match authority.rfind('@') {
            Some(at) => {
                out.push_str("***");
                after.get(at..).unwrap_or_default()
            }
            None => after,
        };
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_primary_is_cut_to_its_base() {
        let table = [
            ("http://h:9090", Some("http://h:9090")),
            ("https://h/", Some("https://h")),
            ("http://h:9090/jwt/v1", Some("http://h:9090")),
            ("http://h:9090/jwt/v1/", Some("http://h:9090")),
            ("http://h:9090/jwt/v1/accounts/", Some("http://h:9090")),
            ("http://h/nas/jwt/v1", Some("http://h/nas")),
            ("http://[::1]:9090", Some("http://[::1]:9090")),
            ("h:9090", None),
            ("nats://h:4222", None),
            ("http://", None),
            ("http://h:99999", None),
            ("http://h/?x=1", None),
            ("http://h /", None),
            ("", None),
        ];
        for (text, wanted) in table {
            assert_eq!(primary(text).ok().as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn an_origin_is_spelt_as_browsers_spell_it() {
        let table = [
            ("*", Some("*")),
            ("https://console.example.com", Some("https://console.example.com")),
            ("HTTPS://Console.Example.com:443/", Some("https://console.example.com")),
            ("http://localhost:3000", Some("http://localhost:3000")),
            ("http://[::1]:3000", Some("http://[::1]:3000")),
            ("https://h/page", None),
            ("https://h?x", None),
            ("https://u:p@h", None),
            ("https://*.example.com", None),
            ("file:///x", None),
            ("nats://h", None),
            ("h", None),
            ("null", None),
            ("", None),
        ];
        for (text, wanted) in table {
            assert_eq!(origin(text).ok().as_deref(), wanted, "{text}");
        }
    }

    #[test]
    fn a_nats_server_needs_no_scheme() {
        for good in ["nats://h:4222", "tls://h", "h:4222", "h", "ws://h:80", "nats://user:pw@h:4222", "10.0.0.1:4222"] {
            assert_eq!(nats_server(good).as_deref(), Ok(good));
        }
        for bad in ["http://h", "nats://", "h:x", "a b", ""] {
            assert!(nats_server(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn passwords_are_covered() {
        let table = [
            ("nats://u:p@h:1", "nats://***@h:1"),
            ("nats://u:p@h:1,tls://t@i", "nats://***@h:1,tls://***@i"),
            ("nats://h:1", "nats://h:1"),
            ("a@b", "a@b"),
        ];
        for (text, wanted) in table {
            assert_eq!(without_password(text), wanted);
        }
        for (text, wanted) in [("u:p@h:1", "***@h:1"), ("nats://t@h", "nats://***@h"), ("h:1", "h:1")] {
            assert_eq!(nats_without_password(text), wanted);
        }
    }

    #[test]
    fn who_we_are_stands_before_the_host() {
        let user = |name: &str, password: &str| Some(Login::User(name.to_owned(), password.to_owned()));
        let table = [
            ("nats://u:p@h:1", user("u", "p")),
            ("u:p%40%3a@h", user("u", "p@:")),
            ("tls://s3cret@h", Some(Login::Token("s3cret".to_owned()))),
            ("nats://h", None),
            ("h:4222", None),
        ];
        for (text, wanted) in table {
            assert_eq!(Login::of_nats_server(text), wanted, "{text}");
        }
        let mut url = Url::parse("nats://u:p@h:1").unwrap();
        assert_eq!(Login::take(&mut url), user("u", "p"));
        assert_eq!(url.as_str(), "nats://h:1");
        assert!(!format!("{:?}", user("u", "secret")).contains("secret"));
    }
}
