//! Tokens in files, as nsc writes and nats-server reads them: a line between two lines with dashes.

/// The token in a decorated text; a text without decoration is given back as it is.
///
/// The first of these wins: a line that begins anywhere with three dashes and ends in three others, a line of nothing
/// but token characters (or `=`), and a line that begins and ends in three dashes. What the dashes enclose, and what
/// stands before, does not matter. So does the Go library's regular expression.
pub fn token(text: &str) -> &str {
    let mut lines = text.split('\n');
    let (mut header, mut body) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let mut lines = lines.peekable();
    while let Some(footer) = lines.next() {
        let closed = if lines.peek().is_none() { footer } else { strip_return(footer) };
        let found = strip_return(body);
        if is_header(strip_return(header)) && is_token(found) && is_footer(closed) {
            return found;
        }
        (header, body) = (body, footer);
    }
    text
}

/// A text without white space behind it: editors and shells add line ends to tokens.
pub fn trim(text: &str) -> &str {
    text.trim_end_matches(|symbol: char| symbol.is_ascii_whitespace())
}

fn strip_return(line: &str) -> &str {
    line.strip_suffix('\r').unwrap_or(line)
}

fn is_header(line: &str) -> bool {
    line.strip_suffix("---").is_some_and(|rest| rest.contains("---"))
}

fn is_footer(line: &str) -> bool {
    line.strip_suffix("---").is_some_and(|rest| rest.starts_with("---"))
}

fn is_token(line: &str) -> bool {
    !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.=".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_between_dashes() {
        for text in [
            "-----BEGIN NATS ACCOUNT JWT-----\na.b-_=\n------END NATS ACCOUNT JWT------\n\n",
            "-----BEGIN-----\r\na.b-_=\r\n---END---\r\nmore",
            "------\na.b-_=\n------",
            "junk\n junk --- x ---\na.b-_=\n--- ---\n---x---\nsecond\n---x---\n",
            "---x---\nbad line here\n---x---\na.b-_=\n---y---",
        ] {
            assert_eq!(token(text), "a.b-_=", "{text:?}");
        }
    }

    #[test]
    fn without_decoration_a_text_stays_as_it_is() {
        for text in [
            "",
            "a.b.c\n",
            "-----\na.b\n-----\n",
            "---x---\n\na.b\n---x---\n",
            "---x---\na b\n---x---\n",
            "---x---\na.b\n x---x---\n",
            "---x---\na.b\n---x---\r",
            "---x--- \na.b\n---x---\n",
        ] {
            assert_eq!(token(text), text);
        }
    }

    #[test]
    fn white_space_is_trimmed_only_behind() {
        assert_eq!(trim(" a b \r\n\t\n"), " a b");
    }
}
