//! Calls in a browser, through the relay and back from trouble.

use crate::house::House;
use crate::script::{chromium, run};
use serde_json::{Value, json};

#[test]
fn two_pages_call_each_other_through_the_relay() {
    const NAME: &str = "calls::two_pages_call_each_other_through_the_relay";
    let Some(chromium) = chromium(NAME) else { return };
    let house = House::start();
    let mut facts = house.facts();
    facts["ways"] = json!(["UDP", "TCP", "TLS"]);
    run("calls.mjs", &chromium, facts, |what, _| match what {
        "no_sessions" => {
            house.await_no_sessions();
            Value::Null
        }
        other => panic!("{other}?"),
    });
}
