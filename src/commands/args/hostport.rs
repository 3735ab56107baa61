//! `HOST:PORT`, as Go splits it.

/// Splits an address. The host may be empty, and an IPv6 address has brackets.
pub(super) fn split(text: &str) -> Result<(&str, &str), String> {
    let fault = |what: &str| Err(format!("address {text}: {what}"));
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((host, after)) = rest.split_once(']') else { return fault("missing ']' in address") };
            let Some(port) = after.strip_prefix(':') else { return fault("missing port in address") };
            (host, port)
        }
        None => {
            let Some((host, port)) = text.rsplit_once(':') else { return fault("missing port in address") };
            if host.contains(':') {
                return fault("too many colons in address; an IPv6 address goes in brackets");
            }
            (host, port)
        }
    };
    if !port.bytes().all(|b| b.is_ascii_digit()) || port.parse::<u16>().is_err() {
        return fault("the port is a number from 0 to 65535");
    }
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn addresses_are_split_as_in_go() {
        let table = [
            ("localhost:9090", Some(("localhost", "9090"))),
            (":9090", Some(("", "9090"))),
            ("[::1]:0", Some(("::1", "0"))),
            ("[::]:9090", Some(("::", "9090"))),
            ("localhost", None),
            ("::1", None),
            ("::1:9090", None),
            ("[::1", None),
            ("[::1]", None),
            ("[::1]9090", None),
            ("h:", None),
            ("h:+1", None),
            ("h:65536", None),
            ("h:http", None),
            ("", None),
        ];
        for (text, wanted) in table {
            assert_eq!(split(text).ok(), wanted, "{text}");
        }
    }
}
