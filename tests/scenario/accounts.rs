//! Accounts: every relayed byte is told once.

use crate::revocations::{client_of, minted};
use crate::tcp_relay::{connect, tcp_client, with_tcp};
use crate::world::*;
use proptest::prelude::*;
use std::collections::HashMap;
use std::time::Duration;
use turnstone::auth::MintRequest;
use turnstone::base::Transport;
use turnstone::metrics::{Direction, relay_bytes, relay_packets};
use turnstone::turn::{Account, AccountKey, EndReason, Settings, Traffic};

/// One whole taking.
fn take(world: &mut World) -> Vec<Account> {
    let (mut accounts, mut from) = (Vec::new(), Some(0));
    while let Some(at) = from {
        let page = world.server.take_accounts(world.now, at);
        accounts.extend(page.accounts);
        from = page.next;
    }
    accounts
}

fn bytes(bytes_from_client: u64, bytes_from_peer: u64) -> Traffic {
    let packets = |bytes| u64::from(bytes > 0);
    Traffic {
        bytes_from_client,
        bytes_from_peer,
        packets_from_client: packets(bytes_from_client),
        packets_from_peer: packets(bytes_from_peer),
    }
}

#[test]
fn traffic_is_told_by_subject_label_call_and_door_and_only_once() {
    let mut world = World::seeded(1);
    let request = MintRequest { label: Some("floor"), call_id: Some("k9"), ..minted("dora", 3600) };
    let (mut dora, mut alice) = (client_of(1, &request), Client::new(2, "alice"));
    for client in [&mut dora, &mut alice] {
        client.allocate(&mut world);
        client.permit(&mut world, &[peer(1)]);
    }
    assert_eq!(take(&mut world), [], "who relays nothing is not told of");
    dora.send(&mut world, peer(1), b"12345");
    world.from_peer(alice.relayed.unwrap(), peer(1), b"123");
    let key = |subject: &str| AccountKey {
        subject: subject.into(),
        label: (subject == "dora").then(|| "floor".into()),
        call_id: (subject == "dora").then(|| "k9".into()),
        door: SERVER_V4,
        transport: Transport::Udp,
    };
    let expected = [
        Account { key: key("dora"), traffic: bytes(5, 0) },
        Account { key: key("alice"), traffic: bytes(0, 3) },
    ];
    assert_eq!(take(&mut world), expected);
    assert_eq!(take(&mut world), []);
}

#[test]
fn what_ended_since_the_last_time_is_told_in_one_row() {
    let mut world = World::seeded(1);
    for n in 1..=3 {
        let mut alice = Client::new(n, "alice");
        alice.allocate(&mut world);
        alice.permit(&mut world, &[peer(1)]);
        alice.send(&mut world, peer(1), b"1");
        if n == 2 {
            assert_eq!(take(&mut world).len(), 2, "one ended, one lives");
        }
        alice.send(&mut world, peer(1), b"22");
        alice.refresh(&mut world, 0);
    }
    let accounts = take(&mut world);
    assert_eq!((accounts.len(), accounts[0].traffic.bytes_from_client), (1, 2 + 3));
    assert_eq!(take(&mut world), []);
}

#[test]
fn a_page_that_nobody_read_is_told_again() {
    let mut world = World::seeded(1);
    let mut alice = Client::new(1, "alice");
    alice.allocate(&mut world);
    alice.permit(&mut world, &[peer(1)]);
    alice.send(&mut world, peer(1), b"12345");
    let lost = world.server.take_accounts(world.now, 0);
    world.server.return_accounts(lost.accounts.clone());
    alice.send(&mut world, peer(1), b"123");
    let sum: u64 = take(&mut world).iter().map(|account| account.traffic.bytes()).sum();
    assert_eq!(sum, 8);
}

#[test] // RFC 6062
fn bytes_of_connections_belong_to_the_allocation_until_the_last_one_is_gone() {
    let mut world = World::with(1, with_tcp());
    let mut alice = tcp_client(1, "alice");
    alice.try_allocate_tcp(&mut world, &[]);
    let connection = connect(&mut world, &alice, peer(1));
    let meter = world.server.meter(connection.allocation).unwrap();
    meter.count(Direction::FromClient, 100);
    meter.count(Direction::ToPeer, 100);
    assert_eq!(take(&mut world)[0].traffic, bytes(100, 0));
    meter.count(Direction::FromPeer, 30);
    alice.refresh(&mut world, 0);
    assert_eq!(world.ended()[0].session.traffic, bytes(100, 30));
    assert_eq!(take(&mut world)[0].traffic, bytes(0, 30));
    meter.count(Direction::FromPeer, 7);
    drop(meter);
    assert_eq!(take(&mut world)[0].traffic, bytes(0, 7), "what was under way at its end");
    assert_eq!(take(&mut world), []);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Allocate(u16),
    Send(u16, u8),
    FromPeer(u16, u8),
    Release(u16),
    Kill(u16),
    EndCall,
    Page,
    Reload,
    Pass(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let who = 0..12u16;
    prop_oneof![
        4 => who.clone().prop_map(Step::Allocate),
        8 => (who.clone(), any::<u8>()).prop_map(|(who, bytes)| Step::Send(who, bytes)),
        8 => (who.clone(), any::<u8>()).prop_map(|(who, bytes)| Step::FromPeer(who, bytes)),
        2 => who.clone().prop_map(Step::Release),
        1 => who.prop_map(Step::Kill),
        1 => Just(Step::EndCall),
        4 => Just(Step::Page),
        1 => Just(Step::Reload),
        1 => (0..400u16).prop_map(Step::Pass),
    ]
}

/// Clients 0 to 3 have subjects of their own, 4 to 7 share one, 8 to 11 are in a call.
fn of_crowd(n: u16) -> Client {
    match n {
        0..4 => client_of(n, &minted(&format!("user-{n}"), 36_000)),
        4..8 => client_of(n, &MintRequest { label: Some("shared"), ..minted("crowd", 36_000) }),
        _ => client_of(n, &MintRequest { call_id: Some("k9"), ..minted("caller", 36_000) }),
    }
}

proptest! {
    #[test]
    fn whatever_happens_the_accounts_add_up_to_the_counters(
        steps in proptest::collection::vec(step(), 1..200)
    ) {
        let mut world = World::seeded(1);
        let mut clients: Vec<_> = (0..12).map(of_crowd).collect();
        let (mut told, mut next) = (HashMap::<AccountKey, Traffic>::new(), Some(0));
        let tell = |world: &mut World, told: &mut HashMap<AccountKey, Traffic>, from| {
            let page = world.server.take_accounts(world.now, from);
            for account in page.accounts {
                told.entry(account.key).or_default().add(&account.traffic);
            }
            page.next
        };
        for step in steps {
            match step {
                Step::Allocate(n) => {
                    let client = &mut clients[usize::from(n)];
                    if client.try_allocate(&mut world, &[]).code == 0 {
                        client.permit(&mut world, &[peer(1)]);
                    }
                }
                Step::Send(n, bytes) => {
                    clients[usize::from(n)].send(&mut world, peer(1), &vec![7; usize::from(bytes)]);
                }
                Step::FromPeer(n, bytes) => {
                    if let Some(relayed) = clients[usize::from(n)].relayed {
                        world.from_peer(relayed, peer(1), &vec![7; usize::from(bytes)]);
                    }
                }
                Step::Release(n) => _ = clients[usize::from(n)].refresh(&mut world, 0),
                Step::Kill(n) => {
                    let address = clients[usize::from(n)].address;
                    if let Some(id) = world.server.allocation_at(&address) {
                        world.server.end(world.now, id, EndReason::Killed);
                        world.settle();
                    }
                }
                Step::EndCall => {
                    world.server.end_call(world.now, "k9", Duration::from_secs(5), world.now.unix);
                }
                Step::Page => next = tell(&mut world, &mut told, next.unwrap_or(0)),
                Step::Reload => {
                    let rules = Options::default().rules;
                    world.reload(Settings::default(), rules);
                }
                Step::Pass(seconds) => world.pass(Duration::from_secs(seconds.into())),
            }
        }
        let mut from = Some(next.unwrap_or(0));
        // The rest of this round, and one more for what ended behind it.
        for _ in 0..2 {
            while let Some(at) = from {
                from = tell(&mut world, &mut told, at);
            }
            from = Some(0);
        }
        let mut sum = Traffic::default();
        told.values().for_each(|traffic| sum.add(traffic));
        let counters = world.server.counters();
        let udp = |way| (counters.value(relay_bytes(way, Transport::Udp)), counters.value(relay_packets(way, Transport::Udp)));
        let (from_client, from_peer) = (udp(Direction::FromClient), udp(Direction::FromPeer));
        prop_assert_eq!((sum.bytes_from_client, sum.packets_from_client), from_client);
        prop_assert_eq!((sum.bytes_from_peer, sum.packets_from_peer), from_peer);
        let mut of_sessions = Traffic::default();
        world.ended().iter().for_each(|ended| of_sessions.add(&ended.session.traffic));
        world.server.sessions(0).sessions.iter().for_each(|session| of_sessions.add(&session.traffic));
        prop_assert_eq!(of_sessions, sum, "and to the sessions");
    }
}
