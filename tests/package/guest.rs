//! A machine to try the package on: an overlay of this one in namespaces of its own. What is written stays in
//! memory, and everything, mounts and processes included, is gone when the value is dropped.

use rustix::process::geteuid;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

/// Made in front of every command: the addresses that the daemon finds, and no packet leaves.
pub(crate) const ADDRESS: &str = "192.0.2.10";

/// Makes the guest's root and moves into it. Nothing of it is seen outside, since mounts here are private.
const MOUNT: &str = r#"
set -e
mount -t tmpfs -o mode=755,size=2g tmpfs "$T"
mkdir "$T/upper" "$T/work" "$T/root"
root=$T/root
mount -t overlay -o "lowerdir=/,upperdir=$T/upper,workdir=$T/work" overlay "$root"
[ -x "$root/usr/bin/dpkg" ] || { echo "the system is spread over several file systems" >&2; exit 1; }
mount -t proc proc "$root/proc"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for node in null zero full random urandom tty; do cp -a "/dev/$node" "$root/dev/$node"; done
ln -s /proc/self/fd "$root/dev/fd"
mkdir "$root/dev/shm" "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t devpts -o newinstance,mode=620,ptmxmode=666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ip link set lo up
ip link add outside type veth peer name beyond
ip address add "$ADDRESS/24" dev outside
ip link set outside up
ip link set beyond up
ip route add default via 192.0.2.1
: >"$root/etc/fstab"
rm -rf "$root/var/log/journal"
mkdir "$root/.outside"
cd "$root"
pivot_root . .outside
cd /
umount -l /.outside
rmdir /.outside
"#;

/// A guest without a service manager, which refuses to start services.
const PLAIN: &str = r#"
printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
echo ready
read -r _ || true
"#;

/// A guest with systemd as its first process. Only what every unit needs is started with it.
const BOOTED: &str = r#"
mount -t sysfs -o ro sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
rm -rf /etc/systemd/system/* /usr/sbin/policy-rc.d
ln -s /usr/lib/systemd/system/multi-user.target /etc/systemd/system/default.target
printf '[Unit]\nRequires=basic.target\nAfter=basic.target\nAllowIsolate=yes\n' >/etc/systemd/system/guest.target
echo ready
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=turnstone-test \
    /lib/systemd/systemd --system --unit=guest.target --log-target=journal >/dev/null 2>&1
"#;

/// See the module.
#[derive(Debug)]
pub(crate) struct Guest {
    holder: Child,
    /// The first process of the guest, as this system numbers it.
    pub(crate) first: u32,
    _folder: TempDir,
    cgroup: Option<Cgroup>,
    _stdout: BufReader<ChildStdout>,
}

/// What a command in the guest said, on both channels.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) ok: bool,
    pub(crate) text: String,
}

/// Why there can be no guest here, or `None` when there can.
pub(crate) fn missing() -> Option<&'static str> {
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    let look = || {
        if !geteuid().is_root() {
            return Some("needs root for namespaces and an overlay of this system".to_owned());
        }
        Guest::start(PLAIN, None).err()
    };
    MISSING.get_or_init(look).as_deref()
}

impl Guest {
    /// A guest without a service manager.
    pub(crate) fn plain() -> Self {
        Self::start(PLAIN, None).expect("a guest, since `missing` found no reason against it")
    }

    /// A guest whose first process is systemd, or why there is none.
    pub(crate) fn booted() -> Result<Self, String> {
        let guest = Self::start(BOOTED, Some(Cgroup::new()?))?;
        let said = guest
            .sh("for n in $(seq 100); do systemctl is-system-running --wait && break; sleep 0.1; done; \
                             systemctl is-active guest.target");
        if said.ok {
            Ok(guest)
        } else {
            Err(format!("systemd does not come up in a namespace: {}", said.text))
        }
    }

    fn start(script: &str, cgroup: Option<Cgroup>) -> Result<Self, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        // The guest's view of control groups begins at the group that its first process is in.
        let enter = cgroup.as_ref().map(|group| format!("echo $$ >{}/cgroup.procs\n", group.0));
        let unshare = "exec unshare --mount --propagation private --pid --fork --kill-child --net --uts --ipc --cgroup \
                       sh -c \"$SCRIPT\"";
        let mut holder = Command::new("sh")
            .args(["-c", &(enter.unwrap_or_default() + unshare)])
            .env("SCRIPT", format!("{MOUNT}{script}"))
            .env("T", folder.path())
            .env("ADDRESS", ADDRESS)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("sh: {error}"))?;
        let mut stdout = BufReader::new(holder.stdout.take().expect("it is piped"));
        let mut line = String::new();
        let _ended = stdout.read_line(&mut line);
        if line != "ready\n" {
            let mut why = String::new();
            let _ended = holder.stderr.take().expect("it is piped").read_to_string(&mut why);
            let _ended = holder.wait();
            return Err(format!("no overlay of this system in namespaces: {}", why.trim()));
        }
        let children = format!("/proc/{0}/task/{0}/children", holder.id());
        let first = fs::read_to_string(children).map_err(|error| error.to_string())?;
        let first = first.trim().parse().map_err(|_| format!("no first process: {first:?}"))?;
        Ok(Self { holder, first, _folder: folder, cgroup, _stdout: stdout })
    }

    /// Runs a line of shell as root of the guest.
    pub(crate) fn sh(&self, script: &str) -> Said {
        self.fed(script, &mut std::io::empty())
    }

    /// The same, and it has to succeed.
    ///
    /// # Panics
    /// With what it said.
    pub(crate) fn must(&self, script: &str) -> String {
        let said = self.sh(script);
        assert!(said.ok, "{script}\n{}", said.text);
        said.text
    }

    /// Copies a file of this system into the guest.
    pub(crate) fn put(&self, from: &Path, to: &str) {
        let mut file = fs::File::open(from).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        let said = self.fed(&format!("cat >'{to}'"), &mut file);
        assert!(said.ok, "{}", said.text);
    }

    fn fed(&self, script: &str, input: &mut dyn Read) -> Said {
        let mut child = self
            .command(&["sh", "-c", &format!("exec 2>&1; {script}")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("nsenter runs");
        let mut stdin = child.stdin.take().expect("it is piped");
        let _gone = std::io::copy(input, &mut stdin).and_then(|_| stdin.flush());
        drop(stdin);
        let Output { status, stdout, .. } = child.wait_with_output().expect("it ends");
        Said { ok: status.success(), text: String::from_utf8_lossy(&stdout).into_owned() }
    }

    /// A command inside the guest.
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        let target = format!("--target={}", self.first);
        command.args([&target, "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup"]);
        command.args(words);
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C.UTF-8");
        command.env("DEBIAN_FRONTEND", "noninteractive").env("HOME", "/root");
        command
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        drop(self.holder.stdin.take());
        let _ended_already = self.holder.kill();
        let _ended = self.holder.wait();
        drop(self.cgroup.take());
    }
}

/// A control group of this system for everything in a guest.
#[derive(Debug)]
struct Cgroup(String);

impl Cgroup {
    fn new() -> Result<Self, String> {
        let mounts = fs::read_to_string("/proc/mounts").map_err(|error| error.to_string())?;
        let unified = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let unified = unified
            .filter(|fields| fields.get(2) == Some(&"cgroup2"))
            .find_map(|fields| fields.get(1).copied());
        let at = unified.ok_or("no cgroup2 file system is mounted")?;
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = format!("{at}/turnstone-test-{}-{count}", std::process::id());
        fs::create_dir(&path).map_err(|error| format!("{path}: {error}"))?;
        Ok(Self(path))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        remove_groups(Path::new(&self.0));
    }
}

/// The deepest first; their processes are dead or about to be.
fn remove_groups(path: &Path) {
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while fs::remove_dir(path).is_err() && path.exists() && std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
}
