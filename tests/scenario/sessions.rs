//! What is told of live allocations, and of each way in which one ends.

use crate::revocations::{client_of, minted, order};
use crate::tcp_relay::{tcp_client, with_tcp};
use crate::world::*;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use turnstone::auth::{MintRequest, Revocations, Target};
use turnstone::base::Transport;
use turnstone::turn::{EndReason, PeerProtocol, Server, Session, Settings, Traffic};

/// The only allocation that has ended: why, and as what.
#[track_caller]
fn only_end(world: &World) -> (EndReason, Session) {
    let ended = world.ended();
    assert_eq!(ended.len(), 1);
    (ended[0].reason, ended[0].session.clone())
}

fn live(server: &Server) -> Vec<Session> {
    let (mut sessions, mut from) = (Vec::new(), Some(0));
    while let Some(at) = from {
        let page = server.sessions(at);
        sessions.extend(page.sessions);
        from = page.next;
    }
    sessions
}

#[test]
fn a_session_says_whose_it_is_by_which_way_it_came_and_what_it_relayed() {
    let mut world = World::seeded(1);
    let request = MintRequest {
        label: Some("floor 3"),
        call_id: Some("k9"),
        id: Some("crd_1"),
        ..MintRequest::new(EPOCH, Duration::from_secs(3600), "dora")
    };
    let mut dora = client_of(1, &request);
    dora.allocate(&mut world);
    let made_at = world.now.at;
    dora.bind(&mut world, 0x4000, peer(1));
    dora.permit(&mut world, &[peer(2)]);
    world.pass(Duration::from_secs(2));
    dora.channel_data(&mut world, 0x4000, b"12345");
    dora.send(&mut world, peer(2), b"123");
    world.from_peer(dora.relayed.unwrap(), peer(1), b"1234567");
    dora.send(&mut world, peer(3), b"denied: nothing is counted");

    let sessions = live(&world.server);
    let [session] = &sessions[..] else { panic!("{sessions:?}") };
    let traffic =
        Traffic { bytes_from_client: 8, bytes_from_peer: 7, packets_from_client: 2, packets_from_peer: 1 };
    let expected = Session {
        allocation: session.allocation,
        subject: "dora".into(),
        label: Some("floor 3".into()),
        call_id: Some("k9".into()),
        credential_id: Some("crd_1".into()),
        client: dora.address.remote,
        door: SERVER_V4,
        transport: Transport::Udp,
        protocol: PeerProtocol::Udp,
        relayed: vec![dora.relayed.unwrap()],
        peers: vec![],
        created_at: made_at,
        expires_at: made_at.after(Settings::LIFETIME_DEFAULT),
        credential_expires: Some(EPOCH.after(Duration::from_secs(3600))),
        traffic,
        rate: Traffic::default(),
    };
    assert_eq!(*session, expected);
    let with_peers = Session { peers: vec![peer(1).ip(), peer(2).ip()], ..expected.clone() };
    assert_eq!(world.server.session(world.now, session.allocation), Some(with_peers));

    world.server.take_accounts(world.now, 0);
    let each_second =
        Traffic { bytes_from_client: 4, bytes_from_peer: 3, packets_from_client: 1, packets_from_peer: 0 };
    let rated = Session { rate: each_second, ..expected };
    assert_eq!(live(&world.server), std::slice::from_ref(&rated), "over the two seconds that it lived");
    dora.refresh(&mut world, 0);
    let (reason, last) = only_end(&world);
    assert_eq!((reason, last), (EndReason::Released, Session { expires_at: made_at, ..rated }));
    assert_eq!(world.ended()[0].age(), Duration::from_secs(2));
}

#[test]
fn pages_tell_each_session_once_and_look_at_few_places_each() {
    let mut world = World::seeded(1);
    let clients = 700u16;
    for n in 0..clients {
        let request = MintRequest::new(EPOCH, Duration::from_secs(3600), "x");
        let subject = format!("user-{n}");
        client_of(n, &MintRequest { subject: &subject, ..request }).allocate(&mut world);
    }
    let (mut from, mut pages) = (Some(0), 0);
    let mut seen = BTreeSet::new();
    while let Some(at) = from {
        let page = world.server.sessions(at);
        assert!(page.sessions.len() <= Server::PAGE_SLOTS as usize);
        for session in page.sessions {
            assert!(seen.insert(session.subject.to_string()));
        }
        (from, pages) = (page.next, pages + 1);
    }
    assert_eq!(seen.len(), usize::from(clients));
    assert!((3..=4).contains(&pages), "{pages}");
    assert_eq!(world.server.sessions(u32::MAX).next, None);
}

#[test]
fn each_way_to_end_has_its_reason() {
    type Story = fn(&mut World, &mut Client);
    let stories: [(EndReason, Story); 5] = [
        (EndReason::Released, |world, client| assert_eq!(client.refresh(world, 0).code, 0)),
        (EndReason::Expired, |world, _| world.pass(Settings::LIFETIME_DEFAULT + Duration::from_secs(1))),
        (EndReason::Disconnected, |world, client| world.close(client)),
        (EndReason::Killed, |world, _| {
            let session = live(&world.server).remove(0);
            assert!(world.server.end(world.now, session.allocation, EndReason::Killed));
            assert!(!world.server.end(world.now, session.allocation, EndReason::Killed), "it is gone");
            world.settle();
        }),
        (EndReason::Revoked, |world, _| {
            let orders = [order(world, Target::Subject("alice".into()))];
            world.server.set_revocations(Arc::new(Revocations::new(&orders)));
            while world.server.revoke_some(world.now).is_none() {}
            world.settle();
        }),
    ];
    for (expected, story) in stories {
        let mut world = World::seeded(1);
        let mut alice = Client::new(1, "alice");
        alice.address.transport = Transport::Tcp;
        alice.allocate(&mut world);
        story(&mut world, &mut alice);
        let (reason, session) = only_end(&world);
        assert_eq!((reason, session.relayed), (expected, vec![alice.relayed.unwrap()]));
        assert_eq!((live(&world.server), world.open_ports().len()), (vec![], 0), "{expected:?}");
        world.assert_ports_add_up();
    }
}

#[test]
fn who_gives_way_to_a_fresh_allocation_is_evicted() {
    let mut world = World::with(1, Options { allocations_per_user: 1, ..Options::default() });
    Client::new(1, "alice").allocate(&mut world);
    world.pass(Settings::IDLE_AFTER);
    Client::new(2, "alice").allocate(&mut world);
    assert_eq!(only_end(&world).0, EndReason::Evicted);
}

#[test]
fn with_strict_expiry_the_end_of_a_credential_is_told_apart_from_a_client_that_went_silent() {
    let settings = Settings { strict_expiry: true, ..Settings::default() };
    for (ttl_s, expected) in [(60, EndReason::CredentialExpired), (3600, EndReason::Expired)] {
        let mut world = World::with(1, Options { settings: settings.clone(), ..Options::default() });
        client_of(1, &minted("dora", ttl_s)).allocate(&mut world);
        world.pass(Settings::LIFETIME_DEFAULT + Duration::from_secs(1));
        assert_eq!(only_end(&world).0, expected);
    }
}

#[test]
fn half_of_a_dual_allocation_is_no_end() {
    let mut world = World::seeded(1);
    let mut alice = Client::new(1, "alice");
    let both = [(turnstone::wire::stun::AttributeType::ADDITIONAL_ADDRESS_FAMILY, &[2, 0, 0, 0][..])];
    alice.allocate_with(&mut world, &both);
    let only_v4 = [
        (turnstone::wire::stun::AttributeType::LIFETIME, &[0; 4][..]),
        (turnstone::wire::stun::AttributeType::REQUESTED_ADDRESS_FAMILY, &[1, 0, 0, 0][..]),
    ];
    assert_eq!(alice.ask(&mut world, turnstone::wire::stun::Method::REFRESH, &only_v4).code, 0);
    assert_eq!(world.ended().len(), 0);
    assert_eq!(live(&world.server)[0].relayed, [alice.relayed_v6.unwrap()]);
    alice.refresh(&mut world, 0);
    assert_eq!(only_end(&world).1.relayed, [alice.relayed.unwrap(), alice.relayed_v6.unwrap()]);
}

#[test]
fn an_allocation_that_relays_tcp_says_so() {
    let mut world = World::with(1, with_tcp());
    let mut alice = tcp_client(1, "alice");
    alice.try_allocate_tcp(&mut world, &[]);
    let session = live(&world.server).remove(0);
    assert_eq!((session.protocol, session.transport), (PeerProtocol::Tcp, Transport::Tcp));
}
