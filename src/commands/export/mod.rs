//! `export`: the accounts of a primary or of a mirror, written as other programs keep them.
//!
//! They come from the journal, whether or not the server runs, or over HTTP from one that does. What a target holds that is
//! newer stays.

mod folder;
mod nsc;
mod pack;
mod source;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::ValueEnum;
use tokio::sync::mpsc;

use super::findings::Findings;
use super::{Exit, gate_of, runtime};
use crate::config::Settings;
use crate::folder::Layout;
use crate::gate::{Entry, Refusal};
use crate::jwt::{AccountJwt, given};
use crate::key::AccountKey;
use crate::logging::Bar;

const AFTER_HELP: &str = "\
TARGET is a folder, an operator's folder of nsc if it holds .nsc, or - for a
pack on the standard output. --format overrides this.

Without --from, the accounts come from the journal of the folder that -dir or a
configuration file names. A server may run on it: a primary, or a mirror that
is in sync. Accounts that were deleted there are marked as deleted in a target
folder, too.

Examples:
  nats-account-server export -dir /var/lib/nas /new/folder
  nats-account-server export --from http://primary:9090 - > accounts.pack
  nats-account-server export -dir /var/lib/nas --format nsc ~/stores/OPERATOR";

/// What `export` takes.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct ExportArgs {
    /// Read the pack of this running primary or mirror instead
    #[arg(long, value_name = "URL")]
    from: Option<String>,
    /// Format of the target
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// In a folder without tokens, put files into sub-folders named after the last two characters of the key
    #[arg(long)]
    shard: bool,
    /// Replace an existing pack file
    #[arg(long)]
    overwrite: bool,
    /// Print what would happen, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Where to write
    #[arg(value_name = "TARGET")]
    target: PathBuf,
}

/// How accounts are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// ACCOUNT.jwt for each, as account servers and full resolvers keep them
    Folder,
    /// accounts/NAME/NAME.jwt for each, as nsc keeps them
    Nsc,
    /// One file, ACCOUNT|JWT in each line
    Pack,
}

/// What became of an account in the target.
#[derive(Debug)]
pub(super) enum ExportFate {
    /// It was not there.
    Written,
    /// An older one was there.
    Replaced,
    /// Exactly this is there.
    Same,
    /// What is there is newer, or of the same second.
    Kept(String),
    /// The file of a deleted account was marked as such.
    Buried,
    /// There is nothing to do.
    Nothing,
    /// It cannot be written: why.
    Refused(String),
}

/// Where accounts are written.
trait ExportTarget: Send {
    /// Writes an account. `Err`: others will fail likewise.
    fn put(&mut self, entry: &Entry) -> Result<ExportFate, String>;

    /// An account was deleted by a request of this time, unix seconds.
    fn bury(&mut self, key: &AccountKey, at: i64) -> Result<ExportFate, String>;

    /// All were written: makes it durable.
    fn finish(&mut self) -> Result<(), String>;
}

/// Something to be written.
#[derive(Debug)]
enum ExportItem {
    Account(std::sync::Arc<Entry>),
    Deleted(AccountKey, i64),
    /// It cannot be: why.
    Bad(String),
}

/// The result of an export.
#[derive(Debug)]
struct ExportReport {
    written: u64,
    replaced: u64,
    same: u64,
    buried: u64,
    kept: Findings,
    refused: Findings,
}

/// Exports. 0: everything is there.
pub(super) fn run(settings: &Settings, args: &ExportArgs) -> Result<(), Exit> {
    let is_stdout = args.target.as_os_str() == "-";
    let format = args.format.unwrap_or_else(|| match &args.target {
        _ if is_stdout => Format::Pack,
        target if target.join(".nsc").is_file() => Format::Nsc,
        target if target.is_file() => Format::Pack,
        _ => Format::Folder,
    });
    if is_stdout && format != Format::Pack {
        return Err("only a pack can be written to the standard output".into());
    }
    let source = source::ExportSource::of(args.from.as_deref(), settings, gate_of(settings)?)?;
    let mode = settings.store.file_mode.bits();
    let mut target: Box<dyn ExportTarget> = match format {
        Format::Folder => {
            let layout = if args.shard { Layout::Sharded } else { Layout::Flat };
            Box::new(folder::FolderTarget::open(&args.target, layout, mode, args.dry_run)?)
        }
        Format::Nsc => Box::new(nsc::NscTarget::open(&args.target, source.operator()?, mode, args.dry_run)?),
        Format::Pack => Box::new(pack::PackTarget::open(&args.target, args.overwrite, mode, args.dry_run)?),
    };
    runtime()?.block_on(async move {
        let (sender, items) = mpsc::channel(1024);
        let reading = tokio::spawn(source.read(sender));
        let writing = tokio::task::spawn_blocking(move || write(target.as_mut(), items).map(|report| (target, report)));
        let (mut target, report) = writing.await.map_err(|error| error.to_string())??;
        // What is not whole is not given its name.
        reading.await.map_err(|error| error.to_string())??;
        target.finish()?;
        drop(target);
        let out: &mut dyn Write = if is_stdout { &mut io::stderr() } else { &mut io::stdout() };
        // Nobody to tell, if it is closed.
        let _ = report.write(args.dry_run, out);
        Exit::unless(report.refused.is_empty())
    })
}

fn write(target: &mut dyn ExportTarget, mut items: mpsc::Receiver<ExportItem>) -> Result<ExportReport, String> {
    let mut report = ExportReport {
        written: 0,
        replaced: 0,
        same: 0,
        buried: 0,
        kept: Findings::of("left as they are, because they are newer or of the same second"),
        refused: Findings::of("not written"),
    };
    let (bar, mut done) = (Bar::new("exporting", 0), 0);
    while let Some(item) = items.blocking_recv() {
        let (name, fate) = match item {
            ExportItem::Account(entry) => (entry.key().text(), target.put(&entry)?),
            ExportItem::Deleted(key, at) => (key.text(), target.bury(&key, at)?),
            ExportItem::Bad(why) => (why, ExportFate::Refused(String::new())),
        };
        match fate {
            ExportFate::Written => report.written += 1,
            ExportFate::Replaced => report.replaced += 1,
            ExportFate::Same => report.same += 1,
            ExportFate::Buried => report.buried += 1,
            ExportFate::Nothing => {}
            ExportFate::Kept(why) => report.kept.add(format!("{name}: {why}")),
            ExportFate::Refused(why) if why.is_empty() => report.refused.add(name),
            ExportFate::Refused(why) => report.refused.add(format!("{name}: {why}")),
        }
        done += 1;
        bar.show(done, done);
    }
    Ok(report)
}

impl ExportReport {
    fn write(&self, dry_run: bool, out: &mut dyn Write) -> io::Result<()> {
        if dry_run {
            writeln!(out, "nothing was changed; the result would be:")?;
        }
        writeln!(out, "{:>9}  written", self.written)?;
        for (count, what) in [
            (self.replaced, "written over an older one"),
            (self.same, "there already"),
            (self.buried, "marked as deleted"),
        ] {
            if count > 0 {
                writeln!(out, "{count:>9}  {what}")?;
            }
        }
        for findings in [&self.kept, &self.refused] {
            if !findings.is_empty() {
                findings.write(out)?;
            }
        }
        Ok(())
    }
}

/// What to do about a token that is there, when this one is to be written: nothing, if something is given.
fn against(there: &[u8], entry: &Entry) -> Option<ExportFate> {
    if there.trim_ascii_end() == &entry.token()[..] {
        return Some(ExportFate::Same);
    }
    let decoded = given(there).map_err(Refusal::from).and_then(|jwt| Ok(AccountJwt::decode(&jwt)?));
    match decoded {
        Ok(jwt) if jwt.claims.sub != entry.key().text() => {
            Some(ExportFate::Refused(format!("what is there is about {}", jwt.claims.sub)))
        }
        Ok(jwt) if jwt.claims.iat >= entry.iat() => {
            Some(ExportFate::Kept(format!("there is a JWT issued at {}, this one at {}", jwt.claims.iat, entry.iat())))
        }
        Ok(_) => None,
        Err(error) => Some(ExportFate::Refused(format!("what is there is no JWT ({error}): move it away"))),
    }
}
