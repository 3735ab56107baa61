//! Releases of nats-server.

use std::fmt;

/// A release, as in `2.12.8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release {
    major: u16,
    minor: u16,
    patch: u16,
}

impl Release {
    pub(super) const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }

    /// Reads the version that a nats-server gives of itself.
    ///
    /// `None` for anything but three numbers. A pre-release, as in `2.14.3-RC.1` or `2.16.0-dev`, is one of those,
    /// because it may lack what the release has.
    pub fn parse(version: &str) -> Option<Self> {
        let number = |part: Option<&str>| {
            let digits = part.filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))?;
            digits.parse().ok()
        };
        let mut parts = version.split('.');
        let release = Self::new(number(parts.next())?, number(parts.next())?, number(parts.next())?);
        parts.next().is_none().then_some(release)
    }

    /// Whether this release has what came with `first`: the first release that has it in each line that got it, in
    /// ascending order. Lines after the last one have it too.
    pub(super) fn has(self, first: &[Self]) -> bool {
        let line = |release: Self| (release.major, release.minor);
        first.last().is_some_and(|&last| self >= last)
            || first.iter().any(|&first| line(self) == line(first) && self >= first)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_numbers_are_a_release_and_nothing_else_is() {
        for (version, release) in [("2.9.10", (2, 9, 10)), ("2.12.0", (2, 12, 0)), ("10.0.65535", (10, 0, 65535))] {
            let (major, minor, patch) = release;
            assert_eq!(Release::parse(version), Some(Release::new(major, minor, patch)), "{version}");
            assert_eq!(Release::parse(version).unwrap().to_string(), version);
        }
        for other in [
            "",
            "2",
            "2.12",
            "2.12.",
            "2.12.8.1",
            "v2.12.8",
            "2.16.0-dev",
            "2.14.3-RC.1",
            "2.+1.0",
            "2.1.65536",
            " 2.1.0",
        ] {
            assert_eq!(Release::parse(other), None, "{other:?}");
        }
    }

    #[test]
    fn later_lines_have_what_the_last_one_got() {
        let fixed = [Release::new(2, 12, 12), Release::new(2, 14, 3)];
        for (version, has) in [
            ("2.9.10", false),
            ("2.12.11", false),
            ("2.12.12", true),
            ("2.12.15", true),
            ("2.13.99", false),
            ("2.14.2", false),
            ("2.14.3", true),
            ("2.15.0", true),
            ("3.0.0", true),
            ("1.12.12", false),
        ] {
            assert_eq!(Release::parse(version).unwrap().has(&fixed), has, "{version}");
        }
        assert!(!Release::new(9, 9, 9).has(&[]), "what came with no release");
    }
}
