//! What a process holds of memory, by the kernel's own account.

use std::fs;

/// One look at `/proc/<pid>/status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Resident now, KiB.
    pub rss_kib: u64,
    /// The most that was ever resident, KiB.
    pub peak_kib: u64,
}

impl Status {
    /// `None` when the process has ended: even a zombie has no memory.
    pub fn of(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let kib = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix("kB")?.trim().parse().ok()
        };
        Some(Self { rss_kib: kib("VmRSS:")?, peak_kib: kib("VmHWM:")? })
    }
}

/// A child of `parent` that was started as a guard.
pub fn guard_of(parent: u32) -> Option<u32> {
    let pids = fs::read_dir("/proc").ok()?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    pids.into_iter().find(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        parent_in(&stat) == Some(parent) && arguments.split(|byte| *byte == 0).nth(1) == Some(b"__guard")
    })
}

/// The parent in a line of `/proc/<pid>/stat`. The name before it may hold spaces and brackets.
fn parent_in(stat: &str) -> Option<u32> {
    let (_, after_name) = stat.rsplit_once(") ")?;
    after_name.split(' ').nth(1)?.parse().ok()
}

/// What was seen of one process over its life.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// Resident memory at each look, KiB, with CLOCK_MONOTONIC.
    pub rss: Vec<(u64, u64)>,
    /// The most, KiB.
    pub peak_kib: u64,
}

impl Seen {
    /// Looks once more. False when the process has ended.
    pub fn look(&mut self, pid: u32, mono_ns: u64) -> bool {
        let Some(status) = Status::of(pid) else { return false };
        self.rss.push((mono_ns, status.rss_kib));
        self.peak_kib = self.peak_kib.max(status.peak_kib);
        true
    }

    /// Resident memory, MB, at each look within this time.
    pub fn rss_mb_within(&self, from_ns: u64, to_ns: u64) -> impl Iterator<Item = f64> {
        self.rss.iter().filter(move |(at, _)| (from_ns..=to_ns).contains(at)).map(|(_, kib)| mb(*kib))
    }
}

/// KiB as MB (a million bytes).
pub fn mb(kib: u64) -> f64 {
    kib as f64 * 1024.0 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_the_kernels_text() {
        let text = "Name:\tstillpoint\nVmPeak:\t  300000 kB\nVmHWM:\t   21504 kB\nVmRSS:\t   20480 kB\nThreads:\t3\n";
        assert_eq!(Status::parse(text), Some(Status { rss_kib: 20_480, peak_kib: 21_504 }));
        assert_eq!(Status::parse("Name:\tstillpoint\nState:\tZ (zombie)\n"), None);
    }

    #[test]
    fn this_process_has_memory_and_a_parent() {
        let own = Status::of(std::process::id()).unwrap();
        assert!(own.rss_kib > 0 && own.peak_kib >= own.rss_kib);
        let stat = fs::read_to_string("/proc/self/stat").unwrap();
        assert_eq!(parent_in(&stat), Some(std::os::unix::process::parent_id()));
        assert_eq!(parent_in("7 (a) b) (c) S 42 7 7 0"), Some(42));
    }
}
