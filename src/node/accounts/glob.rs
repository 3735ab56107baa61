//! Patterns for the names of accounts: `*` stands for any text, `?` for one character, and letters match in either case.

/// The longest pattern, in characters.
pub const LONGEST_PATTERN: usize = 256;
/// Characters of a name that are compared.
const LONGEST_NAME: usize = 4096;

/// A pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(Vec<char>);

impl Glob {
    /// Parses a pattern. `None`: it is longer than [`LONGEST_PATTERN`].
    pub fn parse(text: &str) -> Option<Self> {
        if text.chars().nth(LONGEST_PATTERN).is_some() {
            return None;
        }
        let mut pattern: Vec<char> = text.chars().flat_map(char::to_lowercase).collect();
        // Several in a row say no more than one, and would each be tried.
        pattern.dedup_by(|next, before| *next == '*' && *before == '*');
        Some(Self(pattern))
    }

    /// Whether a whole name is of this pattern.
    pub fn matches(&self, name: &str) -> bool {
        let name: Vec<char> = name.chars().take(LONGEST_NAME).flat_map(char::to_lowercase).collect();
        let (mut at, mut place) = (0, 0);
        // Where to go on if the rest does not fit: after the last star, with one more character given to it.
        let mut again = None;
        while at < name.len() {
            match self.0.get(place) {
                Some('*') => {
                    place += 1;
                    again = Some((at, place));
                }
                Some(wanted) if *wanted == '?' || *wanted == name[at] => {
                    at += 1;
                    place += 1;
                }
                _ => {
                    let Some((from, after)) = again else { return false };
                    (at, place) = (from + 1, after);
                    again = Some((from + 1, after));
                }
            }
        }
        self.0[place..].iter().all(|rest| *rest == '*')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_of_a_whole_name_in_either_case() {
        for (pattern, yes, no) in [
            ("", &[""][..], &["a"][..]),
            ("app", &["app", "APP", "aPp"], &["", "ap", "apps", "my app"]),
            ("*", &["", "a", "any thing"], &[]),
            ("**", &["", "a"], &[]),
            ("a*", &["a", "A", "ab", "a*"], &["", "xa"]),
            ("*a", &["a", "xa", "aaa"], &["ab"]),
            ("*a*", &["a", "bab"], &["", "b"]),
            ("a?c", &["abc", "a?c", "aéc"], &["ac", "abbc"]),
            ("?", &["a", "é", "?"], &["", "ab"]),
            ("a*b*c", &["abc", "axxbxxc", "abbcbc"], &["acb", "abcd", "ab"]),
            ("*ab*ab", &["abab", "xabxabab"], &["ab", "abaa"]),
            ("É*", &["école", "Été"], &["ecole"]),
            ("a[b]", &["a[b]"], &["ab"]),
            (r"a\*", &[r"a\", r"a\x"], &["a*"]),
        ] {
            let glob = Glob::parse(pattern).expect("short");
            for name in yes {
                assert!(glob.matches(name), "{pattern} {name}");
            }
            for name in no {
                assert!(!glob.matches(name), "{pattern} {name}");
            }
        }
    }

    #[test]
    fn the_worst_pattern_takes_no_time_worth_mentioning() {
        let glob = Glob::parse(&"a*".repeat(LONGEST_PATTERN / 2 - 1)).expect("short");
        let begun = std::time::Instant::now();
        assert!(!Glob::parse("*aaaaaaaaaaaaaaaab").expect("short").matches(&"a".repeat(1 << 20)));
        assert!(glob.matches(&"a".repeat(1 << 20)));
        assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
        assert_eq!(Glob::parse(&"a".repeat(LONGEST_PATTERN + 1)), None);
    }
}
