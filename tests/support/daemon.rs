//! The real binary in a folder of its own: started from a generated config, asked over HTTP, told by
//! signals, and killed by its process id when the test is over.
#![allow(dead_code, unreachable_pub)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub const BINARY: &str = env!("CARGO_BIN_EXE_turnstone");

/// The shared secret of [`Config::default`].
pub const SECRET: &str = "a-secret-of-at-least-32-characters-00001";

/// How long a daemon may take to start, an answer to come, and a condition to come true; a machine under load is slow.
/// Shorter than the 45 s after which signaling gives up a client that has gone silent, so that this is no condition's
/// cause.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// A config file: the lines of each section.
#[derive(Clone, Debug)]
pub struct Config {
    pub server: String,
    pub listen: Vec<SocketAddr>,
    /// TOML strings between brackets.
    pub transports: &'static str,
    /// Whole sections.
    pub sections: String,
    /// More lines of each `[[listen]]`.
    pub listener: String,
    /// `alternate` of the first listener.
    pub alternate: Option<SocketAddr>,
    pub relay: String,
    pub peers: String,
    pub auth: String,
    pub users: Vec<(&'static str, &'static str)>,
    pub limits: String,
    pub admin: SocketAddr,
    /// `http.public`, off unless given.
    pub public: Option<SocketAddr>,
    /// `storage.path`; a relative one starts at the folder of the config.
    pub storage: String,
}

impl Default for Config {
    /// One listener and one relay address on 127.0.0.1, two users, one secret, loopback peers allowed.
    fn default() -> Self {
        Self {
            server: String::new(),
            listen: vec![loopback(free_port())],
            transports: "\"udp\", \"tcp\"",
            sections: String::new(),
            listener: String::new(),
            alternate: None,
            relay: format!("addresses = [\"127.0.0.1\"]\nports = \"{}\"\n", relay_ports()),
            peers: "allow = [\"127.0.0.0/8\", \"::1/128\"]\n".into(),
            auth: format!("secrets = [\"{SECRET}\"]\n"),
            users: vec![("alice", "alice-password"), ("bob", "bob-password")],
            limits: String::new(),
            admin: loopback(free_port()),
            public: None,
            storage: "state".into(),
        }
    }
}

impl Config {
    /// The default with more lines in `[relay]`.
    pub fn relay(mut self, lines: &str) -> Self {
        self.relay = format!("{}{lines}\n", self.relay);
        self
    }

    /// The default with other relay addresses: TOML strings between brackets.
    pub fn relay_addresses(mut self, addresses: &str) -> Self {
        self.relay = format!("addresses = [{addresses}]\nports = \"{}\"\n", relay_ports());
        self
    }

    /// The default with more lines in `[auth]`.
    pub fn auth(mut self, lines: &str) -> Self {
        self.auth = format!("{}{lines}\n", self.auth);
        self
    }

    pub fn server(mut self, lines: &str) -> Self {
        self.server = format!("{}{lines}\n", self.server);
        self
    }

    pub fn limits(mut self, lines: &str) -> Self {
        self.limits = format!("{}{lines}\n", self.limits);
        self
    }

    /// The default with more lines in `[[listen]]`.
    pub fn listener(mut self, lines: &str) -> Self {
        self.listener = format!("{}{lines}\n", self.listener);
        self
    }

    pub fn listen(mut self, addresses: &[SocketAddr]) -> Self {
        self.listen = addresses.to_vec();
        self
    }

    pub fn text(&self) -> String {
        let listen: String = self
            .listen
            .iter()
            .map(|address| {
                let alternate = self.alternate.filter(|_| *address == self.listen[0]);
                let alternate = alternate.map(|at| format!("alternate = \"{at}\"\n")).unwrap_or_default();
                format!(
                    "[[listen]]\naddress = \"{address}\"\ntransports = [{}]\n{}{alternate}",
                    self.transports, self.listener
                )
            })
            .collect();
        let users: String =
            self.users.iter().map(|(name, password)| format!("{name} = \"{password}\"\n")).collect();
        format!(
            "[server]\n{}{listen}[relay]\n{}[relay.peers]\n{}[auth]\n{}[auth.users]\n{users}[limits]\n{}\
             [storage]\npath = {:?}\n[admin]\nsocket = \"admin.sock\"\n[http]\npublic = \"{}\"\nadmin = \"{}\"\n{}",
            self.server,
            self.relay,
            self.peers,
            self.auth,
            self.limits,
            self.storage,
            self.public.map_or_else(|| "off".into(), |public| public.to_string()),
            self.admin,
            self.sections
        )
    }
}

/// A running daemon.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    folder: Folder,
    lines: Lines,
    pub server: SocketAddr,
    pub admin: SocketAddr,
}

impl Daemon {
    /// Starts the daemon and waits until `/readyz` says 200.
    #[track_caller]
    pub fn start(config: &Config) -> Self {
        Self::start_until(config, 200)
    }

    /// Starts the daemon and waits until `/readyz` says `status`.
    #[track_caller]
    pub fn start_until(config: &Config, ready: u16) -> Self {
        Self::start_text(config, &config.text(), ready)
    }

    /// The same with another text, which keeps the doors of `config`.
    #[track_caller]
    pub fn start_text(config: &Config, text: &str, ready: u16) -> Self {
        Self::start_as(command(), config, text, ready)
    }

    /// The same by another command: [`command`] with more around it.
    #[track_caller]
    pub fn start_as(command: Command, config: &Config, text: &str, ready: u16) -> Self {
        let folder = Folder::new();
        let path = folder.write("turnstone.toml", text);
        let (child, lines) = run(command, &path);
        let server = reached(config.listen[0]);
        let mut daemon = Self { child, folder, lines, server, admin: config.admin };
        daemon.await_readyz(ready);
        daemon
    }

    /// Starts it anew, with the same config and state, after it has ended.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(!self.is_running(), "it runs");
        (self.child, self.lines) = run(command(), &self.config_path());
        self.await_readyz(200);
    }

    /// Kills it as a crash would, and starts it again with the same config and the same state.
    #[track_caller]
    pub fn crash_and_start(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
        self.start_again();
    }

    /// Stops it as an update of its package would, and starts it again with the same config and the same state.
    #[track_caller]
    pub fn stop_and_start(&mut self) {
        self.signal(libc::SIGTERM);
        assert_eq!(self.exit_code(PATIENCE), 0);
        self.start_again();
    }

    #[track_caller]
    fn await_readyz(&mut self, ready: u16) {
        let started = Instant::now();
        while self.try_get("/readyz").is_none_or(|(status, _)| status != ready) {
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the daemon ended with {status}: {:#?}", self.log());
            }
            assert!(started.elapsed() < PATIENCE, "not ready: {:#?}", self.log());
            pause();
        }
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    pub fn config_path(&self) -> PathBuf {
        self.folder.0.join("turnstone.toml")
    }

    /// Its admin socket.
    pub fn socket_path(&self) -> PathBuf {
        self.folder.0.join("admin.sock")
    }

    /// Replaces the config file; SIGHUP makes the daemon read it.
    pub fn write_config(&self, text: &str) {
        self.folder.write("turnstone.toml", text);
    }

    pub fn signal(&self, signal: i32) {
        send_signal(&self.child, signal);
    }

    /// Waits for the process to end by itself. Returns its exit code.
    #[track_caller]
    pub fn exit_code(&mut self, bound: Duration) -> i32 {
        let status = wait(&mut self.child, bound);
        status
            .unwrap_or_else(|| panic!("still there after {bound:?}: {:#?}", self.log()))
            .code()
            .unwrap_or(-1)
    }

    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// What it wrote to standard error so far, line by line.
    pub fn log(&self) -> Vec<String> {
        self.lines.so_far()
    }

    pub fn logged(&self, words: &str) -> bool {
        self.log().iter().any(|line| line.contains(words))
    }

    /// Waits for a line with these words: a log comes through a pipe, a moment after what it tells of.
    #[track_caller]
    pub fn await_logged(&self, words: &str) {
        eventually(PATIENCE, words, || self.logged(words).then_some(()));
    }

    /// Status and body of an admin page.
    #[track_caller]
    pub fn get(&self, path: &str) -> (u16, String) {
        self.try_get(path).expect("admin HTTP answers")
    }

    pub fn try_get(&self, path: &str) -> Option<(u16, String)> {
        http_get(self.admin, path)
    }

    #[track_caller]
    pub fn metrics(&self) -> Metrics {
        let (status, body) = self.get("/metrics");
        assert_eq!(status, 200);
        Metrics::read(&body)
    }

    /// Waits until a series has a value that `is_right` takes.
    #[track_caller]
    pub fn await_metric(&self, series: &str, is_right: impl Fn(f64) -> bool) -> f64 {
        eventually(PATIENCE, series, || Some(self.metrics().get(series)).filter(|value| is_right(*value)))
    }

    /// Live allocations of all kinds.
    #[track_caller]
    pub fn allocations(&self) -> f64 {
        self.metrics().sum("turnstone_allocations{")
    }

    /// Waits until exactly `count` allocations live.
    #[track_caller]
    pub fn await_allocations(&self, count: u32) {
        let what = format!("{count} allocations");
        eventually(PATIENCE, &what, || (self.allocations() == f64::from(count)).then_some(()));
    }

    /// Seconds of CPU that the process has used: user and system.
    pub fn cpu_s(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("proc");
        let after_name = stat.rsplit_once(')').expect("a name in brackets").1;
        let ticks: f64 = after_name.split_whitespace().skip(11).take(2).map(number).sum();
        // The kernel tells user space 100 ticks a second on every architecture.
        ticks / 100.0
    }
}

/// The binary, without arguments.
pub fn command() -> Command {
    let mut command = Command::new(BINARY);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// A daemon that begins to start, and its log.
fn run(mut command: Command, config: &Path) -> (Child, Lines) {
    command.args(["run", "--config"]).arg(config).env_remove("NO_COLOR").stderr(Stdio::piped());
    let mut child = command.spawn().expect("the binary starts");
    let lines = Lines::of(child.stderr.take().expect("piped"));
    (child, lines)
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ended_already = self.child.kill();
        let _reaped = self.child.wait();
        if std::thread::panicking() {
            eprintln!("log of the daemon: {:#?}", self.log());
        }
    }
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs the binary, or another command in its place, to its end.
#[track_caller]
pub fn run_to_end(command: &mut Command, bound: Duration) -> Ended {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stdout = Lines::of(child.stdout.take().expect("piped"));
    let stderr = Lines::of(child.stderr.take().expect("piped"));
    let Some(status) = wait(&mut child, bound) else {
        let _ended_already = child.kill();
        let _reaped = child.wait();
        panic!("{command:?} did not end within {bound:?}: {:#?} {:#?}", stdout.all(), stderr.all());
    };
    let text = |lines: Lines| lines.all().iter().map(|line| format!("{line}\n")).collect();
    Ended { code: status.code().unwrap_or(-1), stdout: text(stdout), stderr: text(stderr) }
}

/// A verb of the binary with a config in a folder of its own.
#[track_caller]
pub fn verb(arguments: &[&str], config: &str) -> Ended {
    let folder = Folder::new();
    let path = folder.write("turnstone.toml", config);
    run_to_end(Command::new(BINARY).args(arguments).arg("--config").arg(path), PATIENCE)
}

/// Lines of a pipe, read as they come.
#[derive(Debug)]
pub struct Lines {
    lines: Arc<Mutex<Vec<String>>>,
    reader: JoinHandle<()>,
}

impl Lines {
    pub fn of(pipe: impl Read + Send + 'static) -> Self {
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let sink = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
                sink.lock().expect("no panic holds it").push(String::from_utf8_lossy(&line).into_owned());
            }
        });
        Self { lines, reader }
    }

    pub fn so_far(&self) -> Vec<String> {
        self.lines.lock().expect("no panic holds it").clone()
    }

    /// Everything, once the other end is closed.
    pub fn all(self) -> Vec<String> {
        self.reader.join().expect("the reader does not panic");
        self.lines.lock().expect("no panic holds it").clone()
    }
}

/// A folder that goes with its owner.
#[derive(Debug)]
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("turnstone-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).expect("writes");
        path
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _gone_already = std::fs::remove_dir_all(&self.0);
    }
}

/// All series of a scrape.
#[derive(Clone, Debug)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    pub fn read(text: &str) -> Self {
        let series = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        Self(
            series
                .map(|line| line.rsplit_once(' ').expect("a value"))
                .map(|(s, v)| (s.into(), number(v)))
                .collect(),
        )
    }

    /// The value of a series with its labels, as in the text.
    #[track_caller]
    pub fn get(&self, series: &str) -> f64 {
        *self.0.get(series).unwrap_or_else(|| panic!("no series {series} among {:#?}", self.0.keys()))
    }

    pub fn sum(&self, prefix: &str) -> f64 {
        self.0.iter().filter(|(series, _)| series.starts_with(prefix)).map(|(_, value)| value).sum()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Waits for a condition, looking 50 times a second.
#[track_caller]
pub fn eventually<T>(bound: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < bound, "not within {bound:?}: {what}");
        pause();
    }
}

/// Status and body of `GET path`, in HTTP/1.0 so that the body ends with the connection.
pub fn http_get(server: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {server}\r\n\r\n").as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

pub fn send_signal(child: &Child, signal: i32) {
    let pid = i32::try_from(child.id()).expect("a pid");
    // SAFETY: no memory is involved; the process is our child and was not reaped, so its id is its own.
    let result = unsafe { libc::kill(pid, signal) };
    assert_eq!(result, 0, "signal {signal} to {pid}: {}", std::io::Error::last_os_error());
}

/// Waits for a child. `None` when it still runs after `bound`.
pub fn wait(child: &mut Child, bound: Duration) -> Option<ExitStatus> {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("our child") {
            return Some(status);
        }
        if started.elapsed() > bound {
            return None;
        }
        pause();
    }
}

pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)
}

/// Whether this machine has IPv6 at all.
pub fn has_ipv6() -> bool {
    UdpSocket::bind((std::net::Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// A port that is free for UDP and TCP on all addresses, outside the range from which the kernel takes
/// ports for sockets that name none.
pub fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 10_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = (std::process::id().wrapping_mul(7919) % u32::from(COUNT)) as u16;
    loop {
        let port = FIRST + begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        if UdpSocket::bind((any, port)).is_ok() && TcpListener::bind((any, port)).is_ok() {
            return port;
        }
    }
}

/// A range of relay ports that no other daemon of this process uses, and hardly one of another.
pub fn relay_ports() -> String {
    const SLICE: u16 = 400;
    const SLICES: u16 = 45;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = (std::process::id().wrapping_mul(7919) % u32::from(SLICES)) as u16;
    let first = 2_000 + begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % SLICES * SLICE;
    format!("{first}-{}", first + SLICE - 1)
}

/// Where a client reaches a listener.
fn reached(listen: SocketAddr) -> SocketAddr {
    match listen.ip().is_unspecified() {
        true if listen.is_ipv6() => SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), listen.port()),
        true => loopback(listen.port()),
        false => listen,
    }
}

fn number(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("no number: {text}"))
}

/// Between two looks at a condition.
#[expect(clippy::disallowed_methods, reason = "what another process does can only be looked at again")]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}
