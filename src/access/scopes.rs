//! Sets of scopes.

use std::fmt;

use crate::config::Scope;

/// Some of the four scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u8);

impl Scopes {
    /// No scope.
    pub const NONE: Self = Self(0);

    /// One scope.
    pub const fn one(scope: Scope) -> Self {
        Self(1 << scope as u8)
    }

    /// These scopes.
    pub fn of(scopes: &[Scope]) -> Self {
        scopes.iter().fold(Self::NONE, |all, scope| all.with(*scope))
    }

    /// The same, and another one.
    #[must_use]
    pub const fn with(self, scope: Scope) -> Self {
        Self(self.0 | Self::one(scope).0)
    }

    /// Those that both have.
    #[must_use]
    pub const fn both(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether a scope is among them.
    pub const fn has(self, scope: Scope) -> bool {
        self.0 & Self::one(scope).0 != 0
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The first of the needed scopes that is not among them.
    pub fn lacks(self, needed: Self) -> Option<Scope> {
        needed.iter().find(|scope| !self.has(*scope))
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.has(*scope))
    }

    /// Reads names with commas between them, as they are displayed. `None`: one is no scope.
    pub fn parse(text: &str) -> Option<Self> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.map(Scope::parse).try_fold(Self::NONE, |all, scope| Some(all.with(scope?)))
    }
}

/// As `read, list`; nothing for none.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, scope) in self.iter().enumerate() {
            f.write_str(if place == 0 { "" } else { ", " })?;
            f.write_str(scope.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_read_back_as_it_is_displayed() {
        for bits in 0..16 {
            let scopes = Scopes(bits);
            assert_eq!(Scopes::parse(&scopes.to_string()), Some(scopes));
            assert_eq!(scopes.iter().count(), bits.count_ones() as usize);
        }
        assert_eq!(Scopes::parse("read,root"), None);
        let (read, both) = (Scopes::one(Scope::Read), Scopes::of(&[Scope::Push, Scope::Read]));
        assert_eq!(
            (both.to_string().as_str(), read.lacks(both), both.lacks(read)),
            ("read, push", Some(Scope::Push), None)
        );
        assert_eq!((both.both(read), both.both(Scopes::NONE)), (read, Scopes::NONE));
    }
}
