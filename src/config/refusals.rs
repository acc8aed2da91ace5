//! What bad input gets: every refusal with its place and what to write instead.

use super::{Loaded, load, parse};
use crate::base::Random;
use std::path::Path;

const LOOPBACK: &str = include_str!("../../tests/vectors/loopback.toml");
const AUTH: &str = "[auth]\nsecrets = [\"a-secret-of-at-least-32-characters-00001\"]\n";

/// The first two lines of each text are a good `[auth]`.
fn refused(section: &str) -> Vec<(usize, usize, String, String)> {
    let text = format!("{AUTH}{section}");
    let Err(errors) = parse("t.toml", &text, []) else { panic!("accepted: {section}") };
    errors
        .errors()
        .iter()
        .map(|e| {
            let at = e.at.expect("a place");
            (at.line, at.column, e.message.clone(), e.help.clone().unwrap_or_default())
        })
        .collect()
}

#[track_caller]
fn one(section: &str, line: usize, column: usize, message: &str, help: &str) {
    let all = refused(section);
    let [(l, c, m, h)] = &all[..] else { panic!("{section}: {all:?}") };
    assert_eq!((*l, *c), (line, column), "{section}: {m}");
    assert!(m.contains(message), "{section}: {m:?} does not say {message:?}");
    assert!(h.contains(help), "{section}: {h:?} does not advise {help:?}");
}

#[test]
fn unknown_keys_and_sections_are_refused_with_the_one_that_was_meant() {
    one("[relay]\nport = \"1-2\"\n", 4, 1, "unknown key `port`", "`ports`");
    one("[relay]\nmax_lifetme = \"1h\"\n", 4, 1, "unknown key", "`max_lifetime`");
    one("[rely]\nports = \"1-2\"\n", 3, 2, "unknown", "`relay`");
    one("[limits]\nallocation_per_user = 3\n", 4, 1, "unknown key", "`allocations_per_user`");
    one(
        "[[listen]]\naddress = \"127.0.0.1:1\"\ntransport = [\"udp\"]\n",
        5,
        1,
        "unknown key",
        "`transports`",
    );
    one("[relay.peers]\nminport = 1\n", 4, 1, "unknown key", "`min_port`");
}

#[test]
fn networks_that_are_none_are_refused_and_never_silently_dropped() {
    one("[relay.peers]\ndeny = [\"10.0.0.0/33\"]\n", 4, 9, "not a network", "0 to 32");
    one("[relay.peers]\nallow = [\"fd00::/129\"]\n", 4, 10, "not a network", "0 to 128");
    one("[relay.peers]\ndeny = [\"10.1.2.3/8\"]\n", 4, 9, "10.1.2.3/8", "10.0.0.0/8");
    one("[relay.peers]\ndeny = [\"recomended\"]\n", 4, 9, "not a network", "\"recommended\"");
    one("[relay.peers]\ndeny = [\"10.0.0.1-10.0.0.9\"]\n", 4, 9, "not a network", "");
}

#[test]
fn values_without_or_with_a_wrong_unit_are_refused_with_a_right_one() {
    one("[limits]\npackets_per_user = \"1000\"\n", 4, 20, "not a rate", "\"1000/s\"");
    one("[limits]\npackets_per_user = 1000\n", 4, 20, "", "/s");
    one("[limits]\nbandwidth_total = \"4\"\n", 4, 19, "not a bit rate", "\"4 Mbit/s\"");
    one("[limits]\nbandwidth_per_user = \"4 MB/s\"\n", 4, 22, "", "Mbit/s");
    one("[relay]\nmax_lifetime = \"5 parsecs\"\n", 4, 16, "not a duration", "30s");
    one("[relay]\nreceive_buffer = \"256\"\n", 4, 18, "", "KiB");
    one("[server]\ndrain_timeout = 30\n", 4, 17, "", "30s");
}

#[test]
fn ranges_and_types_are_checked() {
    one("[relay]\nports = \"40000-39999\"\n", 4, 9, "not a range", "\"39999-40000\"");
    one("[relay]\nports = \"0-100000\"\n", 4, 9, "", "");
    one("[relay]\nmax_lifetime = \"2h\"\n", 4, 16, "", "1h");
    one("[relay]\nmax_lifetime = \"1m\"\n", 4, 16, "", "10m");
    one("[relay]\nworkers = 0\n", 4, 11, "", "");
    one("[relay]\nworkers = \"many\"\n", 4, 11, "", "\"auto\"");
    one("[relay]\nlegacy_channels = \"yes\"\n", 4, 19, "", "true");
    one("[relay.peers]\nmin_port = 70000\n", 4, 12, "", "");
    one("[server]\npublic_address = \"here\"\n", 4, 18, "", "");
    one("[[listen]]\naddress = \"0.0.0.0\"\n", 4, 11, "", "3478");
    one("[[listen]]\naddress = \"turn.example.org:3478\"\n", 4, 11, "", "");
    one("[[listen]]\naddress = \"0.0.0.0:3478\"\ntransports = [\"utp\"]\n", 5, 15, "", "\"udp\"");
    one("[log]\nlevel = \"warning\"\n", 4, 9, "", "\"warn\"");
}

#[test]
fn two_listeners_on_one_address_are_refused() {
    let listen = "[[listen]]\naddress = \"127.0.0.1:1\"\ntransports = [\"udp\"]\n";
    one(&format!("{listen}{listen}"), 8, 15, "udp on 127.0.0.1:1 is already taken", "delete one");
}

#[test]
fn syntax_errors_have_a_place_too() {
    let all = refused("[relay\nports = 1\n");
    assert_eq!(all[0].0, 3, "{all:?}");
}

#[test]
fn eight_errors_get_eight_reports_in_the_order_of_the_file() {
    let text = "[server]\ncolour = 3\n[relay]\nports = \"9-8\"\nmax_lifetime = \"x\"\n[relay.peers]\n\
                deny = [\"x\", \"1.2.3.4/40\"]\n[limits]\npackets_per_user = \"1\"\nbandwidth_total = \"1\"\n\
                [auth]\nsecrets = [\"short\"]\n";
    let errors = parse("t.toml", text, []).expect_err("eight times wrong");
    let lines: Vec<usize> = errors.errors().iter().filter_map(|e| e.at.map(|at| at.line)).collect();
    assert_eq!(lines, [2, 4, 5, 7, 7, 9, 10, 12]);
    let shown = errors.render(false);
    assert_eq!(shown.matches("error: ").count(), 8, "{shown}");
    assert!(shown.contains("t.toml:4:9") && shown.contains("^^^"), "{shown}");
}

#[test]
fn no_secret_is_ever_shown() {
    let text =
        "[auth]\nsecrets = [\"hunter2hunter2\", 5]\nusers = { a = 7 }\n[auth.jwt]\nsecret = \"hunter2\"\n";
    let errors = parse("t.toml", text, []).expect_err("wrong");
    assert!(!errors.render(false).contains("hunter2"), "{}", errors.render(false));
    let Loaded { config, .. } = parse("t.toml", AUTH, []).expect("good");
    assert!(!config.effective().contains("a-secret-of"));
    assert!(!format!("{config:?}").contains("a-secret-of"));
}

#[test]
fn credentials_that_are_missing_weak_or_given_twice_are_refused() {
    let refusal = |text: &str| parse("t.toml", text, []).expect_err(text).render(false);
    assert!(refusal("").contains("secrets"), "{}", refusal(""));
    assert!(refusal("[auth]\nsecrets = [\"fifteen-chars-x\"]\n").contains("16"));
    let five =
        format!("[auth]\nsecrets = [{}]\n", ["\"a-secret-of-at-least-32-characters-00001\""; 5].join(", "));
    assert!(refusal(&five).contains("4") || refusal(&five).contains("four"));
    let both = format!("{AUTH}secrets_file = \"/nonexistent\"\n");
    assert!(refusal(&both).contains("secrets_file"));
    assert!(refusal("[auth.users]\n\"a\\u0007b\" = \"p\"\n").contains("auth.users"));
    assert!(refusal(&format!("[auth.users]\n{} = \"p\"\n", "a".repeat(509))).contains("508"));
    let warned =
        parse("t.toml", "[auth]\nsecrets = [\"only-twenty-chars-xx\"]\n", []).expect("weak but good");
    assert!(
        warned
            .warnings
            .iter()
            .any(|w| w.message.contains("32") || w.help.as_deref().is_some_and(|h| h.contains("32")))
    );
}

#[test]
fn a_file_that_cannot_be_read_is_named_with_what_to_do() {
    let errors = load(Path::new("/nonexistent/turnstone.toml"), []).expect_err("not there");
    let shown = errors.render(false);
    assert!(shown.contains("/nonexistent/turnstone.toml"), "{shown}");
    assert!(errors.errors()[0].help.is_some(), "{shown}");
}

#[test]
fn the_environment_overrides_the_file_and_its_errors_name_the_variable() {
    let env = |name: &str, value: &str| [(name.to_owned(), value.to_owned())];
    let loaded = parse("t.toml", AUTH, env("TURNSTONE_AUTH__TTL", "30m")).expect("good");
    assert_eq!(loaded.config.auth.ttl.as_secs(), 1800);
    let loaded = parse("t.toml", AUTH, env("TURNSTONE_RELAY__PEERS__MIN_PORT", "1024")).expect("good");
    assert_eq!(loaded.config.relay.peers.min_port.get(), 1024);
    for (name, value) in
        [("TURNSTONE_AUTH__TTL", "soon"), ("TURNSTONE_AUTH__TLL", "1h"), ("TURNSTONE_RELAY__PORTS", "9-8")]
    {
        let shown = parse("t.toml", AUTH, env(name, value)).expect_err(name).render(false);
        assert!(shown.contains(name), "{shown}");
    }
    assert!(parse("t.toml", AUTH, env("TURNSTONE_COMMIT", "abc")).is_ok(), "no section, no key");
}

#[test]
fn the_example_on_loopback_passes_and_names_what_is_not_built_once_each() {
    let loaded = parse("loopback.toml", LOOPBACK, []).expect("the example");
    assert_eq!(loaded.config.relay.ports.count(), 20_000);
    let mut messages: Vec<&str> = loaded.warnings.iter().map(|w| w.message.as_str()).collect();
    assert!(messages.iter().any(|m| m.contains("`tls` transport")), "{messages:?}");
    let all = messages.len();
    messages.sort_unstable();
    messages.dedup();
    assert_eq!(messages.len(), all, "each part warns once");
}

#[test]
fn the_effective_config_reads_back_the_same() {
    let loaded = parse("loopback.toml", LOOPBACK, []).expect("the example");
    let shown = loaded.config.effective();
    // Masked secrets are too short to be secrets, so they are put back for the second reading.
    let unmasked = shown.replace("\"********\"", "\"a-secret-of-at-least-32-characters-00001\"");
    let again = parse("effective.toml", &unmasked, []).expect("reads back");
    assert_eq!(again.config.effective(), shown);
}

#[test]
fn no_mutation_of_a_config_makes_it_panic() {
    let mut random = Random::seeded(5);
    for _ in 0..4000 {
        let mut bytes = LOOPBACK.as_bytes().to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len() as u32) as usize;
            match random.below(4) {
                0 => bytes[at] = random.next_u64() as u8,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, b"[]{}\"'=,.#\n0aZ/:-"[random.below(17) as usize]),
                _ => {
                    let to = at + random.below(40) as usize;
                    let copy = bytes[at..to.min(bytes.len())].to_vec();
                    bytes.splice(at..at, copy);
                }
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        if let Err(errors) = parse("mutant.toml", &text, []) {
            assert!(!errors.render(false).is_empty());
        }
    }
}
