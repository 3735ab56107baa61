//! The digest tree of a journal: in memory, with the position as of which it holds.
//!
//! Each change stores its effect on the tree: a few bytes in a row that is written anyway. What happens outside the order is
//! written to a table of its own. The tree is saved periodically, and completed at open from what has happened since.

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension as _};

use super::head;
use super::schema::Meta;
use crate::feed::digest::{Prefix, Sum, Toggle, Tree, View, ViewParts};
use crate::feed::{Head, SubjectKind};

/// Changes after which the tree is saved. This bounds what an open reads; a save writes 2 MiB. Tests make few changes.
const SAVE_EVERY: u64 = if cfg!(test) { 20 } else { 10_000 };

/// The tree, its position, and what is not saved.
#[derive(Debug)]
pub(super) struct Digests(Mutex<KeptTree>);

#[derive(Debug)]
struct KeptTree {
    tree: Tree,
    head: Head,
    /// The serial as of which it was saved.
    saved: u64,
    /// How much has happened since.
    unsaved: u64,
}

/// What a transaction does to the tree.
#[derive(Debug, Default)]
pub(super) struct ToggleSet {
    /// By changes, which store it.
    pub(super) logged: Vec<Toggle>,
    /// Outside the order.
    pub(super) loose: Vec<Toggle>,
}

impl ToggleSet {
    fn all(&self) -> impl Iterator<Item = &Toggle> {
        self.logged.iter().chain(&self.loose)
    }

    fn len(&self) -> u64 {
        (self.logged.len() + self.loose.len()) as u64
    }
}

impl Digests {
    /// No tree.
    pub(super) fn none(head: Head) -> Self {
        Self(Mutex::new(KeptTree { tree: Tree::default(), head, saved: head.serial, unsaved: 0 }))
    }

    /// The tree of a journal that is opened.
    pub(super) fn load(connection: &Connection, meta: &Meta) -> rusqlite::Result<Self> {
        let (tree, saved, unsaved) = match saved(connection, meta)? {
            Some(found) => found,
            None => {
                tracing::warn!("the digests of the journal are incomplete; computing them again");
                (compute(connection, meta)?, 0, SAVE_EVERY)
            }
        };
        Ok(Self(Mutex::new(KeptTree { tree, head: meta.head, saved, unsaved })))
    }

    /// Adds what was committed. `is_saved`: whether it is in what is saved.
    pub(super) fn follow(&self, toggles: &ToggleSet, head: Head, is_saved: bool) {
        self.with(|kept| {
            toggles.all().for_each(|toggle| kept.tree.toggle(toggle));
            kept.head = head;
            kept.unsaved += toggles.len();
            if is_saved {
                (kept.saved, kept.unsaved) = (head.serial, 0);
            }
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

    /// The sum of a place.
    pub(super) fn sum(&self, prefix: Option<Prefix>) -> Sum {
        self.with(|kept| kept.tree.sum(prefix))
    }

    /// The whole tree.
    #[cfg(test)]
    pub(super) fn tree(&self) -> Tree {
        self.with(|kept| kept.tree.clone())
    }

    /// Saves the tree with what the transaction does, if enough has happened since the last time or the log no longer tells
    /// it; else writes what the log does not tell. Called by the writer inside its transaction. Returns whether it is saved.
    pub(super) fn save_when_due(
        &self,
        connection: &Connection,
        meta: &Meta,
        toggles: &ToggleSet,
        has_begun: bool,
    ) -> rusqlite::Result<bool> {
        self.with(|kept| {
            let is_cut = has_begun || kept.saved < meta.log.floor.0;
            if is_cut || kept.unsaved + toggles.len() >= SAVE_EVERY {
                let mut all = kept.tree.toggles();
                all.extend(toggles.all());
                write(connection, &all, meta)?;
                return Ok(true);
            }
            if !toggles.loose.is_empty() {
                connection
                    .prepare_cached("INSERT INTO toggle (toggles) VALUES (?1)")?
                    .execute([Toggle::encode(&toggles.loose)])?;
            }
            Ok(false)
        })
    }

    /// Saves the tree unless it is on disk. Called by the writer at its end.
    pub(super) fn save(&self, connection: &Connection, meta: &Meta) -> rusqlite::Result<()> {
        self.with(|kept| {
            if kept.unsaved == 0 {
                return Ok(());
            }
            let transaction = connection.unchecked_transaction()?;
            write(&transaction, &kept.tree.toggles(), meta)?;
            transaction.commit()?;
            (kept.saved, kept.unsaved) = (meta.head.serial, 0);
            Ok(())
        })
    }

    fn with<T>(&self, look: impl FnOnce(&mut KeptTree) -> T) -> T {
        look(&mut self.0.lock())
    }
}

/// Computes the tree from every head, and saves it.
pub(super) fn recompute(connection: &Connection, meta: &Meta) -> rusqlite::Result<()> {
    write(connection, &compute(connection, meta)?.toggles(), meta)
}

/// Saves the toggles that make the tree.
fn write(connection: &Connection, toggles: &[Toggle], meta: &Meta) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO digest (id, era, serial, toggles) VALUES (1, ?1, ?2, ?3)")?
        .execute((meta.log.era, meta.head.serial, Toggle::encode(toggles)))?;
    connection.prepare_cached("DELETE FROM toggle")?.execute([]).map(drop)
}

/// The saved tree, completed with what has happened since; the serial as of which it was saved, and how much has happened.
/// `None`: a part is missing.
fn saved(connection: &Connection, meta: &Meta) -> rusqlite::Result<Option<(Tree, u64, u64)>> {
    let mut tree = Tree::default();
    let mut toggle_all = |bytes: Option<&[u8]>| -> Option<u64> {
        let toggles = bytes.and_then(Toggle::decode)?;
        Some(toggles.map(|toggle| tree.toggle(&toggle)).count() as u64)
    };
    let found = connection
        .query_row("SELECT era, serial, toggles FROM digest WHERE id = 1", [], |row| {
            let is_read = toggle_all(row.get_ref(2)?.as_blob_or_null()?).is_some();
            Ok((row.get(0)?, row.get(1)?, is_read))
        })
        .optional()?;
    let Some((era, serial, true)): Option<(i64, u64, bool)> = found else { return Ok(None) };
    if era != meta.log.era || serial > meta.head.serial || serial < meta.log.floor.0 {
        return Ok(None);
    }
    let (mut changes, mut since) = (0, 0);
    let mut statement = connection.prepare("SELECT toggles FROM change WHERE id > ?1")?;
    let mut rows = statement.query([meta.log.id(serial)])?;
    while let Some(row) = rows.next()? {
        let Some(count) = toggle_all(row.get_ref(0)?.as_blob_or_null()?) else { return Ok(None) };
        (changes, since) = (changes + 1, since + count);
    }
    let mut statement = connection.prepare("SELECT toggles FROM toggle")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let Some(count) = toggle_all(row.get_ref(0)?.as_blob_or_null()?) else { return Ok(None) };
        since += count;
    }
    Ok((serial + changes == meta.head.serial).then_some((tree, serial, since)))
}

pub(super) fn compute(connection: &Connection, meta: &Meta) -> rusqlite::Result<Tree> {
    let mut tree = Tree::default();
    for kind in SubjectKind::ALL {
        head::each_from(connection, &meta.log, kind, &[], |key, row| {
            tree.toggle(&Toggle::between(&key, None, row.leaf(&key)));
            Ok(true)
        })?;
    }
    Ok(tree)
}
