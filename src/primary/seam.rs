//! Moments at which a test lets the first scan go on, so that each order of steps is tried, and not left to luck.

/// Where somebody is who looks something up while the folder is imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScanMoment {
    /// The scan was found not to have come far enough.
    Begun,
    /// The journal was found to have nothing.
    Missed,
    /// The files in question were read.
    Read,
    /// What they held was given to the journal.
    Imported,
    /// The journal was found to have nothing still, and the scan is to be waited for.
    Waiting,
}

#[cfg(test)]
type Act = std::sync::Arc<dyn Fn(ScanMoment) + Send + Sync>;

/// What happens at these moments: nothing, but in tests.
#[derive(Default)]
pub(super) struct Seam {
    #[cfg(test)]
    act: parking_lot::Mutex<Option<Act>>,
}

impl Seam {
    #[cfg(not(test))]
    pub(super) const fn at(&self, _: ScanMoment) {}

    #[cfg(test)]
    pub(super) fn at(&self, moment: ScanMoment) {
        let act = self.act.lock().clone();
        if let Some(act) = act {
            act(moment);
        }
    }

    /// Has something done at each moment from now on.
    #[cfg(test)]
    pub(super) fn set(&self, act: impl Fn(ScanMoment) + Send + Sync + 'static) {
        *self.act.lock() = Some(std::sync::Arc::new(act));
    }
}

impl std::fmt::Debug for Seam {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seam")
    }
}
