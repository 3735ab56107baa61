//! What the log of a primary that has ended says: what a server that had it up to some serial must have.

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

    /// What a server at this position must have of each account. It may have got that by a comparison, which brings nothing that was
    /// replaced, and must not take it all the same.
    pub(super) fn book(&self, world: &World, at: &Page) -> Book {
        let mut book = Book::new();
        if !self.has(at) {
            return book;
        }
        let ledger = world.ledger();
        for item in self.changes.iter().filter(|item| item.serial <= at.serial) {
            let jwt = item.jwt.as_ref().and_then(|jwt| ledger.number(jwt));
            let number = jwt.or_else(|| item.digest.as_ref().and_then(|digest| ledger.number_of(digest)));
            if let (Some(number), "put") = (number, item.op.as_str()) {
                let minted = ledger.minted(number);
                book.entry(minted.subject).or_default().ordered(number, minted.iat);
            }
            if let Some(iat) = item.request.as_ref().and_then(|request| ledger.deletion_by(request)) {
                for subject in item.keys.iter().filter_map(|key| world.subject(key)) {
                    book.entry(subject).or_default().buried(iat);
                }
            }
        }
        book
    }
}
