//! Threads that stay on a core of their own (`relay.pin_workers`).

use rustix::io;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores that relay threads are spread over.
pub(super) struct Pinning {
    /// Those that this thread may use.
    all: CpuSet,
    /// Empty: nothing is pinned.
    cores: Vec<usize>,
}

impl Pinning {
    /// Finds out whether the system lets threads be pinned, if they are `wanted` to be. Where it does not, they run unpinned,
    /// and one line of the log says so.
    pub(super) fn new(wanted: bool) -> Self {
        let none = || Self { all: CpuSet::new(), cores: Vec::new() };
        if !wanted {
            return none();
        }
        // What is set here is what is set already: it shows whether one may.
        let allowed = sched_getaffinity(None).and_then(|all| sched_setaffinity(None, &all).map(|()| all));
        match allowed {
            Ok(all) => {
                let cores = (0..CpuSet::MAX_CPU).filter(|core| all.is_set(*core)).collect();
                Self { all, cores }
            }
            Err(error) => {
                tell(error);
                none()
            }
        }
    }

    /// Starts a thread by `spawn` on the core of number `index`; with more threads than cores it begins anew.
    pub(super) fn at<T>(&self, index: usize, spawn: impl FnOnce() -> T) -> T {
        if self.cores.is_empty() {
            return spawn();
        }
        // A thread begins where the one that starts it may run.
        let mut one = CpuSet::new();
        one.set(self.cores[index % self.cores.len()]);
        let pinned = sched_setaffinity(None, &one);
        let spawned = spawn();
        if let Err(error) = pinned.and_then(|()| sched_setaffinity(None, &self.all)) {
            tell(error);
        }
        spawned
    }
}

fn tell(error: io::Errno) {
    tracing::warn!(
        %error,
        "relay.pin_workers is without effect: the system does not let threads be pinned; in a systemd unit take \
         @resources out of the denied SystemCallFilter, or set it to false"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cores() -> Vec<usize> {
        let set = sched_getaffinity(None).expect("one's own");
        (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect()
    }

    /// Where a thread runs that is started at `index`.
    fn started_at(pinning: &Pinning, index: usize) -> Vec<usize> {
        pinning.at(index, || std::thread::spawn(cores)).join().expect("it only looks")
    }

    #[test]
    fn threads_get_a_core_each_in_turn_and_who_starts_them_keeps_all() {
        let all = cores();
        let pinning = Pinning::new(true);
        for index in 0..2 * all.len() {
            assert_eq!(started_at(&pinning, index), [all[index % all.len()]]);
        }
        assert_eq!(cores(), all);
    }

    #[test]
    fn nothing_is_pinned_unasked() {
        assert_eq!(started_at(&Pinning::new(false), 0), cores());
    }
}
