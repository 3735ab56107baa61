//! What a process has used, from `/proc`.

use std::time::Duration;

/// Sums over all threads of a process, since its start.
#[derive(Clone, Copy)]
pub(crate) struct Usage {
    /// CPU time outside the kernel, in steps of 10 ms.
    pub(crate) user: Duration,
    /// CPU time in the kernel, in steps of 10 ms.
    pub(crate) system: Duration,
    /// System calls that read.
    pub(crate) reads: u64,
    /// System calls that write.
    pub(crate) writes: u64,
    /// How often its threads waited for something. Threads that have ended do not count.
    pub(crate) waits: u64,
}

impl Usage {
    /// What this process has used so far.
    pub(crate) fn of(pid: u32) -> Self {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks = |place: usize| Duration::from_millis(10 * fields[place].parse::<u64>().unwrap());
        let io = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        // A thread may end while this reads.
        let status = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("status")).ok();
        let waits = threads.filter_map(|thread| status(thread.unwrap()));
        Self {
            user: ticks(11),
            system: ticks(12),
            reads: number(&io, "syscr:"),
            writes: number(&io, "syscw:"),
            waits: waits.map(|status| number(&status, "voluntary_ctxt_switches:")).sum(),
        }
    }

    /// What it has used since an earlier moment.
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            user: self.user - before.user,
            system: self.system - before.system,
            reads: self.reads - before.reads,
            writes: self.writes - before.writes,
            waits: self.waits.saturating_sub(before.waits),
        }
    }

    /// The sum of two spans.
    pub(crate) fn and(&self, other: &Self) -> Self {
        Self {
            user: self.user + other.user,
            system: self.system + other.system,
            reads: self.reads + other.reads,
            writes: self.writes + other.writes,
            waits: self.waits + other.waits,
        }
    }

    /// All CPU time.
    pub(crate) fn cpu(&self) -> Duration {
        self.user + self.system
    }
}

fn number(text: &str, name: &str) -> u64 {
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().parse().unwrap()
}
