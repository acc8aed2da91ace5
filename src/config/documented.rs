//! Holds the documented default config to the code.

use super::{Config, every_key, parse};
use std::collections::BTreeSet;

const DOCUMENTED: &str = include_str!("../../config/turnstone.toml");
const SECRET: &str = "[auth]\nsecrets = [\"paste-your-own-secret-here-0123456789\"]\n";

#[test]
fn as_it_stands_it_wants_nothing_but_a_credential() {
    let refused = parse("turnstone.toml", DOCUMENTED, []).expect_err("nobody could log in");
    assert_eq!(refused.errors().len(), 1, "{refused}");
    let with_secret = DOCUMENTED.replace("#secrets = ", "secrets = ");
    assert!(parse("turnstone.toml", &with_secret, []).is_ok());
}

#[test]
fn every_key_is_in_it_and_every_line_that_is_switched_on_parses() {
    // Two lines exclude each other, and examples of what has no default are not defaults.
    let on: String = DOCUMENTED
        .lines()
        .filter(|line| !line.starts_with("#secrets_file") && !line.starts_with("#public_key_file"))
        .filter(|line| !line.starts_with("#jwks_url"))
        .map(|line| match line.strip_prefix('#') {
            Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => format!("{key}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let loaded = parse("turnstone.toml", &on, []);
    assert!(loaded.is_ok(), "{}", loaded.err().map(|e| e.to_string()).unwrap_or_default());
    let names: BTreeSet<&str> = DOCUMENTED
        .lines()
        .filter_map(|line| line.trim_start_matches('#').split_once(" = "))
        .map(|(key, _)| key)
        .collect();
    for (section, key) in every_key() {
        let inline = DOCUMENTED.contains(&format!("{key} = "));
        let is_section = DOCUMENTED.contains(&format!("[{key}]")) || DOCUMENTED.contains(&format!(".{key}]"));
        let is_table = section == "signaling" && key == "rule";
        assert!(
            names.contains(key.as_str()) || inline || is_section || is_table,
            "[{section}] {key} is not documented"
        );
    }
}

#[test]
fn the_documented_values_are_the_defaults() {
    let plain = parse("a.toml", SECRET, []).expect("a secret is enough").config;
    let default_lines = DOCUMENTED
        .lines()
        .filter(|line| {
            let examples = ["#name", "#alternate", "#cert", "#key", "#acme", "#secret", "#public_key_file"];
            let more = [
                "#jwks_url",
                "#issuer",
                "#audience",
                "#url",
                "#redis",
                "#alice",
                "#address",
                "#transports",
                "#proxy",
            ];
            !examples.iter().chain(&more).any(|example| line.starts_with(example))
        })
        .map(|line| match line.strip_prefix('#') {
            Some(key) if key.starts_with(|c: char| c.is_ascii_lowercase()) => format!("{key}\n"),
            _ => format!("{line}\n"),
        })
        .collect::<String>()
        .replace("[auth]\n", SECRET);
    let documented: Config = parse("b.toml", &default_lines, []).expect("defaults are good").config;
    assert_eq!(documented.effective(), plain.effective());
}
