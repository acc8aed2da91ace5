//! Credentials that are void before their time.

use crate::world::*;
use std::sync::Arc;
use std::time::Duration;
use turnstone::auth::{Authenticator, MintRequest, Revocation, Revocations, Secret, Target, Variant, mint};
use turnstone::metrics::{AuthFailed, auth_failures};
use turnstone::turn::{EndReason, Server};
use turnstone::wire::stun::{AttributeType, Class, Method};

/// A client with a credential of its own.
pub(crate) fn client_of(n: u16, request: &MintRequest<'_>) -> Client {
    let credential = mint(&Secret::new(SECRET), Variant::Sha1, request).unwrap();
    Client {
        password: credential.password.expose().into(),
        username: credential.username,
        ..Client::new(n, "x")
    }
}

pub(crate) fn minted(subject: &str, ttl_s: u64) -> MintRequest<'_> {
    MintRequest::new(EPOCH, Duration::from_secs(ttl_s), subject)
}

/// An order of this moment.
pub(crate) fn order(world: &World, target: Target) -> Revocation {
    let until = world.now.unix.after(Duration::from_secs(86_400));
    Revocation { target, at: world.now.unix, until: Some(until) }
}

fn revoke(world: &mut World, targets: &[Target]) -> usize {
    let orders: Vec<_> = targets.iter().map(|target| order(world, target.clone())).collect();
    world.server.set_revocations(Arc::new(Revocations::new(&orders)));
    finish(world)
}

/// All that is left of a walk.
fn finish(world: &mut World) -> usize {
    loop {
        let ended = world.server.revoke_some(world.now);
        world.settle();
        if let Some(ended) = ended {
            assert!(!world.server.is_revoking());
            return ended;
        }
    }
}

/// Sends an Allocate that gets no answer before there are ports for it.
fn begin_to_allocate(world: &mut World, client: &mut Client) {
    let udp = [(AttributeType::REQUESTED_TRANSPORT, UDP)];
    let id = world.transaction();
    let challenge = client.bare(id, Class::Request, Method::ALLOCATE, &udp);
    client.nonce = Answer::only(&world.datagram(client.address, &challenge)).nonce.unwrap();
    let id = world.transaction();
    let request = client.request(id, Method::ALLOCATE, &udp);
    assert_eq!(world.datagram(client.address, &request), []);
}

fn refused(world: &mut World) -> u64 {
    world.server.counters().value(auth_failures(AuthFailed::Revoked))
}

#[test]
fn an_order_ends_what_it_names_and_lets_nobody_in_by_it_again() {
    let named = [Target::Id("crd_1".into()), Target::Subject("dora".into()), Target::Label("floor".into())];
    for target in named {
        let mut world = World::seeded(1);
        let request = MintRequest { id: Some("crd_1"), label: Some("floor"), ..minted("dora", 3600) };
        let mut dora = client_of(1, &request);
        let mut eve = client_of(2, &minted("eve", 3600));
        let mut alice = Client::new(3, "alice");
        for client in [&mut dora, &mut eve, &mut alice] {
            client.allocate(&mut world);
        }
        assert_eq!(revoke(&mut world, std::slice::from_ref(&target)), 1, "{target:?}");
        let ended: Vec<_> =
            world.ended().iter().map(|ended| (ended.reason, ended.session.subject.to_string())).collect();
        assert_eq!(ended, [(EndReason::Revoked, "dora".to_owned())]);

        let again = Client { address: Client::new(4, "").address, ..dora.clone() };
        for mut dora in [dora, again] {
            dora.nonce = Vec::new();
            assert_eq!(dora.try_allocate(&mut world, &[]).code, 401, "{target:?}");
        }
        assert_eq!(refused(&mut world), 2);
        assert_eq!((eve.refresh(&mut world, 600).code, alice.refresh(&mut world, 600).code), (0, 0));
    }
}

#[test]
fn what_is_minted_after_the_order_is_good() {
    let mut world = World::seeded(1);
    client_of(1, &minted("dora", 3600)).allocate(&mut world);
    assert_eq!(revoke(&mut world, &[Target::Subject("dora".into())]), 1);
    let later = EPOCH.after(Duration::from_secs(1));
    world.pass(Duration::from_secs(1));
    client_of(2, &MintRequest::new(later, Duration::from_secs(3600), "dora")).allocate(&mut world);
}

#[test]
fn a_static_user_is_revoked_by_name() {
    let mut world = World::seeded(1);
    let mut alice = Client::new(1, "alice");
    alice.allocate(&mut world);
    Client::new(2, "bob").allocate(&mut world);
    assert_eq!(revoke(&mut world, &[Target::Subject("alice".into())]), 1);
    assert_eq!(alice.try_allocate(&mut world, &[]).code, 401);
    assert_eq!(revoke(&mut world, &[]), 0, "the order was lifted");
    alice.allocate(&mut world);
}

#[test]
fn a_user_who_was_taken_away_loses_what_lives_and_what_is_about_to() {
    let mut world = World::seeded(1);
    let mut alice = Client::new(1, "alice");
    alice.allocate(&mut world);
    Client::new(2, "bob").allocate(&mut world);
    // The same name at an app that mints.
    let mut minted = client_of(3, &minted("alice", 3600));
    minted.allocate(&mut world);
    world.hold_opens = true;
    let mut late = Client::new(4, "alice");
    begin_to_allocate(&mut world, &mut late);

    let gone = [Target::User("alice".into())];
    assert_eq!(revoke(&mut world, &gone), 0, "there is a user of this name");
    world.auth.users.remove("alice");
    let without = Arc::new(Authenticator::new(&world.auth));
    world.server.set_authenticator(without);
    assert_eq!(finish(&mut world), 1);
    world.open_pending();
    world.settle();
    assert_eq!(world.open_ports().len(), 2, "bob's, and what was minted");
    assert_eq!(minted.refresh(&mut world, 600).code, 0);
    world.assert_ports_add_up();
}

#[test]
fn a_wrong_password_of_a_revoked_user_stays_a_wrong_password() {
    let mut world = World::seeded(1);
    revoke(&mut world, &[Target::Subject("alice".into())]);
    let mut guess = Client { password: "wrong".into(), ..Client::new(1, "alice") };
    assert_eq!(guess.try_allocate(&mut world, &[]).code, 401);
    assert_eq!(refused(&mut world), 0);
    assert_eq!(world.server.counters().value(auth_failures(AuthFailed::BadIntegrity)), 1);
}

#[test]
fn a_request_ends_a_revoked_allocation_before_the_walk_comes_by() {
    let mut world = World::seeded(1);
    let mut dora = client_of(1, &minted("dora", 3600));
    dora.allocate(&mut world);
    let orders = [order(&world, Target::Subject("dora".into()))];
    world.server.set_revocations(Arc::new(Revocations::new(&orders)));
    let answer = dora.refresh(&mut world, 600);
    assert_eq!((answer.code, answer.signed), (401, false));
    assert_eq!(world.ended()[0].reason, EndReason::Revoked);
    assert_eq!((finish(&mut world), refused(&mut world)), (0, 1));
}

#[test]
fn a_request_that_waited_for_its_ports_is_revoked_with_the_others() {
    let mut world = World::seeded(1);
    world.hold_opens = true;
    let mut dora = client_of(1, &minted("dora", 3600));
    begin_to_allocate(&mut world, &mut dora);
    assert_eq!(revoke(&mut world, &[Target::Subject("dora".into())]), 0, "it does not live yet");
    world.open_pending();
    world.settle();
    assert_eq!((world.ended().len(), world.open_ports().len()), (1, 0));
    world.assert_ports_add_up();
}

#[test]
fn the_walk_looks_at_few_places_at_a_time_and_at_all_whatever_orders_come_between() {
    let mut world = World::seeded(1);
    let clients = 700u16;
    for n in 0..clients {
        client_of(n, &minted(&format!("user-{n}"), 3600)).allocate(&mut world);
    }
    // Each of many orders, given while the walk for the ones before is under way.
    let mut orders = Vec::new();
    for n in 0..clients {
        orders.push(order(&world, Target::Subject(format!("user-{n}").into())));
        world.server.set_revocations(Arc::new(Revocations::new(&orders)));
        let before = world.server.allocations();
        world.server.revoke_some(world.now);
        assert!(before - world.server.allocations() <= Server::PAGE_SLOTS as usize);
    }
    finish(&mut world);
    assert_eq!((world.server.allocations(), world.ended().len()), (0, usize::from(clients)));
    assert!(world.ended().iter().all(|ended| ended.reason == EndReason::Revoked));
}

#[test]
fn a_table_that_grows_leads_no_walk_past_an_allocation() {
    let mut world = World::with(1, Options { quarantine: Duration::ZERO, ..Options::default() });
    let join = |world: &mut World, n: u16| {
        client_of(n, &minted(&format!("user-{n}"), 3600)).allocate(world);
    };
    (0..400).for_each(|n| join(&mut world, n));
    // A walk that has come to the second page when its orders change.
    world.server.set_revocations(Arc::new(Revocations::new(&[])));
    world.server.revoke_some(world.now);
    let orders = [order(&world, Target::Subject("user-5".into()))];
    world.server.set_revocations(Arc::new(Revocations::new(&orders)));
    (400..1000).for_each(|n| join(&mut world, n));
    assert_eq!(finish(&mut world), 1);
    assert_eq!(&*world.ended()[0].session.subject, "user-5");
}

/// Two parties of a call and somebody else.
fn call() -> (World, [Client; 3]) {
    let mut world = World::seeded(1);
    let in_call = |subject| MintRequest { call_id: Some("k9"), ..minted(subject, 3600) };
    let mut clients =
        [client_of(1, &in_call("dora")), client_of(2, &in_call("eve")), client_of(3, &minted("dora", 3600))];
    for client in &mut clients {
        client.allocate(&mut world);
    }
    (world, clients)
}

#[test]
fn the_allocations_of_a_call_end_after_the_grace_whatever_their_clients_ask_for() {
    let (mut world, [mut dora, mut eve, mut other]) = call();
    let (grace, until) = (Duration::from_secs(5), EPOCH.after(Duration::from_secs(3600)));
    assert_eq!(world.server.end_call(world.now, "k9", grace, until), 2);
    let mut newcomer = Client { address: Client::new(4, "").address, nonce: Vec::new(), ..eve.clone() };
    assert_eq!(newcomer.try_allocate(&mut world, &[]).code, 401);
    world.pass(Duration::from_secs(2));
    let answer = dora.refresh(&mut world, 600);
    assert_eq!((answer.code, answer.lifetime_s), (0, Some(3)), "what is left of the grace");
    eve.permit(&mut world, &[peer(1)]);
    assert!(matches!(eve.send(&mut world, peer(1), b"bye")[..], [Out::ToPeer { .. }]));
    // Said again, it grants no more.
    world.server.end_call(world.now, "k9", grace, until);
    world.pass(Duration::from_millis(3200));
    let reasons: Vec<_> = world.ended().iter().map(|ended| ended.reason).collect();
    assert_eq!(reasons, [EndReason::CallEnded; 2]);
    assert_eq!(other.refresh(&mut world, 600).code, 0);
    assert_eq!(world.server.end_call(world.now, "k9", grace, until), 0);
    world.assert_ports_add_up();
}

#[test]
fn without_grace_the_allocations_of_a_call_end_at_once() {
    let (mut world, _clients) = call();
    world.server.end_call(world.now, "k9", Duration::ZERO, EPOCH);
    world.settle();
    assert!(world.ended().iter().all(|ended| ended.reason == EndReason::CallEnded));
    assert_eq!(world.ended().len(), 2);
}

#[test]
fn an_order_about_a_call_ends_it_but_does_not_cut_a_grace_short() {
    let (mut world, _clients) = call();
    assert_eq!(revoke(&mut world, &[Target::Call("k9".into())]), 2);
    assert!(world.ended().iter().all(|ended| ended.reason == EndReason::CallEnded));

    let (mut world, _clients) = call();
    let until = EPOCH.after(Duration::from_secs(3600));
    world.server.end_call(world.now, "k9", Duration::from_secs(5), until);
    assert_eq!(revoke(&mut world, &[Target::Call("k9".into())]), 0);
    let targets = [Target::Call("k9".into()), Target::Subject("dora".into())];
    assert_eq!(revoke(&mut world, &targets), 2, "a revoked subject has no grace: in the call and out of it");
}

#[test]
fn ended_calls_are_forgotten_when_their_credentials_are_over() {
    let mut world = World::seeded(1);
    let ttl = Duration::from_secs(60);
    let request = MintRequest { call_id: Some("k9"), ..minted("dora", 3600) };
    world.server.end_call(world.now, "k9", Duration::ZERO, world.now.unix.after(ttl));
    let mut dora = client_of(1, &request);
    assert_eq!(dora.try_allocate(&mut world, &[]).code, 401);
    world.pass(ttl);
    dora.allocate(&mut world);
}
