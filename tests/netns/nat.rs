//! Clients behind real NAT: nftables masquerade with random ports and a firewall, as in a home router.

use crate::client::{Client, Payload, USERS};
use crate::daemon::Daemon;
use crate::poll::{self, PATIENCE};
use crate::skip::skip;
use crate::space::{Space, at, missing};
use crate::stun::{self, attribute};
use std::net::{SocketAddr, UdpSocket};

const SERVER: &str = "44.1.0.1:3478";
const QUOTA_REACHED: u16 = 486;

#[test]
fn two_clients_behind_nat_talk_through_the_relay_and_not_without_it() {
    if let Some(why) = missing() {
        return skip("nat::two_clients_behind_nat_talk_through_the_relay_and_not_without_it", why);
    }
    let town = Town::new();
    let _daemon = Daemon::start(&town.server, &["44.1.0.1"], "");
    let (mut alice, alice_relayed, alice_mapped) = town.homes[0].call(0);
    let (mut bob, bob_relayed, bob_mapped) = town.homes[1].call(1);
    assert_eq!(
        (alice_mapped.ip().to_string(), bob_mapped.ip().to_string()),
        ("44.1.0.2".into(), "44.2.0.2".into())
    );

    // Both punch at once, as ICE does, several times.
    for _ in 0..5 {
        alice.socket().send_to(b"direct", bob_mapped).expect("there is a route");
        bob.socket().send_to(b"direct", alice_mapped).expect("there is a route");
    }
    for home in &town.homes {
        poll::until(PATIENCE, || home.router.counted("refused") >= 5);
        assert_eq!(home.router.counted("refused"), 5, "the NAT has seen all, and let none in");
    }

    assert_eq!(alice.bind(0x4000, bob_relayed), 0);
    assert_eq!(bob.bind(0x4001, alice_relayed), 0);
    for round in 0..20u8 {
        alice.send_channel(0x4000, &[round, 1]);
        assert_eq!(bob.receive(PATIENCE), Some(Payload::Channel(0x4001, vec![round, 1])));
        bob.send_channel(0x4001, &[round, 2]);
        assert_eq!(alice.receive(PATIENCE), Some(Payload::Channel(0x4000, vec![round, 2])));
    }
}

#[test] // security Q4: firezone 12319
fn a_roaming_client_never_locks_itself_out_of_its_quota() {
    if let Some(why) = missing() {
        return skip("nat::a_roaming_client_never_locks_itself_out_of_its_quota", why);
    }
    let town = Town::new();
    let daemon = Daemon::start(&town.server, &["44.1.0.1"], "[limits]\nallocations_per_user = 2");
    let (mut alice, alice_relayed, mut mapped) = town.homes[0].call(0);
    let (mut bob, bob_relayed, _) = town.homes[1].call(1);
    assert_eq!(bob.permit(&[alice_relayed]), 0);
    let mut refused = 0;
    for roam in 0..4u8 {
        mapped = town.homes[0].rebind(&mut alice, mapped);
        let mut relayed = None;
        let allocated = poll::until(PATIENCE, || {
            let answer = alice.try_allocate(&[]);
            refused += u32::from(answer.code() == QUOTA_REACHED);
            assert!([0, QUOTA_REACHED].contains(&answer.code()), "roam {roam}: {}", answer.code());
            relayed = answer.addresses(attribute::XOR_RELAYED_ADDRESS).first().copied();
            relayed.is_some()
        });
        assert!(allocated, "locked out after roam {roam}");
        let relayed = relayed.expect("just looked at");
        // The call goes on at once: bob's permission is for the address of the relay.
        assert_eq!(alice.permit(&[bob_relayed]), 0);
        alice.send(bob_relayed, &[roam]);
        assert_eq!(bob.receive(PATIENCE), Some(Payload::Data(relayed, vec![roam])));
        bob.send(relayed, &[roam]);
        assert_eq!(alice.receive(PATIENCE), Some(Payload::Data(bob_relayed, vec![roam])));
        assert!(daemon.metric("turnstone_allocations", "ipv4") <= 3, "two of alice, one of bob");
    }
    assert!(refused > 0, "the quota was never in the way, so nothing had to give way");
}

/// A server that is also the router between two homes.
struct Town {
    server: Space,
    homes: [Home; 2],
}

/// A private network behind a NAT.
struct Home {
    router: Space,
    inside: Space,
    number: u8,
}

impl Town {
    fn new() -> Self {
        let server = Space::new();
        let homes = [1, 2].map(|number| Home::new(&server, number));
        Self { server, homes }
    }
}

impl Home {
    fn new(server: &Space, number: u8) -> Self {
        let (router, inside) = (Space::new(), Space::new());
        let wan = format!("wan{number}");
        router.join(server, &wan);
        router.join(&inside, "lan");
        server.addresses(&wan, &[&format!("44.{number}.0.1/24")]);
        router.addresses("lan", &[&format!("192.168.{number}.1/24")]);
        inside.addresses("lan", &[&format!("192.168.{number}.2/24")]);
        inside.ip(&format!("route add default via 192.168.{number}.1"));
        router.nft(&format!(
            "add table inet watch {{
                counter refused {{}}
                chain out {{
                    type nat hook postrouting priority 100;
                    oifname {wan} masquerade random
                }}
                chain here {{
                    type filter hook input priority 0;
                    iifname {wan} meta l4proto udp counter name refused drop
                }}
                chain through {{
                    type filter hook forward priority 0;
                    ct state established,related accept
                    iifname {wan} meta l4proto udp counter name refused drop
                }}
            }}"
        ));
        let home = Self { router, inside, number };
        home.connect();
        home
    }

    fn connect(&self) {
        let number = self.number;
        self.router.addresses(&format!("wan{number}"), &[&format!("44.{number}.0.2/24")]);
        self.router.ip(&format!("route add default via 44.{number}.0.1"));
    }

    /// A client of the user at `user` with an allocation: its relayed and mapped addresses.
    fn call(&self, user: usize) -> (Client, SocketAddr, SocketAddr) {
        let socket: UdpSocket = self.inside.udp(at(&format!("192.168.{}.2:0", self.number)));
        let mut client = Client::new(socket, at(SERVER), USERS[user]);
        let answer = client.try_allocate(&[]);
        assert_eq!(answer.code(), 0);
        let relayed = answer.addresses(attribute::XOR_RELAYED_ADDRESS)[0];
        let mapped = answer.addresses(attribute::XOR_MAPPED_ADDRESS)[0];
        (client, relayed, mapped)
    }

    /// Loses the public address and gets it again, which makes the kernel forget its mappings; returns
    /// the new mapped address of `client`.
    fn rebind(&self, client: &mut Client, before: SocketAddr) -> SocketAddr {
        let wan = format!("wan{}", self.number);
        self.router.ip(&format!("link set {wan} down"));
        self.router.ip(&format!("address flush dev {wan}"));
        self.router.ip(&format!("link set {wan} up"));
        self.connect();
        let mut mapped = before;
        let is_new = poll::until(PATIENCE, || {
            let answer = client.request(stun::BINDING, |_| Vec::new());
            mapped = answer.addresses(attribute::XOR_MAPPED_ADDRESS)[0];
            mapped != before
        });
        assert!(is_new, "the NAT keeps its mapping");
        mapped
    }
}
