//! Wildcard listeners, IPv6, and a public address in front of the host.

use crate::caller::{Caller, Incoming, assert_relays, peer, peer_on};
use crate::daemon::{Config, Daemon, free_port, has_ipv6};
use crate::skip::skip;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use turnstone::wire::stun::AttributeType;

const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

const NO_IPV6: &str = "no IPv6 on this machine";

/// REQUESTED-ADDRESS-FAMILY for IPv6 (RFC 8656 section 18.8).
const FAMILY_V6: &[u8] = &[2, 0, 0, 0];

#[test]
fn a_wildcard_listener_answers_from_the_address_that_was_asked() {
    if !has_ipv6() {
        return skip("addresses::a_wildcard_listener_answers_from_the_address_that_was_asked", NO_IPV6);
    }
    let port = free_port();
    let any = |text: &str| format!("{text}:{port}").parse::<SocketAddr>().unwrap();
    let daemon = Daemon::start(&Config::default().listen(&[any("0.0.0.0"), any("[::]")]));
    for address in ["127.0.0.1", "127.0.0.2", "127.9.9.9", "[::1]"] {
        // The caller takes nothing from any other address than the one that it asked.
        let (mut caller, peer) = (Caller::new(any(address)), peer());
        let answer = caller.binding();
        assert_eq!(answer.mapped, Some(caller.address()));
        let relayed = caller.allocate();
        assert_eq!(caller.permit(peer.local_addr().unwrap()).code, 0);
        assert_relays(&mut caller, relayed, &peer);
        assert_eq!(caller.bind(0x4001, peer.local_addr().unwrap()).code, 0);
        peer.send_to(b"over the channel", relayed).unwrap();
        assert_eq!(caller.receive(), Incoming::Channel(0x4001, b"over the channel".to_vec()));
    }
    daemon.await_allocations(4);
}

#[test]
fn an_ipv6_listener_relays_to_ipv6_and_ipv4_peers() {
    if !has_ipv6() {
        return skip("addresses::an_ipv6_listener_relays_to_ipv6_and_ipv4_peers", NO_IPV6);
    }
    let config = Config::default()
        .listen(&[SocketAddr::new(V6, free_port())])
        .relay_addresses("\"127.0.0.1\", \"::1\"");
    let daemon = Daemon::start(&config);
    let mut caller = Caller::new(daemon.server);
    let answer = caller.try_allocate(&[(AttributeType::REQUESTED_ADDRESS_FAMILY, FAMILY_V6)]);
    assert_eq!(answer.code, 0, "{answer:?}");
    assert_eq!(answer.relayed[0].ip(), V6);
    let peer_v6 = peer_on(V6);
    assert_eq!(caller.permit(peer_v6.local_addr().unwrap()).code, 0);
    assert_relays(&mut caller, answer.relayed[0], &peer_v6);
    assert_eq!(caller.permit(peer().local_addr().unwrap()).code, 443, "no IPv4 relay was asked for");

    // RFC 8656 section 7.2: without a family it is IPv4, also for a client that came over IPv6.
    let (mut caller, peer_v4) = (Caller::new(daemon.server), peer());
    let relayed = caller.allocate();
    assert!(relayed.is_ipv4());
    assert_eq!(caller.permit(peer_v4.local_addr().unwrap()).code, 0);
    assert_relays(&mut caller, relayed, &peer_v4);
}

#[test]
fn a_dual_allocation_relays_to_both_families() {
    if !has_ipv6() {
        return skip("addresses::a_dual_allocation_relays_to_both_families", NO_IPV6);
    }
    let daemon = Daemon::start(&Config::default().relay_addresses("\"127.0.0.1\", \"::1\""));
    let mut caller = Caller::new(daemon.server);
    let answer = caller.try_allocate(&[(AttributeType::ADDITIONAL_ADDRESS_FAMILY, FAMILY_V6)]);
    assert_eq!(answer.relayed.len(), 2, "{answer:?}");
    for relayed in answer.relayed {
        let peer = peer_on(relayed.ip());
        assert_eq!(caller.permit(peer.local_addr().unwrap()).code, 0);
        assert_relays(&mut caller, relayed, &peer);
    }
}

#[test]
fn clients_reach_each_other_by_the_public_address_of_a_one_to_one_nat() {
    let config =
        Config::default().server("public_address = { external = \"198.18.0.9\", internal = \"127.0.0.1\" }");
    let daemon = Daemon::start(&config);
    let mut alice = Caller::new(daemon.server);
    let mut bob = Caller::of(daemon.server, "bob", "bob-password");
    let (of_alice, of_bob) = (alice.allocate(), bob.allocate());
    let public: IpAddr = "198.18.0.9".parse().unwrap();
    assert_eq!((of_alice.ip(), of_bob.ip()), (public, public));
    assert_eq!(alice.permit(of_bob).code, 0);
    assert_eq!(bob.permit(of_alice).code, 0);
    alice.send(of_bob, b"hello bob");
    assert_eq!(bob.receive(), Incoming::Data(of_alice, b"hello bob".to_vec()));
    assert_eq!(bob.bind(0x4000, of_alice).code, 0);
    bob.send_on(0x4000, b"hello alice");
    assert_eq!(alice.receive(), Incoming::Data(of_bob, b"hello alice".to_vec()));
}
