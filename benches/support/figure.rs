//! What a benchmark found: one figure a line, under the same name in each run, so that runs of two builds can be joined line by line.

use std::time::Duration;

/// Prints one figure. The name has no colon, so a script can split the line there.
pub(crate) fn figure(name: &str, value: f64, unit: &str) {
    let decimals = match value.abs() {
        size if size >= 100.0 || size.fract() == 0.0 => 0,
        size if size >= 10.0 => 1,
        _ => 2,
    };
    println!("{name}: {value:.decimals$} {unit}");
}

/// Prints the p50, the p99 and the longest of some times, in milliseconds. The times are sorted.
pub(crate) fn quantiles(name: &str, sorted: &[Duration]) {
    figure(&format!("{name}, p50"), super::quantile(sorted, 0.5), "ms");
    figure(&format!("{name}, p99"), super::quantile(sorted, 0.99), "ms");
    figure(&format!("{name}, longest"), super::quantile(sorted, 1.0), "ms");
}
