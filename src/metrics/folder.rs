//! Metrics of the token folder.

use prometheus::{IntCounter, IntGauge};

use super::profile::{PRIMARY, Part};

metrics! {
    /// Metrics of the token folder.
    FolderMetrics, make:
    pub pending: IntGauge = make.on(PRIMARY.with(Part::Folder)).gauge(
        "folder_pending",
        "Changes that are not in the token folder yet",
    )?;
    pub written: IntCounter = make.on(PRIMARY.with(Part::Folder)).counter(
        "folder_written_total",
        "Files written to the token folder",
    )?;
    pub failures: IntCounter = make.on(PRIMARY.with(Part::Folder)).counter(
        "folder_failures_total",
        "Files of the token folder that could not be written or read",
    )?;
    pub put_aside: IntCounter = make.on(PRIMARY.with(Part::Folder)).counter(
        "folder_put_aside_total",
        "Files that others wrote to the token folder and that were moved to its folder of rejected files",
    )?;
}
