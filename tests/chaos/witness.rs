//! What the log of a primary that has ended says: what a server that had it up to some serial must have.

use std::collections::HashSet;
use std::path::Path;

use nats_account_server::feed::wire::{Item, Page};

use super::ledger::World;
use super::node::Book;
use super::support::Launch;
use super::support::feed::page;

/// The log of an old primary.
pub(super) struct Witness {
    /// Its last position, and where its log begins.
    end: Page,
    changes: Vec<Item>,
}

impl Witness {
    /// Reads the log in a folder that no server uses, by a server that nobody else asks.
    pub(super) async fn of(world: &World, folder: &Path) -> Self {
        let server = Launch::primary(&world.operator).dir(folder).start_unready().await;
        let end = page(&server.http, "").await;
        let (mut changes, mut serial) = (Vec::new(), end.floor);
        while serial < end.serial {
            let more = page(&server.http, &format!("?after={serial}")).await;
            serial = more.serial;
            changes.extend(more.changes);
        }
        Self { end, changes }
    }

    /// Whether a position is in this log.
    fn has(&self, at: &Page) -> bool {
        let is_at = |serial: u64, chain: &str| (serial, chain) == (at.serial, &at.chain);
        at.session == self.end.session
            && (is_at(self.end.serial, &self.end.chain)
                || self.changes.iter().any(|item| is_at(item.serial, &item.chain)))
    }

    /// Whether a server at this position has everything.
    pub(super) fn ends_at(&self, at: &Page) -> bool {
        (&self.end.session, self.end.serial, &self.end.chain) == (&at.session, at.serial, &at.chain)
    }

    /// What a server at this position must have of each account. What it got by a comparison has no past: which versions
    /// were replaced it knows from the floor of its log on. If the feed replaced a version before the comparison came to it, the
    /// server never had it.
    pub(super) fn book(&self, world: &World, at: &Page) -> Book {
        let mut book = Book::new();
        if !self.has(at) {
            return book;
        }
        let (ledger, mut at_floor) = (world.ledger(), HashSet::new());
        for item in self.changes.iter().filter(|item| item.serial <= at.serial) {
            let jwt = item.jwt.as_ref().and_then(|jwt| ledger.number(jwt));
            let number = jwt.or_else(|| item.digest.as_ref().and_then(|digest| ledger.number_of(digest)));
            if let (Some(number), "put") = (number, item.op.as_str()) {
                let minted = ledger.minted(number);
                book.entry(minted.subject).or_default().ordered(number, minted.iat);
                if item.serial <= at.floor {
                    at_floor.insert(number);
                }
            }
            if let Some(iat) = item.request.as_ref().and_then(|request| ledger.deletion_by(request)) {
                for subject in item.keys.iter().filter_map(|key| world.subject(key)) {
                    book.entry(subject).or_default().buried(iat);
                }
            }
            if item.serial <= at.floor {
                book.values_mut().for_each(super::seen::Seen::forget_replaced);
            }
        }
        book.values_mut().for_each(|seen| seen.forget_replaced_of(&at_floor));
        book
    }
}
