//! The directory of JWT files: it follows the journal, and what others do to its files is imported.
//!
//! | files | do |
//! |---|---|
//! | [`watcher`], [`intake`] | notice what happens to the directory, and ask its intake to import it |
//! | [`read_write`], [`read_only`] | the two intakes: of a directory of ours, and of one that somebody else maintains |
//! | [`compare`] | bring the file of one account and the journal into agreement |
//! | [`writer`] | write the files of accounts that changed in the journal |
//! | [`scan`], [`judge`], [`activations`] | import all files at the first start, one file, and the file of an activation |
//! | [`closed`], [`ignored`], [`operator_files`], [`reports`] | sub-directories and files that stay as they are, and the log lines about them |
//!
//! All of them may block, on threads of their own.

mod activations;
mod closed;
mod compare;
mod ignored;
mod intake;
mod judge;
mod operator_files;
mod read_only;
mod read_write;
mod reports;
mod scan;
mod watcher;
mod writer;

pub use watcher::Directory;
pub(super) use writer::WriterProgress;

use super::{Primary, progress, source};
