//! The digest tree of a journal: in memory, with the position as of which it holds.
//!
//! Each change stores its effect on the tree: a few bytes in a row that is written anyway. The tree is saved periodically,
//! and completed at open from the changes since.

use parking_lot::Mutex;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension as _};

use super::{head, schema};
use crate::feed::digest::{Prefix, Sum, Toggle, Tree, View, ViewParts};
use crate::feed::{Head, SubjectKind};

/// Changes after which the tree is saved. This bounds what an open reads; a save writes 2 MiB. Tests make few changes.
const SAVE_EVERY: u64 = if cfg!(test) { 5 } else { 10_000 };

/// The tree, its position, and which serial was saved.
#[derive(Debug)]
pub(super) struct Digests(Mutex<KeptTree>);

#[derive(Debug)]
struct KeptTree {
    tree: Tree,
    head: Head,
    saved: u64,
}

impl Digests {
    /// The tree of a journal that is opened at `head`.
    pub(super) fn load(connection: &Connection, head: Head) -> rusqlite::Result<Self> {
        let (tree, saved) = match saved(connection, head.serial)? {
            Some(found) => found,
            None => {
                tracing::warn!("the digests of the journal are incomplete; computing them again");
                (compute(connection)?, 0)
            }
        };
        Ok(Self(Mutex::new(KeptTree { tree, head, saved })))
    }

    /// Adds committed changes. `saved`: the serial as of which the tree is now on disk.
    pub(super) fn follow(&self, toggles: &[Toggle], head: Head, saved: Option<u64>) {
        self.with(|kept| {
            toggles.iter().for_each(|toggle| kept.tree.toggle(toggle));
            kept.head = head;
            kept.saved = saved.unwrap_or(kept.saved);
        });
    }

    /// A place above the buckets, the root without a node, and its position.
    pub(super) fn view(&self, node: Option<u8>) -> View {
        self.with(|KeptTree { tree, head, .. }| View {
            head: *head,
            sum: tree.sum(node.map(Prefix::Node)),
            below: ViewParts::Sums(tree.children(node)),
        })
    }

    /// The position of a transaction that has read nothing yet, and the sum of a place at that position.
    pub(super) fn sum(&self, transaction: &Connection, prefix: Option<Prefix>) -> rusqlite::Result<(Head, Sum)> {
        // The tree first: it may lack what was committed last, and never has more than the transaction.
        let (known, mut sum) = self.with(|kept| (kept.head.serial, kept.tree.sum(prefix)));
        let head = schema::head(transaction)?;
        if !after(transaction, known, head.serial, |toggle| sum.toggle(&toggle.under(prefix).0))? {
            sum = compute(transaction)?.sum(prefix);
        }
        Ok((head, sum))
    }

    /// The whole tree.
    #[cfg(test)]
    pub(super) fn tree(&self) -> Tree {
        self.with(|kept| kept.tree.clone())
    }

    /// Saves the tree if enough changed since the last time, and returns its serial. Called by the writer inside its transaction.
    pub(super) fn save_when_due(&self, connection: &Connection) -> rusqlite::Result<Option<u64>> {
        self.save_after(connection, SAVE_EVERY)
    }

    /// Saves the tree unless it is on disk. Called by the writer at its end.
    pub(super) fn save(&self, connection: &Connection) -> rusqlite::Result<()> {
        self.save_after(connection, 1).map(drop)
    }

    fn save_after(&self, connection: &Connection, changes: u64) -> rusqlite::Result<Option<u64>> {
        self.with(|kept| {
            if kept.head.serial < kept.saved + changes {
                return Ok(None);
            }
            write(connection, &kept.tree, kept.head.serial)?;
            Ok(Some(kept.head.serial))
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut KeptTree) -> T) -> T {
        look(&mut self.0.lock())
    }
}

/// Computes the tree from every head, and saves it.
pub(super) fn recompute(connection: &Connection) -> rusqlite::Result<()> {
    let serial = connection.query_row("SELECT serial FROM meta WHERE id = 1", [], |row| row.get(0))?;
    write(connection, &compute(connection)?, serial)
}

fn write(connection: &Connection, tree: &Tree, serial: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO digest (id, serial, toggles) VALUES (1, ?1, ?2)")?
        .execute((serial, Toggle::encode(&tree.toggles())))?;
    Ok(())
}

/// The saved tree, completed with the changes since, and the serial as of which it was saved. `None`: a part is missing.
fn saved(connection: &Connection, head: u64) -> rusqlite::Result<Option<(Tree, u64)>> {
    let mut tree = Tree::default();
    let found = connection
        .query_row("SELECT serial, toggles FROM digest WHERE id = 1", [], |row| {
            let serial: u64 = row.get(0)?;
            Ok((serial, take(row.get_ref(1)?, |toggle| tree.toggle(&toggle))?))
        })
        .optional()?;
    let Some((serial, true)) = found.filter(|(serial, _)| *serial <= head) else { return Ok(None) };
    let is_complete = after(connection, serial, head, |toggle| tree.toggle(&toggle))?;
    Ok(is_complete.then_some((tree, serial)))
}

/// Reads the toggles of the changes after one serial, up to the last one. `false`: a part is missing.
fn after(connection: &Connection, serial: u64, last: u64, mut each: impl FnMut(Toggle)) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached("SELECT toggles FROM change WHERE serial > ?1")?;
    let mut rows = statement.query([serial])?;
    let mut changes = 0;
    while let Some(row) = rows.next()? {
        if !take(row.get_ref(0)?, &mut each)? {
            return Ok(false);
        }
        changes += 1;
    }
    Ok(serial + changes == last)
}

/// Reads stored toggles. `false`: these are none.
fn take(value: ValueRef<'_>, each: impl FnMut(Toggle)) -> rusqlite::Result<bool> {
    let toggles = value.as_blob_or_null()?.and_then(Toggle::decode);
    Ok(toggles.map(|toggles| toggles.for_each(each)).is_some())
}

pub(super) fn compute(connection: &Connection) -> rusqlite::Result<Tree> {
    let mut tree = Tree::default();
    for kind in SubjectKind::ALL {
        head::each_from(connection, kind, &[], |key, row| {
            tree.toggle(&Toggle::between(&key, None, row.leaf(&key)));
            Ok(true)
        })?;
    }
    Ok(tree)
}
