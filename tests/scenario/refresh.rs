//! RFC 8656 section 8.

use crate::world::*;
use std::time::Duration;
use turnstone::wire::stun::{AttributeType as A, Method};

const V4: &[u8] = &[1, 0, 0, 0];
const V6: &[u8] = &[2, 0, 0, 0];

#[test] // RFC 8656 section 8.2
fn refresh_with_lifetime_zero_closes_the_relay_port() {
    let mut world = World::seeded(7);
    let mut alice = Client::new(1, "alice");
    alice.allocate(&mut world);
    let answer = alice.refresh(&mut world, 0);
    assert_eq!((answer.code, answer.lifetime_s, answer.signed), (0, Some(0), true));
    assert_eq!(world.open_ports(), [].into());
}

#[test]
fn point_3_a_repeated_refresh_with_zero_is_a_mismatch() {
    let mut world = World::seeded(7);
    let mut alice = Client::new(1, "alice");
    alice.allocate(&mut world);
    assert_eq!(alice.refresh(&mut world, 0).code, 0);
    let answer = alice.refresh(&mut world, 0);
    assert_eq!((answer.code, answer.signed), (437, true));
}

#[test]
fn point_4_refresh_keeps_an_allocation_and_its_end_is_exact() {
    let mut world = World::seeded(7);
    let mut alice = Client::new(1, "alice");
    alice.allocate(&mut world);
    world.pass(Duration::from_secs(599));
    assert_eq!(alice.refresh(&mut world, 1).lifetime_s, Some(600), "raised to the default");
    world.pass(Duration::from_secs(599));
    assert_eq!(world.open_ports().len(), 1);
    world.pass(Duration::from_secs(1));
    let answer = alice.refresh(&mut world, 600);
    assert_eq!(answer.code, 437, "gone at its last second, whether its timer has fired or not");
    assert_eq!(world.open_ports(), [].into());
}

#[test]
fn point_9_a_family_that_is_not_there_is_443() {
    let mut world = World::seeded(7);
    let mut alice = Client::new(1, "alice");
    alice.allocate(&mut world);
    let ask = |alice: &mut Client, world: &mut World, family: &[u8]| {
        alice.ask(world, Method::REFRESH, &[(A::REQUESTED_ADDRESS_FAMILY, family)]).code
    };
    assert_eq!(ask(&mut alice, &mut world, V6), 443);
    assert_eq!(ask(&mut alice, &mut world, &[3, 0, 0, 0]), 443);
    assert_eq!(ask(&mut alice, &mut world, V4), 0);
}

#[test]
fn point_9_a_dual_allocation_is_refreshed_and_deleted_whole_or_by_family() {
    let mut world = World::seeded(7);
    let dual: Attributes<'_> = &[(A::ADDITIONAL_ADDRESS_FAMILY, V6)];
    let mut alice = Client::new(1, "alice");
    alice.allocate_with(&mut world, dual);
    world.pass(Duration::from_secs(500));
    assert_eq!(alice.ask(&mut world, Method::REFRESH, &[(A::REQUESTED_ADDRESS_FAMILY, V6)]).code, 0);
    world.pass(Duration::from_secs(101));
    let left: Vec<bool> = world.open_ports().iter().map(|a| a.is_ipv6()).collect();
    assert_eq!(left, [true], "the IPv4 half ran out by itself");

    let mut bob = Client::new(2, "bob");
    bob.allocate_with(&mut world, dual);
    assert_eq!(world.open_ports().len(), 3);
    assert_eq!(bob.refresh(&mut world, 0).code, 0);
    assert_eq!(world.open_ports().len(), 1);
    world.assert_ports_add_up();
}
