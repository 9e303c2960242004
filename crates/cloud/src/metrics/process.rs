//! What the operating system says of this process: on Linux from /proc, elsewhere nothing.

use metrics::{counter, gauge};

/// Ticks of /proc in a second: `USER_HZ`, which Linux has fixed at 100 for programs on all machines that Rust
/// has the standard library for.
const TICKS: u64 = 100;

/// Reads memory, CPU time and file descriptors.
pub(super) fn read() {
    let file = |name: &str| std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    if let Some(bytes) = resident_bytes(&file("status")) {
        gauge!("tillwatch_process_resident_memory_bytes").set(bytes as f64);
    }
    let stat = file("stat");
    if let Some((cpu_ticks, start_ticks)) = times(&stat) {
        // The registry of metrics counts in whole numbers only.
        counter!("tillwatch_process_cpu_seconds_total").absolute(cpu_ticks / TICKS);
        let booted_at = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let booted_at =
            booted_at.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<u64>().ok());
        if let Some(booted_at) = booted_at {
            let started_at = booted_at as f64 + start_ticks as f64 / TICKS as f64;
            gauge!("tillwatch_process_start_time_seconds").set(started_at);
        }
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        // One of them is the one that reads the folder.
        gauge!("tillwatch_process_open_fds").set(open.count().saturating_sub(1) as f64);
    }
    if let Some(max) = max_fds(&file("limits")) {
        gauge!("tillwatch_process_max_fds").set(max as f64);
    }
}

/// The resident set of `/proc/PID/status`, in bytes.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// CPU time and start of `/proc/PID/stat`, in ticks. The second field is a name that may hold anything.
fn times(stat: &str) -> Option<(u64, u64)> {
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    // proc(5) counts from 1, and two fields are gone: utime is 14, stime 15, starttime 22.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    Some((field(14)? + field(15)?, field(22)?))
}

/// The soft limit of `/proc/PID/limits`.
fn max_fds(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_understood() {
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    2048 kB\nThreads:\t3\n"), Some(2_097_152));
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 4200 1000 50";
        assert_eq!(times(stat), Some((300, 4200)));
        assert_eq!(
            max_fds("Max open files            1024                 4096                 files\n"),
            Some(1024)
        );
        assert_eq!((resident_bytes(""), times(""), max_fds("")), (None, None, None));
    }
}
