//! A thread of the daemon that makes no progress: held by ptrace until its process dies.

use crate::guest::Guest;
use std::fs;
use std::path::Path;

/// Holds the thread called `name` of process `inner`, as the guest numbers it, for the rest of its life.
///
/// # Panics
/// When there is no such thread, or it cannot be held.
pub(crate) fn hold(guest: &Guest, inner: u32, name: &str) {
    let process = outside(guest, inner).unwrap_or_else(|| panic!("no process {inner} in the guest"));
    let thread = tasks(process).into_iter().find(|task| task.1 == name);
    let (thread, _) = thread.unwrap_or_else(|| panic!("no thread {name} among {:?}", tasks(process)));
    let (held, is_held) = std::sync::mpsc::sync_channel(1);
    // One thread seizes and waits: a tracer is a thread, and the dead are buried by their tracer.
    std::thread::spawn(move || {
        let first = seize(thread);
        held.send(first).expect("the test waits for it");
        while wait_for(thread).is_ok_and(|status| !libc::WIFEXITED(status) && !libc::WIFSIGNALED(status)) {}
    });
    is_held.recv().expect("the tracer answers").expect("root may trace");
}

fn seize(thread: i32) -> std::io::Result<()> {
    for request in [libc::PTRACE_SEIZE, libc::PTRACE_INTERRUPT] {
        // SAFETY: neither request reads or writes memory of this process; both data words are 0.
        if unsafe { libc::ptrace(request, thread, 0, 0) } != 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    wait_for(thread).map(drop)
}

fn wait_for(thread: i32) -> std::io::Result<i32> {
    let mut status = 0;
    // SAFETY: `status` lives for the call and is the only memory that the kernel writes.
    match unsafe { libc::waitpid(thread, &raw mut status, libc::__WALL) } {
        -1 => Err(std::io::Error::last_os_error()),
        _ => Ok(status),
    }
}

/// How this system numbers a process of the guest.
fn outside(guest: &Guest, inner: u32) -> Option<i32> {
    let space = |pid: &str| fs::read_link(Path::new("/proc").join(pid).join("ns/pid")).ok();
    let ours = space(&guest.first.to_string())?;
    let numbers =
        fs::read_dir("/proc").ok()?.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let is_it = |pid: &String| {
        let status = fs::read_to_string(Path::new("/proc").join(pid).join("status")).unwrap_or_default();
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        let last = numbers.and_then(|numbers| numbers.split_whitespace().last()?.parse().ok());
        last == Some(inner) && space(pid).as_ref() == Some(&ours)
    };
    numbers.filter(|name| name.parse::<u32>().is_ok()).find(is_it)?.parse().ok()
}

fn tasks(process: i32) -> Vec<(i32, String)> {
    let entries = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| {
        let name = fs::read_to_string(entry.path().join("comm")).ok()?;
        Some((entry.file_name().to_str()?.parse().ok()?, name.trim().to_owned()))
    });
    named.collect()
}
