//! coturn's test client `turnutils_uclient` against the daemon; `turnutils_peer` sends the echo.

use crate::certificate::Dtls;
use crate::daemon::{Config, Daemon, Ended, SECRET, free_port, run_to_end, wait};
use crate::skip::skip;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A run takes about ten seconds, and one that loses packets waits for them.
const RUN_MAX: Duration = Duration::from_secs(90);

/// How long a client that does not end may be rude.
const HARASS_FOR: Duration = Duration::from_secs(8);

/// The load of a normal run: 20 clients that send 200 messages of 300 bytes each.
const LOAD: [&str; 6] = ["-m", "20", "-n", "200", "-l", "300"];

#[test]
fn coturn_clients_lose_nothing_over_channels() {
    expect_no_loss("channels", &[], Credential::User);
}

#[test]
fn coturn_clients_lose_nothing_over_send_indications() {
    expect_no_loss("send indications", &["-s"], Credential::User);
}

#[test]
fn coturn_clients_lose_nothing_to_each_other_over_channels() {
    expect_no_loss("client to client", &["-y"], Credential::User);
}

#[test]
fn coturn_clients_lose_nothing_to_each_other_over_send_indications() {
    expect_no_loss("client to client by Send", &["-y", "-s"], Credential::User);
}

#[test]
fn coturn_clients_lose_nothing_over_an_ipv6_relay() {
    expect_no_loss("IPv6 relay", &["-x"], Credential::User);
}

#[test]
fn coturn_clients_lose_nothing_over_a_dual_allocation() {
    expect_no_loss("dual allocation", &["-Z"], Credential::User);
}

#[test]
fn coturn_clients_lose_nothing_over_tcp() {
    expect_no_loss("TCP", &["-t"], Credential::User);
}

#[test]
fn coturn_clients_lose_nothing_over_tcp_by_send_indications() {
    expect_no_loss("TCP by Send", &["-t", "-s"], Credential::User);
}

#[test]
fn coturn_clients_lose_nothing_to_each_other_over_tcp() {
    expect_no_loss("TCP, client to client", &["-t", "-y"], Credential::User);
}

#[test]
fn coturn_clients_lose_nothing_over_tcp_with_padded_channel_data() {
    expect_no_loss("TCP, dual allocation", &["-t", "-D", "-Z"], Credential::User);
}

/// More clients than two connect to all others, but ask again for one only when their nonce was stale.
const PAIR: [&str; 6] = ["-m", "2", "-n", "200", "-l", "300"];

#[test] // RFC 6062
fn coturn_clients_lose_nothing_over_connections_to_each_other() {
    let config = Bench::config().relay("tcp = true");
    let Some(mut bench) = Bench::new(&config, "coturn: connections to each other") else { return };
    let ended = bench.run(&[&PAIR[..], &["-T"]].concat(), Credential::User);
    assert_no_loss("connections to each other", &ended);
    bench.expect_carried(2 * 200 * 300);
    bench.expect_health("connections to each other");
}

#[test] // RFC 6062
fn coturn_clients_lose_nothing_over_connections_that_peers_make() {
    let config = Bench::config().relay("tcp = true");
    let Some(mut bench) = Bench::new(&config, "coturn: connections of peers") else { return };
    let ended = bench.run(&[&PAIR[..], &["-P"]].concat(), Credential::User);
    // One of the two is a plain peer then. What it receives the tool does not count, whatever the server, so
    // the daemon's own counters tell that everything went both ways.
    assert!(ended.stdout.contains("tot_send_msgs=400, tot_recv_msgs=200"), "{ended:#?}");
    bench.expect_carried(200 * 300);
    bench.expect_health("connections of peers");
}

#[test]
#[cfg(feature = "dtls")]
fn coturn_clients_lose_nothing_over_dtls() {
    expect_no_loss("DTLS", &["-S"], Credential::User);
}

#[test] // RFC 8656 section 5: a 5-tuple ends with its connection
#[cfg(feature = "dtls")]
fn allocations_of_coturn_clients_end_with_their_dtls_sessions() {
    let Some(bench) = Bench::new(&Bench::config(), "coturn: DTLS sessions that end") else { return };
    // Some of its connections it closes as soon as it has measured something.
    assert_no_loss("DTLS", &bench.run(&[&LOAD[..], &["-S"]].concat(), Credential::User));
    let closed = "turnstone_connections_closed_total{reason=\"client\"}";
    let ended = bench.daemon.await_metric(closed, |sessions| sessions > 0.0);
    let metrics = bench.daemon.metrics();
    let live = metrics.sum("turnstone_allocations{transport=\"dtls\"");
    assert_eq!(live, metrics.get("turnstone_connections"), "allocations and sessions");
    assert!(ended + live <= metrics.sum("turnstone_allocations_total{transport=\"dtls\""), "{ended} {live}");
}

#[test]
#[cfg(feature = "dtls")]
fn coturn_clients_lose_nothing_to_each_other_over_dtls_by_send_indications() {
    expect_no_loss("DTLS, client to client by Send", &["-S", "-y", "-s"], Credential::User);
}

#[test]
#[cfg(feature = "dtls")]
fn coturn_clients_lose_nothing_over_dtls_with_aes_gcm() {
    expect_no_loss("DTLS with AES-GCM", &["-S", "-F", "ECDHE-ECDSA-AES128-GCM-SHA256"], Credential::User);
}

#[test]
fn coturn_clients_lose_nothing_over_tls() {
    expect_no_loss("TLS", &["-t", "-S"], Credential::User);
}

#[test]
fn coturn_clients_lose_nothing_to_each_other_over_tls_by_send_indications() {
    expect_no_loss("TLS, client to client by Send", &["-t", "-S", "-y", "-s"], Credential::User);
}

#[test]
fn coturn_clients_lose_nothing_from_ipv6() {
    for (what, options) in [("UDP", &["-y"][..]), ("TCP", &["-t", "-y"]), ("TLS", &["-t", "-S", "-y"])] {
        expect_no_loss_over_ipv6(&format!("{what} from IPv6"), options);
    }
}

#[test]
fn coturn_clients_mint_their_own_credentials_from_the_shared_secret() {
    expect_no_loss("REST secret", &[], Credential::Secret);
}

#[test] // RFC 8489 section 9.2: they know nothing of what is offered
fn coturn_clients_lose_nothing_where_sha256_is_offered() {
    let config = Bench::config().auth("modern = true");
    for credential in [Credential::User, Credential::Secret] {
        expect_no_loss_with(&config, "modern", &[], credential);
    }
}

#[test]
fn rude_coturn_clients_leave_the_server_healthy() {
    let Some(mut bench) =
        Bench::new(&Bench::config(), "coturn::rude_coturn_clients_leave_the_server_healthy")
    else {
        return;
    };
    for mode in ["-N", "-R"] {
        // These wait for ever for answers to broken messages, which get none: the run is cut short.
        bench.harass(&["-m", "10", "-n", "50", "-l", "300", mode]);
        bench.expect_health(mode);
    }
    for mode in ["-G", "-B"] {
        bench.run(&["-m", "10", "-n", "50", "-l", "300", mode], Credential::User);
        bench.expect_health(mode);
    }
    let malformed = bench.daemon.metrics().get("turnstone_dropped_packets_total{reason=\"malformed\"}");
    assert!(malformed > 0.0, "the rude clients were polite");
    let ended = bench.run(&LOAD, Credential::User);
    assert_no_loss("a normal run after the rude ones", &ended);
    let log = bench.daemon.log();
    assert!(log.len() < 10, "what clients do is counted, not logged: {log:#?}");
}

fn expect_no_loss(what: &str, options: &[&str], credential: Credential) {
    expect_no_loss_with(&Bench::config(), what, options, credential);
}

fn expect_no_loss_with(config: &Config, what: &str, options: &[&str], credential: Credential) {
    let Some(bench) = Bench::new(config, &format!("coturn: {what}")) else { return };
    expect_no_loss_at(bench, what, options, credential);
}

fn expect_no_loss_over_ipv6(what: &str, options: &[&str]) {
    let Some(mut bench) = Bench::new(&Bench::config(), &format!("coturn: {what}")) else { return };
    bench.server = "::1";
    expect_no_loss_at(bench, what, options, Credential::User);
}

fn expect_no_loss_at(mut bench: Bench, what: &str, options: &[&str], credential: Credential) {
    let mut all = LOAD.to_vec();
    all.extend_from_slice(options);
    let ended = bench.run(&all, credential);
    assert_no_loss(what, &ended);
    let relayed = bench.daemon.metrics().sum("turnstone_relay_packets_total{");
    assert!(relayed >= 20.0 * 200.0, "{what}: the packets went another way, {relayed} were relayed");
    bench.expect_health(what);
}

/// The client prints its totals and its verdict at the end; its exit code is always zero.
#[track_caller]
fn assert_no_loss(what: &str, ended: &Ended) {
    let text = &ended.stdout;
    let total = |name: &str| -> u64 {
        let at = text.rfind(name).unwrap_or_else(|| panic!("{what}: no {name} in {ended:#?}"));
        let digits: String = text[at + name.len()..].chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap_or_else(|_| panic!("{what}: no number after {name}"))
    };
    let (sent, received) = (total("tot_send_msgs="), total("tot_recv_msgs="));
    assert_eq!(sent, received, "{what}: {text}");
    assert!(sent > 0, "{what}: {text}");
    assert!(text.contains("Total lost packets 0 "), "{what}: {text}");
}

#[derive(Clone, Copy)]
enum Credential {
    User,
    Secret,
}

/// A daemon and an echo peer.
struct Bench {
    daemon: Daemon,
    dtls: Dtls,
    peer: Child,
    /// Where clients reach the daemon.
    server: &'static str,
    peer_port: String,
}

impl Bench {
    fn config() -> Config {
        let port = free_port();
        let listen = ["127.0.0.1", "::1"].map(|ip| SocketAddr::new(ip.parse().expect("literal"), port));
        // With DTLS there is a certificate from files already.
        let tls = if cfg!(feature = "dtls") { "" } else { "[tls]\nmode = \"self-signed\"\n" };
        let transports = "\"udp\", \"tcp\", \"tls\"";
        Config { transports, sections: tls.into(), ..Config::default() }
            .listen(&listen)
            .relay_addresses("\"127.0.0.1\", \"::1\"")
            .relay("legacy_channels = true")
            .limits("allocations_per_user = 1000")
    }

    fn new(config: &Config, test: &str) -> Option<Self> {
        let missing = ["turnutils_uclient", "turnutils_peer"].into_iter().find(|tool| !is_installed(tool));
        if let Some(tool) = missing {
            skip(test, &format!("no `{tool}` here (Debian package coturn)"));
            return None;
        }
        let dtls = Dtls::new();
        let mut config = config.clone();
        config.sections.push_str(&dtls.sections);
        let daemon = Daemon::start(&config);
        let peer_port = free_port().to_string();
        let peer = Command::new("turnutils_peer")
            .args(["-L", "127.0.0.1", "-L", "::1", "-p", &peer_port])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the peer starts");
        Some(Self { daemon, dtls, peer, peer_port, server: "127.0.0.1" })
    }

    fn run(&self, options: &[&str], credential: Credential) -> Ended {
        run_to_end(&mut self.command(options, credential), RUN_MAX)
    }

    /// Lets a client run for a while and kills it in the middle of its work.
    fn harass(&self, options: &[&str]) {
        let mut client = self
            .command(options, Credential::User)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the client starts");
        if wait(&mut client, HARASS_FOR).is_none() {
            client.kill().expect("our child");
            client.wait().expect("our child");
        }
    }

    /// So many bytes were relayed over connections, in each direction and without a loss.
    #[track_caller]
    fn expect_carried(&self, bytes: u32) {
        for direction in ["from_client", "to_peer", "from_peer", "to_client"] {
            let series =
                format!("turnstone_relay_bytes_total{{direction=\"{direction}\",transport=\"tcp\"}}");
            self.daemon.await_metric(&series, |value| value == f64::from(bytes));
        }
    }

    /// The client never ends its allocations, so those of a run wait for their timer.
    #[track_caller]
    fn expect_health(&mut self, after: &str) {
        assert!(self.daemon.is_running(), "{after}: {:#?}", self.daemon.log());
        assert_eq!(self.daemon.get("/readyz").0, 200, "{after}");
        let metrics = self.daemon.metrics();
        let live = metrics.sum("turnstone_allocations{");
        // A reserved port that nobody came for is in use too, for its 30 seconds.
        let used = metrics.get("turnstone_relay_ports{state=\"used\"}");
        assert!(used <= 300.0, "{after}: {used} ports in use");
        assert!(live <= 300.0, "{after}: {live} allocations live");
    }

    fn command(&self, options: &[&str], credential: Credential) -> Command {
        let is_dtls = options.contains(&"-S") && !options.contains(&"-t");
        let port = if is_dtls { self.dtls.port } else { self.daemon.server.port() }.to_string();
        let peer = if options.contains(&"-x") { "::1" } else { "127.0.0.1" };
        let mut command = Command::new("turnutils_uclient");
        command.args(options).args(["-p", &port, "-e", peer, "-r", &self.peer_port]);
        match credential {
            Credential::User => command.args(["-u", "alice", "-w", "alice-password"]),
            Credential::Secret => command.args(["-u", "carol", "-W", SECRET]),
        };
        command.arg(self.server);
        command
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ended_already = self.peer.kill();
        let _reaped = self.peer.wait();
    }
}

fn is_installed(tool: &str) -> bool {
    Command::new(tool).arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}
