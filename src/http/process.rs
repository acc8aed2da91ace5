//! The standard `process_*` families, read from `/proc/self`.
//!
//! Read here rather than by the `process` feature of `prometheus`: that takes the start time from
//! `/proc/stat`, which a unit with `ProcSubset=pid` cannot see (it would show 1970), and brings a
//! second `rustix`. What cannot be read is left out, never shown as zero.

use super::exposition::{counter, gauge};
use prometheus::proto::MetricFamily;
use rustix::time::{ClockId, clock_gettime};
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

/// The process at its start.
#[derive(Debug)]
pub(super) struct Process {
    start_unix_s: Option<f64>,
}

impl Process {
    /// Fixes the start time once: computed again at each scrape it would jitter, and dashboards
    /// take a change for a restart.
    pub(super) fn new() -> Self {
        Self { start_unix_s: Stat::read().and_then(|stat| start_unix_s(&stat)) }
    }

    /// The families of this moment.
    pub(super) fn families(&self) -> Vec<MetricFamily> {
        let mut families = Vec::with_capacity(7);
        if let Some(start_s) = self.start_unix_s {
            let help = "Start time of the process in seconds since the Unix epoch.";
            families.push(gauge("process_start_time_seconds", help, start_s));
        }
        if let Some(stat) = Stat::read() {
            let cpu_s = ticks_to_seconds(stat.cpu_ticks);
            let resident = stat.resident_pages.saturating_mul(rustix::param::page_size() as u64);
            families.extend([
                counter("process_cpu_seconds_total", "User and system CPU time in seconds.", cpu_s),
                gauge("process_threads", "Threads of the process.", stat.threads as f64),
                gauge("process_virtual_memory_bytes", "Virtual memory in bytes.", stat.virtual_bytes as f64),
                gauge("process_resident_memory_bytes", "Resident memory in bytes.", resident as f64),
            ]);
        }
        if let Some(open) = open_fds() {
            families.push(gauge("process_open_fds", "Open file descriptors.", open as f64));
        }
        if let Some(max) = fs::read_to_string("/proc/self/limits").ok().and_then(|text| max_fds(&text)) {
            families.push(gauge("process_max_fds", "Limit of open file descriptors.", max as f64));
        }
        families
    }
}

/// The fields of `/proc/self/stat` that we show.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    /// Since boot, on the boot-time clock of this time namespace.
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    fn read() -> Option<Self> {
        Self::parse(&fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// proc(5): the command name in field 2 may hold blanks and brackets, so count from its end.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<_> = text.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        // Field 3 of the page is the first one here.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)?.saturating_add(field(15)?),
            threads: field(20)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

fn ticks_to_seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

/// Wall clock now, minus the age by the boot-time clock; to 10 ms, the precision of a tick.
fn start_unix_s(stat: &Stat) -> Option<f64> {
    let boottime = clock_gettime(ClockId::Boottime);
    let age_s = boottime.tv_sec as f64 + boottime.tv_nsec as f64 / 1e9 - ticks_to_seconds(stat.start_ticks);
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
    Some(((now_s - age_s) * 100.0).round() / 100.0)
}

/// Open file descriptors, and how many there may be. May block.
pub(super) fn descriptors() -> Option<(u64, u64)> {
    Some((open_fds()?, max_fds(&fs::read_to_string("/proc/self/limits").ok()?)?))
}

/// Linux 6.2 and later tell the count as the size of the folder; before, its entries are counted.
fn open_fds() -> Option<u64> {
    match fs::metadata("/proc/self/fd").ok()?.len() {
        // The folder itself is open while it is read.
        0 => Some((fs::read_dir("/proc/self/fd").ok()?.count() as u64).saturating_sub(1)),
        count => Some(count),
    }
}

fn max_fds(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_brackets_and_blanks_does_not_shift_the_fields() {
        let numbers: Vec<_> = (4..=52).map(|n| (n * 10).to_string()).collect();
        let text = format!("1 (a) R 7 (b) S {}", numbers.join(" "));
        let stat =
            Stat { cpu_ticks: 290, threads: 200, start_ticks: 220, virtual_bytes: 230, resident_pages: 240 };
        assert_eq!(Stat::parse(&text), Some(stat));
        assert_eq!(Stat::parse("1 (a) R 7"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn the_start_time_agrees_with_the_boot_time_that_the_kernel_tells_where_it_does() {
        let start_s = Process::new().start_unix_s.expect("readable");
        let stat = fs::read_to_string("/proc/stat").expect("tests run without ProcSubset=pid");
        let boot = stat.lines().find_map(|line| line.strip_prefix("btime ")).expect("told");
        let ticks = Stat::read().expect("readable").start_ticks;
        let other_s = boot.parse::<f64>().expect("a number") + ticks_to_seconds(ticks);
        // The kernel rounds the boot time to a second.
        assert!((start_s - other_s).abs() < 2.0, "{start_s} against {other_s}");
    }

    #[test]
    fn an_opened_file_is_counted() {
        let before = open_fds().expect("readable");
        let held: Vec<_> = (0..64).map(|_| fs::File::open("/proc/self/stat").expect("opens")).collect();
        // Other tests open and close files at the same time, fewer than these.
        let after = open_fds().expect("readable");
        assert!(after >= before + 32, "{before} then {after} with {} more", held.len());
    }

    #[test]
    fn the_limit_of_open_files_is_the_soft_one() {
        let text = "Limit  Soft  Hard  Units\nMax open files            1024   524288   files\n";
        assert_eq!(max_fds(text), Some(1024));
        assert_eq!(max_fds("Max open files  unlimited unlimited files"), None);
    }
}
