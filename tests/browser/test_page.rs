//! The test page: its ICE check, its login, its looks.

use crate::daemon::free_port;
use crate::house::House;
use crate::script::{chromium, run};
use serde_json::json;

#[test]
fn the_ice_check_tries_each_url_by_itself_and_says_why_one_does_not_work() {
    const NAME: &str = "test_page::the_ice_check_tries_each_url_by_itself_and_says_why_one_does_not_work";
    let Some(chromium) = chromium(NAME) else { return };
    let house = House::start();
    let mut facts = house.facts();
    // Its certificate is one that nobody vouches for.
    facts["broken"] = json!([facts["urls"][3]]);
    facts["closed_port"] = json!(free_port());
    run("test_page.mjs", &chromium, facts, |what, _| panic!("{what}?"));
}
