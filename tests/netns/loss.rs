//! A link that loses and repeats (security F13): requests succeed by retransmission, and a request
//! that came twice is done once (RFC 8656 section 7.2).

use crate::client::{Client, USERS};
use crate::daemon::Daemon;
use crate::skip::skip;
use crate::space::{Space, at, missing};
use std::collections::BTreeSet;
use std::net::SocketAddr;

const CLIENTS: usize = 24;

#[test]
fn a_fifth_of_all_packets_may_be_lost_and_repeated_requests_make_no_second_port() {
    if let Some(why) = missing() {
        return skip(
            "loss::a_fifth_of_all_packets_may_be_lost_and_repeated_requests_make_no_second_port",
            why,
        );
    }
    let (server, client) = (Space::new(), Space::new());
    server.join(&client, "wan");
    server.addresses("wan", &["44.0.0.1/24"]);
    client.addresses("wan", &["44.0.0.2/24"]);
    let daemon = Daemon::start(&server, &["44.0.0.1"], "[limits]\nallocations_per_user = 0");
    for space in [&server, &client] {
        // On the way in, since a drop on the way out is an error of the sender and no loss.
        space.nft(
            "add table inet watch {
                counter lost {}
                chain in {
                    type filter hook input priority 0;
                    udp dport 3478 numgen random mod 100 < 20 counter name lost drop
                    udp sport 3478 numgen random mod 100 < 20 counter name lost drop
                }
            }",
        );
    }
    let clients: Vec<(Client, SocketAddr)> = std::thread::scope(|scope| {
        let one = |number| {
            let mut client =
                Client::new(client.udp(at("44.0.0.2:0")), at("44.0.0.1:3478"), USERS[number % 2]);
            // Every second one repeats itself although nothing is lost.
            client.copies = 1 + number as u32 / 2 % 2;
            let relayed = client.allocate(&[])[0];
            let peer = at("44.0.0.2:5000");
            assert_eq!(client.permit(&[peer]), 0);
            assert_eq!(client.bind(0x4000, peer), 0);
            assert_eq!(client.refresh(900), 0);
            (client, relayed)
        };
        let threads: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || one(number))).collect();
        threads.into_iter().map(|thread| thread.join().expect("its own panic says why")).collect()
    });

    let ports: BTreeSet<u16> = clients.iter().map(|(_, relayed)| relayed.port()).collect();
    assert_eq!(ports.len(), CLIENTS);
    let clients_max = CLIENTS as u64;
    assert_eq!(daemon.await_metric("turnstone_allocations_total", "ipv4", |n| n >= clients_max), clients_max);
    assert_eq!(daemon.metric("turnstone_allocations", "ipv4"), clients_max);
    assert_eq!(daemon.metric("turnstone_allocation_failures_total", ""), 0);
    let retransmissions: u32 = clients.iter().map(|(client, _)| client.retransmissions).sum();
    assert!(retransmissions > 0 && server.counted("lost") > 0 && client.counted("lost") > 0);

    for (mut client, _) in clients {
        // 437 is the answer to a repeated one: what it asks for is done (RFC 8656 section 8.3).
        assert!([0, 437].contains(&client.refresh(0)));
    }
    assert_eq!(daemon.await_metric("turnstone_allocations", "ipv4", |n| n == 0), 0);
}
