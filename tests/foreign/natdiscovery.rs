//! coturn's `turnutils_natdiscovery` (RFC 5780) against the daemon on loopback, where no NAT is. The
//! tests in namespaces show it behind several.

use crate::daemon::{Config, Daemon, free_port, run_to_end};
use crate::skip::skip;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;

const TOOL: &str = "turnutils_natdiscovery";
const SECOND: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// The tool waits three seconds for each answer that does not come.
const RUN_MAX: Duration = Duration::from_secs(60);

#[test]
fn on_loopback_natdiscovery_finds_no_nat_no_filter_and_no_gateway_that_rewrites() {
    let Some(bench) = Bench::new("natdiscovery::on_loopback_natdiscovery_finds_no_nat") else { return };
    let text = bench.run(&["-m", "-f"]);
    for verdict in [
        "No NAT! (Endpoint Independent Mapping)",
        "NAT with Endpoint Independent Mapping!",
        "NAT with Endpoint Independent Filtering!",
        "No ALG: Mapped == XOR-Mapped",
    ] {
        assert!(text.contains(verdict), "{verdict} is not in\n{text}");
    }
    // Asked for both changes, the answer came from the second address and the second port.
    let (filtering, second) = (text.find("Filtering Behavior").expect("asked for"), bench.second);
    let changed = format!("Response origin: : {second}");
    assert!(text[filtering..].contains(&changed), "{changed} is not in\n{text}");
    bench.expect_no_error();
}

#[test] // RFC 5780 section 7.6: 1,500 bytes of padding, so that both ways are in fragments
fn on_loopback_natdiscovery_gets_its_padded_requests_answered() {
    let Some(bench) = Bench::new("natdiscovery::on_loopback_natdiscovery_gets_its_padded") else { return };
    let text = bench.run(&["-f", "-P"]);
    assert!(text.contains("NAT with Endpoint Independent Filtering!"), "{text}");
    bench.expect_no_error();
}

#[test] // RFC 5780 sections 4.6 and 7.5
fn on_loopback_natdiscovery_hears_at_its_first_port_what_it_asked_for_from_its_second() {
    let Some(bench) = Bench::new("natdiscovery::on_loopback_natdiscovery_hears_at_its_first") else { return };
    let text = bench.run(&["-t", "-T", "1"]);
    assert!(text.contains("RFC 5780 response 2") && !text.contains("timeout"), "{text}");
    bench.expect_no_error();
}

#[test]
fn a_door_without_alternate_tells_natdiscovery_nothing() {
    let Some(bench) = Bench::with("natdiscovery::a_door_without_alternate_tells_nothing", None) else {
        return;
    };
    let text = bench.run(&["-m", "-f"]);
    assert!(text.contains("UDP reflexive addr") && !text.contains("RFC 5780 response"), "{text}");
}

struct Bench {
    daemon: Daemon,
    second: SocketAddr,
}

impl Bench {
    fn new(test: &str) -> Option<Self> {
        Self::with(test, Some(SocketAddr::new(SECOND.into(), free_port())))
    }

    fn with(test: &str, alternate: Option<SocketAddr>) -> Option<Self> {
        if Command::new(TOOL).stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            skip(test, &format!("no `{TOOL}` here (Debian package coturn)"));
            return None;
        }
        let daemon = Daemon::start(&Config { alternate, ..Config::default() });
        let second = alternate.unwrap_or(daemon.server);
        Some(Self { daemon, second })
    }

    fn run(&self, options: &[&str]) -> String {
        let port = self.daemon.server.port().to_string();
        let mut command = Command::new(TOOL);
        command.args(options).args(["-L", "127.0.0.1", "-p", &port, "127.0.0.1"]);
        run_to_end(&mut command, RUN_MAX).stdout
    }

    fn expect_no_error(&self) {
        let answered = "turnstone_stun_responses_total{method=\"binding\",code=\"success\"}";
        self.daemon.await_metric(answered, |count| count >= 2.0);
        assert_eq!(self.daemon.metrics().sum("turnstone_dropped_packets_total{"), 0.0);
    }
}
