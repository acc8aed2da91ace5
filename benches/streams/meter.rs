//! What a process has used, as the kernel counts it.

use std::fs;
use std::ops::Sub;

/// Use of a process since its start, or the difference of two such moments.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// On a core, user and kernel, all threads. The kernel's work to receive what a process sends over
    /// loopback is in there too, because it happens inside of the send.
    pub(crate) cpu_ns: u64,
    /// The user part, in ticks of 10 ms.
    pub(crate) user_ticks: u64,
    pub(crate) system_ticks: u64,
    /// Times that a thread left its core, by itself or not.
    pub(crate) switches: u64,
}

/// User-space memory in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    /// Heap and stacks, without pages of files.
    pub(crate) anonymous: u64,
}

impl Usage {
    /// # Panics
    /// When the process is gone.
    pub(crate) fn of(pid: u32) -> Self {
        let mut usage = Self::default();
        for thread in fs::read_dir(format!("/proc/{pid}/task")).expect("a running process").flatten() {
            // A thread may end while we read; then it counts no more.
            let read = |file: &str| fs::read_to_string(thread.path().join(file)).unwrap_or_default();
            usage.cpu_ns += number(read("schedstat").split_whitespace().next());
            let status = read("status");
            let switches = status.lines().filter(|line| line.contains("ctxt_switches"));
            usage.switches += switches.map(|line| number(line.split_whitespace().nth(1))).sum::<u64>();
        }
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a running process");
        let mut ticks = stat.rsplit_once(')').expect("a name in brackets").1.split_whitespace().skip(11);
        (usage.user_ticks, usage.system_ticks) = (number(ticks.next()), number(ticks.next()));
        usage
    }

    pub(crate) fn cpu_s(&self) -> f64 {
        self.cpu_ns as f64 / 1e9
    }
}

impl Sub for Usage {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.saturating_sub(before.cpu_ns),
            user_ticks: self.user_ticks.saturating_sub(before.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(before.system_ticks),
            switches: self.switches.saturating_sub(before.switches),
        }
    }
}

impl Memory {
    /// # Panics
    /// When the process is gone.
    pub(crate) fn of(pid: u32) -> Self {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("a running process");
        let bytes = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line of smaps_rollup");
            number(line.split_whitespace().next()) * 1024
        };
        Self { resident: bytes("Rss:"), anonymous: bytes("Anonymous:") }
    }
}

fn number(word: Option<&str>) -> u64 {
    word.and_then(|word| word.parse().ok()).unwrap_or_default()
}
