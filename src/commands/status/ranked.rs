//! Lists of which the worst entries are shown, and the others are counted.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// Entries of one list that are shown.
const SHOWN: usize = 50;

/// How urgent an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Alarm,
    Unsure,
    Well,
}

/// An entry of a list that can be long.
pub(super) trait Ranked {
    fn rank(&self) -> Rank;
}

/// A list that needs little memory, however many entries a server sends: the first entries of each rank, and numbers.
#[derive(Clone, Debug)]
pub(super) struct Worst<T> {
    kept: [Vec<T>; 3],
    total: usize,
}

impl<T> Default for Worst<T> {
    fn default() -> Self {
        Self { kept: [Vec::new(), Vec::new(), Vec::new()], total: 0 }
    }
}

impl<T: Ranked> Worst<T> {
    fn add(&mut self, entry: T) {
        let kept = &mut self.kept[entry.rank() as usize];
        if kept.len() < SHOWN {
            kept.push(entry);
        }
        self.total += 1;
    }

    /// Both lists as one.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.total += other.total;
        for (kept, others) in self.kept.iter_mut().zip(other.kept) {
            kept.extend(others);
            kept.truncate(SHOWN);
        }
        self
    }

    /// The entries to show, those that are not well first.
    pub(super) fn shown(&self) -> Vec<&T> {
        self.kept.iter().flatten().take(SHOWN).collect()
    }

    /// How many there are besides those.
    pub(super) fn more(&self) -> usize {
        self.total.saturating_sub(SHOWN)
    }
}

impl<'de, T: Ranked + Deserialize<'de>> Deserialize<'de> for Worst<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);

        impl<'de, T: Ranked + Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Worst<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
                let mut worst = Worst::default();
                while let Some(entry) = entries.next_element()? {
                    worst.add(entry);
                }
                Ok(worst)
            }
        }

        deserializer.deserialize_seq(Entries(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Entry(u32);

    impl Ranked for Entry {
        fn rank(&self) -> Rank {
            match self.0 % 100 {
                7 => Rank::Alarm,
                8 => Rank::Unsure,
                _ => Rank::Well,
            }
        }
    }

    #[test]
    fn the_worst_come_first_and_the_others_are_counted() {
        for (length, first, shown) in [(0, &[][..], 0), (7, &[0, 1, 2], 7), (4000, &[7, 107, 207], SHOWN)] {
            let list = serde_json::to_string(&(0..length).collect::<Vec<u32>>()).expect("JSON");
            let worst: Worst<Entry> = serde_json::from_str(&list).expect("a list");
            let found: Vec<u32> = worst.shown().iter().map(|entry| entry.0).collect();
            assert!(found.starts_with(first) && found.len() == shown, "{found:?}");
            assert_eq!(worst.more(), length as usize - shown);
            assert!(worst.kept.iter().all(|kept| kept.len() <= SHOWN));
        }
    }
}
