//! The resources of the process, by the names of Prometheus' client libraries. CPU time is exact, not in whole seconds.
//!
//! Linux only: elsewhere there are no such metrics.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge};
use rustix::param::{clock_ticks_per_second, page_size};
use rustix::time::{ClockId, clock_gettime};

use crate::descriptors;

/// The metrics, read at each scrape.
#[derive(Debug)]
pub(super) struct ProcessMetrics {
    cpu: Counter,
    open_fds: Gauge,
    max_fds: Gauge,
    virtual_memory: Gauge,
    resident_memory: Gauge,
    threads: Gauge,
    start: Gauge,
}

impl ProcessMetrics {
    pub(super) fn new() -> prometheus::Result<Self> {
        let made = Self {
            cpu: Counter::new("process_cpu_seconds_total", "User and system CPU time used, in seconds")?,
            open_fds: Gauge::new("process_open_fds", "Open file descriptors")?,
            max_fds: Gauge::new("process_max_fds", "File descriptors that may be open")?,
            virtual_memory: Gauge::new("process_virtual_memory_bytes", "Virtual memory, in bytes")?,
            resident_memory: Gauge::new("process_resident_memory_bytes", "Resident memory, in bytes")?,
            threads: Gauge::new("process_threads", "Threads of the process")?,
            start: Gauge::new("process_start_time_seconds", "When the process started, in unix seconds")?,
        };
        if let Some(start) = start_time() {
            made.start.set(start);
        }
        Ok(made)
    }

    fn all(&self) -> [&dyn Collector; 7] {
        [
            &self.cpu,
            &self.open_fds,
            &self.max_fds,
            &self.virtual_memory,
            &self.resident_memory,
            &self.threads,
            &self.start,
        ]
    }

    /// An unreadable value stays as it was.
    fn read(&self) {
        let used = clock_gettime(ClockId::ProcessCPUTime);
        let used = Duration::new(u64::try_from(used.tv_sec).unwrap_or(0), u32::try_from(used.tv_nsec).unwrap_or(0));
        self.cpu.inc_by((used.as_secs_f64() - self.cpu.get()).max(0.0));
        let limit = descriptors::in_force();
        self.max_fds.set(if limit == u64::MAX { f64::INFINITY } else { limit as f64 });
        if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
            // One is that of this look itself.
            self.open_fds.set(open.count().saturating_sub(1) as f64);
        }
        if let Some(stat) = Stat::read() {
            self.virtual_memory.set(stat.virtual_bytes);
            self.resident_memory.set(stat.resident_pages * page_size() as f64);
            self.threads.set(stat.threads);
        }
    }
}

impl Collector for ProcessMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.read();
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}

/// Fields of `/proc/self/stat`, by their numbers in proc(5).
#[derive(Debug)]
struct Stat {
    /// 20.
    threads: f64,
    /// 22: since the system started, in clock ticks.
    started: f64,
    /// 23.
    virtual_bytes: f64,
    /// 24.
    resident_pages: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/self/stat").ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        // The program's name may contain blanks and brackets; the third field follows its last bracket.
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse().ok();
        Some(Self { threads: field(20)?, started: field(22)?, virtual_bytes: field(23)?, resident_pages: field(24)? })
    }
}

/// Unix seconds, as exactly as the system counts: to a clock tick.
fn start_time() -> Option<f64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
    let up = clock_gettime(ClockId::Boottime);
    let up = up.tv_sec as f64 + up.tv_nsec as f64 / 1e9;
    Some(now - up + Stat::read()?.started / clock_ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_is_no_hindrance() {
        let text = "7 (a) b (c) S 1 7 7 0 -1 4194304 500 0 0 0 10 20 0 0 20 0 9 0 12345 65536 42 18446744073709551615";
        let stat = Stat::parse(text).unwrap();
        assert_eq!(
            (stat.threads, stat.started, stat.virtual_bytes, stat.resident_pages),
            (9.0, 12345.0, 65536.0, 42.0)
        );
        assert!(Stat::parse("7 (a) S 1").is_none() && Stat::parse("").is_none());
    }

    #[test]
    fn what_is_read_of_this_process_is_plausible() {
        let process = ProcessMetrics::new().unwrap();
        let before = process.cpu.get();
        let families = process.collect();
        assert_eq!(families.len(), 7);
        let mut work = 0_u64;
        let first = process.cpu.get();
        while process.cpu.get() < first + 0.001 {
            work = std::hint::black_box(work + 1);
            process.read();
        }
        assert!(before < first, "less than a second of CPU time is seen");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((now - 3600.0 * 24.0..=now + 1.0).contains(&process.start.get()), "{}", process.start.get());
        assert!(process.open_fds.get() >= 3.0 && process.max_fds.get() >= process.open_fds.get());
        assert!(process.resident_memory.get() > 1e6 && process.virtual_memory.get() > process.resident_memory.get());
        assert!(process.threads.get() >= 1.0);
    }
}
