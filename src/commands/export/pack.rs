//! A pack: `<key>|<JWT>` in each line, parted by line ends, as `GET /jwt/v1/pack` gives it.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::super::backup::Unfinished;
use super::ExportFate;
use crate::folder::private;
use crate::gate::Entry;
use crate::key::AccountKey;

/// The file, or the standard output.
pub(super) struct PackTarget {
    out: Option<BufWriter<Box<dyn Write + Send>>>,
    /// The file that is made, and where it is to be.
    file: Option<(Unfinished, PathBuf)>,
    is_first: bool,
}

impl PackTarget {
    pub(super) fn open(path: &Path, overwrite: bool, mode: u32, dry_run: bool) -> Result<Self, String> {
        let mut target = Self { out: None, file: None, is_first: true };
        let is_stdout = path.as_os_str() == "-";
        if !is_stdout && !overwrite && path.symlink_metadata().is_ok() {
            return Err(format!("{} exists: choose another name, or give --overwrite", path.display()));
        }
        if dry_run {
            return Ok(target);
        }
        let out: Box<dyn Write + Send> = if is_stdout {
            Box::new(io::stdout())
        } else {
            let made = Unfinished::beside(path);
            let file = private::create(&made.0)
                .and_then(|file| file.set_permissions(Permissions::from_mode(mode)).map(|()| file))
                .map_err(|error| format!("cannot create {}: {error}", path.display()))?;
            target.file = Some((made, path.to_owned()));
            Box::new(file)
        };
        target.out = Some(BufWriter::new(out));
        Ok(target)
    }
}

impl super::ExportTarget for PackTarget {
    fn put(&mut self, entry: &Entry) -> Result<ExportFate, String> {
        let Some(out) = &mut self.out else { return Ok(ExportFate::Written) };
        let before = if std::mem::take(&mut self.is_first) { "" } else { "\n" };
        write!(out, "{before}{}|{}", entry.key(), entry.text()).map_err(|error| format!("cannot write: {error}"))?;
        Ok(ExportFate::Written)
    }

    /// A pack says nothing of who is not in it.
    fn bury(&mut self, _: &AccountKey, _: i64) -> Result<ExportFate, String> {
        Ok(ExportFate::Nothing)
    }

    fn finish(&mut self) -> Result<(), String> {
        if let Some(mut out) = self.out.take() {
            out.flush().map_err(|error| format!("cannot write: {error}"))?;
        }
        if let Some((made, path)) = self.file.take() {
            File::open(&made.0).and_then(|file| file.sync_all()).map_err(|error| format!("cannot sync: {error}"))?;
            made.finish(&path).map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}
