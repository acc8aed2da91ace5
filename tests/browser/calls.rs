//! Calls in a browser, through the relay and back from trouble.

use crate::daemon::PATIENCE;
use crate::house::{House, JWT_SECRET};
use crate::script::{chromium, run};
use crate::skip::skip;
use serde_json::{Value, json};
use std::path::Path;

#[test]
fn two_pages_call_each_other_through_the_relay_over_udp_tcp_and_tls() {
    const NAME: &str = "calls::two_pages_call_each_other_through_the_relay_over_udp_tcp_and_tls";
    let Some(chromium) = chromium(NAME) else { return };
    let mut house = House::start();
    let mut facts = house.facts();
    facts["ways"] = json!(["UDP", "TCP", "TLS"]);
    run("calls.mjs", &chromium, facts, |what, _| help(&mut house, what));
}

#[test]
fn a_call_outlives_a_crash_of_the_server_and_finds_its_way_back_by_itself() {
    const NAME: &str = "calls::a_call_outlives_a_crash_of_the_server_and_finds_its_way_back_by_itself";
    let Some(chromium) = chromium(NAME) else { return };
    let mut house = House::start();
    let facts = house.facts();
    run("restart.mjs", &chromium, facts, |what, _| help(&mut house, what));
}

#[test]
fn a_page_with_socket_io_client_and_one_with_ours_call_each_other() {
    const NAME: &str = "calls::a_page_with_socket_io_client_and_one_with_ours_call_each_other";
    let Some(chromium) = chromium(NAME) else { return };
    let client = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/foreign/node/node_modules/socket.io-client/dist/socket.io.min.js");
    if !client.exists() {
        return skip(NAME, "no socket.io-client: run `npm ci` in tests/foreign/node");
    }
    let mut house = House::start();
    let mut facts = house.facts();
    facts["jwt_secret"] = json!(JWT_SECRET);
    facts["socket_io_client"] = json!(client);
    run("foreign.mjs", &chromium, facts, |what, _| help(&mut house, what));
}

#[test]
fn names_that_want_to_be_more_are_text_on_both_sides() {
    const NAME: &str = "calls::names_that_want_to_be_more_are_text_on_both_sides";
    let Some(chromium) = chromium(NAME) else { return };
    let mut house = House::start();
    let mut facts = house.facts();
    facts["jwt_secret"] = json!(JWT_SECRET);
    run("names.mjs", &chromium, facts, |what, _| help(&mut house, what));
}

/// What pages cannot do.
fn help(house: &mut House, what: &str) -> Value {
    match what {
        "no_sessions" => house.await_no_sessions(),
        "kill" => {
            house.daemon.signal(libc::SIGKILL);
            let _killed = house.daemon.exit_code(PATIENCE);
        }
        "start" => house.daemon.start_again(),
        other => panic!("{other}?"),
    }
    Value::Null
}
