//! How many connections there may be. Loopback has no limit, so clients come through a balancer here.

use crate::client::{ANSWER_MAX, Client, closed, config};
use crate::daemon::{Daemon, PATIENCE, eventually};
use std::net::Ipv4Addr;

#[test]
fn one_source_gets_so_many_connections_and_takes_none_from_another() {
    let config = config("connections_per_source = 5").listener("proxy_protocol_from = [\"127.0.0.9\"]");
    let daemon = Daemon::start(&config);
    let connect = |source: &str| {
        let mut client = Client::connect_from(Ipv4Addr::new(127, 0, 0, 9), daemon.server);
        client.write(format!("PROXY TCP4 {source} 192.0.2.2 1 2\r\n").as_bytes());
        client
    };
    let mut kept: Vec<Client> = (0..5).map(|_| connect("203.0.113.1")).collect();
    kept.iter_mut().for_each(Client::round_trip);
    for _ in 0..20 {
        connect("203.0.113.1").await_close(ANSWER_MAX);
    }
    eventually(PATIENCE, "20 refused", || (closed(&daemon, "source_limit") == 20.0).then_some(()));
    connect("203.0.113.2").round_trip();
    kept.iter_mut().for_each(Client::round_trip);
    // A place is free again as soon as its connection is gone.
    let client = closed(&daemon, "client");
    drop(kept.pop());
    eventually(PATIENCE, "one gone", || (closed(&daemon, "client") > client).then_some(()));
    connect("203.0.113.1").round_trip();
}
