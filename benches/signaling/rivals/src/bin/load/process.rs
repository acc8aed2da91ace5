//! What the server's process has used, from `/proc` and its clock.

use std::error::Error;
use std::fs;
use std::mem::MaybeUninit;

pub(crate) struct Process {
    pid: u32,
    clock: libc::clockid_t,
    /// The line of `/proc/stat` for the core that the process is bound to.
    core: String,
}

/// Sums since the process began, or over a window.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    /// CPU time of all threads, in user space and in the kernel: utime + stime of `/proc/PID/stat`, which is
    /// rounded to 10 ms there.
    pub(crate) cpu_ns: u64,
    /// Times that a thread went to sleep.
    pub(crate) yielded: u64,
    /// Times that a thread lost its core to somebody.
    pub(crate) preempted: u64,
    /// Time in which nobody used the server's core.
    pub(crate) idle_ns: u64,
}

/// User-space memory in bytes. Socket buffers are the kernel's and not in it.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) resident: u64,
    pub(crate) anonymous: u64,
    pub(crate) private_dirty: u64,
}

impl Process {
    pub(crate) fn new(pid: u32) -> Result<Self, Box<dyn Error>> {
        let mut clock = 0;
        // SAFETY: `clock` outlives the call, which writes one clock id to it.
        match unsafe { libc::clock_getcpuclockid(pid.try_into()?, &raw mut clock) } {
            0 => {}
            error => return Err(std::io::Error::from_raw_os_error(error).into()),
        }
        let mut process = Self { pid, clock, core: String::new() };
        process.core = format!("cpu{} ", number_in(&process.read("status")?, "Cpus_allowed_list:")?);
        Ok(process)
    }

    pub(crate) fn usage(&self) -> Result<Usage, Box<dyn Error>> {
        let mut usage = Usage { cpu_ns: self.cpu_ns()?, idle_ns: self.idle_ns()?, ..Usage::default() };
        for task in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let status = fs::read_to_string(task?.path().join("status"))?;
            usage.yielded += number_in(&status, "voluntary_ctxt_switches:")?;
            usage.preempted += number_in(&status, "nonvoluntary_ctxt_switches:")?;
        }
        Ok(usage)
    }

    fn cpu_ns(&self) -> Result<u64, Box<dyn Error>> {
        let mut time = MaybeUninit::<libc::timespec>::uninit();
        // SAFETY: `time` outlives the call, which fills it when it returns 0.
        let time = unsafe {
            if libc::clock_gettime(self.clock, time.as_mut_ptr()) != 0 {
                return Err(std::io::Error::last_os_error().into());
            }
            time.assume_init()
        };
        Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
    }

    fn idle_ns(&self) -> Result<u64, Box<dyn Error>> {
        let stat = fs::read_to_string("/proc/stat")?;
        let fields = stat.lines().find_map(|line| line.strip_prefix(&self.core));
        // Fields 4 and 5, idle and waiting for a disk, in ticks of 10 ms.
        let ticks = fields.unwrap_or_default().split_whitespace().skip(3).take(2);
        Ok(ticks.map(str::parse::<u64>).sum::<Result<u64, _>>()? * 10_000_000)
    }

    pub(crate) fn memory(&self) -> Result<Memory, Box<dyn Error>> {
        let rollup = self.read("smaps_rollup")?;
        let bytes = |name| number_in(&rollup, name).map(|kib| kib * 1024);
        Ok(Memory {
            resident: bytes("Rss:")?,
            anonymous: bytes("Anonymous:")?,
            private_dirty: bytes("Private_Dirty:")?,
        })
    }

    fn read(&self, file: &str) -> Result<String, Box<dyn Error>> {
        let path = format!("/proc/{}/{file}", self.pid);
        fs::read_to_string(&path).map_err(|error| format!("{path}: {error}").into())
    }
}

impl Usage {
    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            cpu_ns: self.cpu_ns - before.cpu_ns,
            yielded: self.yielded - before.yielded,
            preempted: self.preempted - before.preempted,
            idle_ns: self.idle_ns.saturating_sub(before.idle_ns),
        }
    }
}

/// The number in the line that begins with `name`.
fn number_in(text: &str, name: &str) -> Result<u64, Box<dyn Error>> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| format!("no number for {name} in /proc").into())
}
