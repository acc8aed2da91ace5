//! Network namespaces, cables between them, and rules in them.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Every name begins with this, then the id of the process that made it.
const PREFIX: &str = "turnstone-test-";

/// A namespace of our own, gone when dropped, also by a panic.
#[derive(Debug)]
pub(crate) struct Space {
    name: String,
}

/// Why namespaces cannot be had here, or `None` when they can. Looked at once, with the leftovers of
/// killed runs removed.
pub(crate) fn missing() -> Option<&'static str> {
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    let look = || {
        if !rustix::process::geteuid().is_root() {
            return Some("needs root for network namespaces".to_owned());
        }
        remove_leftovers();
        let probe = try_run("ip", &["netns", "add", &format!("{PREFIX}{}-probe", std::process::id())]);
        let space = Space { name: format!("{PREFIX}{}-probe", std::process::id()) };
        let rules = probe.and_then(|()| {
            space.enter(|| {
                try_run("nft", &["add", "table", "ip", "probe"])?;
                try_run("nft", &["add chain ip probe out { type nat hook postrouting priority 100; }"])?;
                try_run("nft", &["add rule ip probe out masquerade random"])?;
                try_run("nft", &["add chain ip probe in { type filter hook input priority 0; }"])?;
                try_run("nft", &["add rule ip probe in numgen random mod 100 < 20 drop"])
            })
        });
        rules.err()
    };
    MISSING.get_or_init(look).as_deref()
}

/// Namespaces of processes that live no more.
fn remove_leftovers() {
    let Ok(entries) = std::fs::read_dir("/run/netns") else { return };
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        let alive = rest.split('-').next().is_some_and(|id| std::path::Path::new("/proc").join(id).exists());
        if !alive {
            let _gone_already = try_run("ip", &["netns", "del", &name]);
        }
    }
}

impl Space {
    /// A namespace with loopback up and forwarding on.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{count}", std::process::id());
        run("ip", &["netns", "add", &name]);
        let space = Self { name };
        space.ip("link set lo up");
        space.enter(|| {
            for (key, value) in [
                ("ipv4/ip_forward", "1"),
                ("ipv6/conf/all/forwarding", "1"),
                ("ipv4/conf/all/rp_filter", "0"),
                ("ipv4/conf/default/rp_filter", "0"),
            ] {
                std::fs::write(format!("/proc/sys/net/{key}"), value).expect("root sets its own namespace");
            }
        });
        space
    }

    /// Joins two namespaces with a cable; its ends are named `name` on both sides.
    pub(crate) fn join(&self, other: &Self, name: &str) {
        self.ip(&format!("link add {name} type veth peer name {name} netns {}", other.name));
        for space in [self, other] {
            space.ip(&format!("link set {name} up"));
        }
    }

    /// Puts `addresses`, with their prefixes, onto `link`.
    pub(crate) fn addresses(&self, link: &str, addresses: &[&str]) {
        for address in addresses {
            // Without duplicate detection an IPv6 address can be bound at once.
            let nodad = if address.contains(':') { " nodad" } else { "" };
            self.ip(&format!("address add {address} dev {link}{nodad}"));
        }
    }

    /// `ip ARGUMENTS` in here.
    pub(crate) fn ip(&self, arguments: &str) {
        let mut words = vec!["-n", &self.name];
        words.extend(arguments.split_whitespace());
        run("ip", &words);
    }

    /// `nft ARGUMENTS` in here; returns what it printed.
    pub(crate) fn nft(&self, arguments: &str) -> String {
        self.enter(|| run("nft", &[arguments]))
    }

    /// Packets that the named counter of table `inet watch` has seen.
    pub(crate) fn counted(&self, counter: &str) -> u64 {
        let text = self.nft(&format!("list counter inet watch {counter}"));
        let mut words = text.split_whitespace().skip_while(|word| *word != "packets");
        words.nth(1).and_then(|number| number.parse().ok()).expect("nft prints packets and bytes")
    }

    /// Runs `work` on a thread of this namespace. Sockets and processes made there stay here.
    pub(crate) fn enter<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        let path = format!("/run/netns/{}", self.name);
        std::thread::scope(|scope| {
            let inside = || {
                let file = File::open(&path).expect("ip netns has made it");
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
                    .expect("root may enter its own namespace");
                work()
            };
            match scope.spawn(inside).join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    }

    /// A socket of this namespace.
    pub(crate) fn udp(&self, address: SocketAddr) -> UdpSocket {
        self.enter(|| UdpSocket::bind(address)).unwrap_or_else(|error| panic!("{address}: {error}"))
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // Never a second panic: the first one tells what went wrong.
        let _gone_already = try_run("ip", &["netns", "del", &self.name]);
    }
}

/// A literal address.
pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|_| panic!("{text} is no address"))
}

/// A literal address and port.
pub(crate) fn at(text: &str) -> SocketAddr {
    text.parse().unwrap_or_else(|_| panic!("{text} is no address with port"))
}

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn try_run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output().map_err(|e| format!("{program}: {e}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}
