//! NAT behaviour discovery (RFC 5780) by coturn's `turnutils_natdiscovery` through NATs of several
//! kinds, made of nftables: what it says of each is what was built.

use crate::daemon::Daemon;
use crate::skip::skip;
use crate::space::{Space, missing};
use std::process::{Command, Stdio};

const TOOL: &str = "turnutils_natdiscovery";

/// Beside the wildcard listeners of the same port that every daemon here has.
const LISTENER: &str = "[[listen]]\naddress = \"44.1.0.1:3478\"\ntransports = [\"udp\"]\n\
                        alternate = \"44.1.0.9:3479\"";

const INDEPENDENT: &str = "Endpoint Independent";
const ADDRESS: &str = "Address Dependent";
const PORT: &str = "Address and Port Dependent";

/// Linux keeps the source port towards every destination, as long as nobody else has it there.
const KEEP_PORTS: &str = "oifname wan masquerade";

/// Whatever comes to the outer address goes in.
const LET_IN: &str = "iifname wan meta l4proto udp dnat ip to 192.168.1.2";

/// Nothing new comes in but from addresses that were written to.
const KNOWN_ONLY: &str = "oifname wan meta l4proto udp update @known { ip daddr }
                          iifname wan ct state new ip saddr != @known drop";

#[test] // RFC 5780 sections 4.3 and 4.4
fn natdiscovery_finds_that_there_is_no_nat() {
    through("discovery::natdiscovery_finds_that_there_is_no_nat", &Nat::default(), |town| {
        let text = town.run(&["-m", "-f"]);
        assert_eq!(text.matches("No NAT! (Endpoint Independent Mapping)").count(), 2, "{text}");
        town.assert_found(INDEPENDENT, INDEPENDENT);
    });
}

#[test]
fn natdiscovery_recognizes_a_symmetric_nat() {
    let nat = Nat { out: "oifname wan masquerade random", ..Nat::default() };
    through("discovery::natdiscovery_recognizes_a_symmetric_nat", &nat, |town| {
        town.assert_found(PORT, PORT);
    });
}

#[test]
fn natdiscovery_recognizes_a_nat_that_keeps_ports_and_lets_nobody_else_in() {
    let nat = Nat { out: KEEP_PORTS, ..Nat::default() };
    let name = "discovery::natdiscovery_recognizes_a_nat_that_keeps_ports_and_lets_nobody_else_in";
    through(name, &nat, |town| town.assert_found(INDEPENDENT, PORT));
}

#[test]
fn natdiscovery_recognizes_a_nat_that_lets_everybody_in() {
    let nat = Nat { out: KEEP_PORTS, into: LET_IN, ..Nat::default() };
    through("discovery::natdiscovery_recognizes_a_nat_that_lets_everybody_in", &nat, |town| {
        town.assert_found(INDEPENDENT, INDEPENDENT);
    });
}

#[test]
fn natdiscovery_recognizes_a_nat_that_lets_known_addresses_in() {
    let nat = Nat { out: KEEP_PORTS, into: LET_IN, through: KNOWN_ONLY };
    through("discovery::natdiscovery_recognizes_a_nat_that_lets_known_addresses_in", &nat, |town| {
        town.assert_found(INDEPENDENT, ADDRESS);
    });
}

#[test] // RFC 5780 section 4.6
fn natdiscovery_finds_out_whether_a_mapping_still_lives() {
    let nat = Nat { out: KEEP_PORTS, ..Nat::default() };
    through("discovery::natdiscovery_finds_out_whether_a_mapping_still_lives", &nat, |town| {
        let text = town.run(&["-t", "-T", "1"]);
        assert!(text.contains("RFC 5780 response 2"), "a mapping lives for half a minute:\n{text}");
        town.router.enter(|| {
            for kind in ["udp_timeout", "udp_timeout_stream"] {
                let path = format!("/proc/sys/net/netfilter/nf_conntrack_{kind}");
                std::fs::write(path, "1").expect("root sets its own namespace");
            }
        });
        let text = town.run(&["-t", "-T", "5"]);
        assert!(text.contains("RFC 5780 response 1"), "{text}");
        assert!(!text.contains("RFC 5780 response 2"), "the mapping lived for a second:\n{text}");
    });
}

/// What the router does: to new flows on their way out, to those on their way in, and to all that it
/// passes on.
#[derive(Default)]
struct Nat {
    out: &'static str,
    into: &'static str,
    through: &'static str,
}

/// A server with two addresses, a router, and a client behind it.
struct Town {
    server: Space,
    router: Space,
    inside: Space,
}

/// Runs `check` against a daemon behind `nat`.
fn through(test: &str, nat: &Nat, check: impl FnOnce(&Town)) {
    if let Some(why) = missing() {
        return skip(test, why);
    }
    if Command::new(TOOL).stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        return skip(test, &format!("no `{TOOL}` here (Debian package coturn)"));
    }
    let town = Town::new(nat);
    let _daemon = Daemon::start(&town.server, &["44.1.0.1"], LISTENER);
    check(&town);
}

impl Town {
    fn new(nat: &Nat) -> Self {
        let (server, router, inside) = (Space::new(), Space::new(), Space::new());
        router.join(&server, "wan");
        router.join(&inside, "lan");
        server.addresses("wan", &["44.1.0.1/24", "44.1.0.9/24"]);
        router.addresses("wan", &["44.1.0.2/24"]);
        router.addresses("lan", &["192.168.1.1/24"]);
        inside.addresses("lan", &["192.168.1.2/24"]);
        inside.ip("route add default via 192.168.1.1");
        // Without NAT the server finds the way back itself.
        server.ip("route add 192.168.1.0/24 via 44.1.0.2");
        let Nat { out, into, through } = nat;
        router.nft(&format!(
            "add table inet town {{
                set known {{ type ipv4_addr; flags dynamic, timeout; timeout 5m; }}
                chain out {{ type nat hook postrouting priority 100; {out}; }}
                chain into {{ type nat hook prerouting priority -100; {into}; }}
                chain through {{ type filter hook forward priority 0; {through}; }}
            }}"
        ));
        Self { server, router, inside }
    }

    /// Filtering is asked for first: what has been written to since may be let in.
    #[track_caller]
    fn assert_found(&self, mapping: &str, filtering: &str) {
        for (option, verdict) in
            [("-f", format!("{filtering} Filtering!")), ("-m", format!("{mapping} Mapping!"))]
        {
            let text = self.run(&[option]);
            assert!(text.contains(&format!("NAT with {verdict}")), "{verdict} is not in\n{text}");
            assert!(text.contains("No ALG: Mapped == XOR-Mapped"), "{text}");
        }
    }

    /// What the tool prints.
    fn run(&self, options: &[&str]) -> String {
        let mut command = Command::new(TOOL);
        command.args(options).args(["-L", "192.168.1.2", "44.1.0.1"]).stdin(Stdio::null());
        let output = self.inside.enter(|| command.output()).expect("it was there a moment ago");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}
