//! Noticing that files have changed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::{NotAfter, TlsError, TlsSnapshot};
use crate::clock;
use crate::config::Tls;
use crate::metrics::Metrics;

/// Interval of the checks.
const LOOK: Duration = Duration::from_secs(1);

/// A product of a section's files.
pub trait TlsFilesUser: fmt::Debug + Send + Sync {
    /// Makes everything of these files, or changes nothing. Gives the end of the certificate, if there is one.
    fn apply(&self, snapshot: &TlsSnapshot) -> Result<Option<NotAfter>, TlsError>;
}

/// The files of one `tls` section, and their product.
///
/// It compares contents, not times. So it notices a file that was replaced through a symbolic link, as in Kubernetes,
/// and two changes within one tick of the file system's clock.
#[derive(Debug)]
pub struct TlsFiles {
    section: &'static str,
    user: Arc<dyn TlsFilesUser>,
    metrics: Arc<Metrics>,
    state: Mutex<FilesState>,
}

#[derive(Debug)]
struct FilesState {
    paths: Tls,
    /// The last content that needs no action: it is in use, or was reported as broken.
    settled: [u8; 32],
    /// The content that was broken at the first check. The other file of a pair may be about to be written.
    suspect: Option<[u8; 32]>,
    /// When the certificate in use expires, unix seconds. `None`: there is none.
    not_after: Option<i64>,
}

impl TlsFiles {
    /// The files that `snapshot` just made `user` from.
    pub fn new(
        section: &'static str,
        paths: Tls,
        snapshot: &TlsSnapshot,
        not_after: Option<&NotAfter>,
        user: Arc<dyn TlsFilesUser>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let state = FilesState {
            paths,
            settled: snapshot.fingerprint(),
            suspect: None,
            not_after: not_after.map(|end| end.unix),
        };
        tell(section, &state.paths, &metrics, "loaded", not_after);
        Arc::new(Self { section, user, metrics, state: Mutex::new(state) })
    }

    /// Looks at the files now and then, for ever.
    pub async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            if self.state.lock().paths == Tls::default() {
                continue;
            }
            let files = self.clone();
            // It fails only when the runtime ends.
            let _ = tokio::task::spawn_blocking(move || files.look()).await;
        }
    }

    /// When the certificate in use expires, unix seconds. `None`: there is none.
    pub fn not_after(&self) -> Option<i64> {
        self.state.lock().not_after
    }

    /// Loads from these paths from now on, and at once, whether anything has changed or not. Blocks.
    pub fn reload(&self, paths: Tls) {
        let mut state = self.state.lock();
        state.paths = paths;
        let snapshot = TlsSnapshot::read(self.section, &state.paths);
        self.apply(&mut state, &snapshot, snapshot.fingerprint());
    }

    /// Loads what has changed. What is broken is reported at the second look, and once.
    fn look(&self) {
        let mut state = self.state.lock();
        let snapshot = TlsSnapshot::read(self.section, &state.paths);
        let seen = snapshot.fingerprint();
        if seen == state.settled {
            state.suspect = None;
        } else if state.suspect == Some(seen) {
            self.apply(&mut state, &snapshot, seen);
        } else if let Ok(not_after) = self.user.apply(&snapshot) {
            self.applied(&mut state, seen, not_after.as_ref());
        } else {
            state.suspect = Some(seen);
        }
    }

    fn apply(&self, state: &mut FilesState, snapshot: &TlsSnapshot, seen: [u8; 32]) {
        match self.user.apply(snapshot) {
            Ok(not_after) => self.applied(state, seen, not_after.as_ref()),
            Err(error) => {
                tracing::warn!("cannot load changed TLS files: {error}. The files loaded before stay in use");
                self.metrics.reloaded(self.section, false);
                (state.settled, state.suspect) = (seen, None);
            }
        }
    }

    fn applied(&self, state: &mut FilesState, seen: [u8; 32], not_after: Option<&NotAfter>) {
        (state.settled, state.suspect) = (seen, None);
        state.not_after = not_after.map(|end| end.unix);
        if state.paths != Tls::default() {
            self.metrics.reloaded(self.section, true);
        }
        tell(self.section, &state.paths, &self.metrics, "reloaded", not_after);
    }
}

/// Says when the certificate expires, to people and to machines.
fn tell(section: &str, paths: &Tls, metrics: &Metrics, what: &str, not_after: Option<&NotAfter>) {
    metrics.expiry.certificates.show_of([section], not_after.map(|end| end.unix));
    match not_after {
        None if *paths == Tls::default() => {}
        None => tracing::info!("{section}: {what}"),
        Some(NotAfter { unix, day }) => {
            if *unix <= clock::unix_seconds() {
                tracing::warn!(
                    "{section}: {what}, but the certificate expired on {day}: the other side will reject it"
                );
            } else {
                tracing::info!("{section}: {what}; the certificate is valid until {day}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::metrics::Profile;

    /// Counts its inputs, and rejects those without a certificate.
    #[derive(Debug, Default)]
    struct Counting {
        good: AtomicUsize,
        bad: AtomicUsize,
    }

    impl TlsFilesUser for Counting {
        fn apply(&self, snapshot: &TlsSnapshot) -> Result<Option<NotAfter>, TlsError> {
            let result = snapshot.roots();
            if result.is_ok() { &self.good } else { &self.bad }.fetch_add(1, Ordering::Relaxed);
            result.map(|_| None)
        }
    }

    #[test]
    fn each_change_is_applied_once_and_a_broken_one_is_looked_at_twice() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("ca.pem");
        let pem = || rcgen::generate_simple_self_signed(vec!["a.example".to_owned()]).unwrap().cert.pem();
        let (first, second) = (pem(), pem());
        std::fs::write(&root, &first).unwrap();
        let paths = Tls { root: Some(root.clone()), ..Tls::default() };
        let (user, metrics) = (Arc::new(Counting::default()), Arc::new(Metrics::new(Profile::primary()).unwrap()));
        let files = TlsFiles::new(
            "http.tls",
            paths.clone(),
            &TlsSnapshot::read("http.tls", &paths),
            None,
            user.clone(),
            metrics,
        );
        let after = |content: Option<&str>, looks: usize| {
            match content {
                Some(content) => std::fs::write(&root, content).unwrap(),
                None => std::fs::remove_file(&root).unwrap(),
            }
            for _ in 0..looks {
                files.look();
            }
            (user.good.load(Ordering::Relaxed), user.bad.load(Ordering::Relaxed))
        };
        assert_eq!(after(Some(&first), 3), (0, 0), "unchanged");
        assert_eq!(after(Some(&second), 3), (1, 0), "another certificate");
        assert_eq!(after(Some(&first[..100]), 1), (1, 1), "half of a file, which may be about to be completed");
        assert_eq!(after(Some(&first), 3), (2, 1), "completed");
        assert_eq!(after(None, 5), (2, 3), "gone, and it stays so: reported once");
        assert_eq!(after(Some("nothing"), 5), (2, 5), "broken in another way");
        assert_eq!(after(Some(&second), 2), (3, 5), "whole again");
        files.reload(paths);
        assert_eq!(user.good.load(Ordering::Relaxed), 4, "told to");
    }
}
