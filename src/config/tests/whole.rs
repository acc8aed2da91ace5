//! Whole configurations: the example, overrides, and what `effective` prints.

use super::*;

#[test]
fn the_loopback_example_passes() {
    let loaded = accept(LOOPBACK);
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let config = loaded.config;
    assert_eq!(config.relay.ports.count(), 20_000);
    assert_eq!(config.relay.workers.on(64), 1);
    assert_eq!(config.limits.allocations_per_user, 20_000);
    assert_eq!(config.auth_settings().users["u"].expose(), "p");
    assert_eq!(config.auth_settings().secrets.len(), 1);
}

#[test]
fn without_listeners_it_is_port_3478_of_every_address() {
    let loaded = accept(&with_auth(""));
    let doors: Vec<_> =
        loaded.config.listen.iter().map(|l| (l.address.to_string(), l.transports.clone())).collect();
    let both = vec![Transport::Udp, Transport::Tcp];
    assert_eq!(doors, [("[::]:3478".to_owned(), both.clone()), ("0.0.0.0:3478".to_owned(), both)]);
    assert!(loaded.warnings.is_empty(), "defaults warn of nothing: {:?}", loaded.warnings);
}

#[test]
fn eight_mistakes_in_one_file_get_eight_reports() {
    let text = with_auth(
        "[server]\nrealn = \"x\"\ndrain_timeout = 30\n[[listen]]\naddress = \"0.0.0.0\"\ntransports = [\"upd\"]\n\
         [relay]\nports = \"9-1\"\n[relay.peers]\ndeny = [\"10.0.0.0/33\"]\n[limits]\nbandwidth_total = \"4\"\n\
         [log]\nlevel = \"inof\"",
    );
    let places: Vec<_> =
        refuse(&text).iter().filter_map(|error| error.at.map(|at| (at.line, at.column))).collect();
    assert_eq!(places, [(2, 1), (3, 17), (5, 11), (6, 15), (8, 9), (10, 9), (12, 19), (14, 9)]);
}

#[test]
fn networks_and_single_addresses_are_both_understood() {
    let peers =
        accept(&with_auth("[relay.peers]\ndeny = [\"192.0.2.1\", \"2001:db8::/32\"]")).config.relay.peers;
    let networks: Vec<_> = peers.denied_networks().map(|net| net.to_string()).collect();
    assert_eq!(networks, ["192.0.2.1/32", "2001:db8::/32"]);
    assert!(peers.denies_recommended(), "own entries add to the recommended set");
}

#[test]
fn switching_the_recommended_set_off_is_warned_of() {
    let loaded = accept(&with_auth("[relay.peers]\ndeny = [\"none\"]"));
    assert!(!loaded.config.relay.peers.denies_recommended());
    assert!(loaded.warnings[0].message.contains("private networks"), "{:?}", loaded.warnings);
}

#[test]
fn proxies_without_a_stream_and_proxies_everywhere_are_warned_of() {
    let warned = |lines: &str| -> Vec<(Option<String>, String)> {
        let text = with_auth(&format!("[[listen]]\naddress = \"0.0.0.0:1\"\n{lines}"));
        let about =
            accept(&text).warnings.into_iter().filter(|found| found.message.contains("proxy_protocol"));
        about.map(|found| (found.key, found.message)).collect()
    };
    assert_eq!(warned("proxy_protocol_from = [\"10.0.0.9\"]"), []);
    let [(key, message)] = &warned("transports = [\"udp\"]\nproxy_protocol_from = [\"10.0.0.9\"]")[..] else {
        panic!("one warning");
    };
    assert_eq!(key.as_deref(), Some("listen[0].proxy_protocol_from"));
    assert!(message.contains("without effect"), "{message}");
    let [(key, message)] = &warned("proxy_protocol_from = [\"10.0.0.9\", \"::/0\"]")[..] else {
        panic!("one warning");
    };
    assert_eq!(key.as_deref(), Some("listen[0].proxy_protocol_from[1]"));
    assert!(message.contains("everybody"), "{message}");
}

#[test]
fn proxies_everywhere_are_warned_of_on_http_too() {
    let loaded = accept(&with_auth("[http]\ntrusted_proxies = [\"10.0.0.9\", \"0.0.0.0/0\"]"));
    let [warning] = &loaded.warnings[..] else { panic!("{:?}", loaded.warnings) };
    assert_eq!(warning.key.as_deref(), Some("http.trusted_proxies[1]"));
    assert!(warning.message.contains("everybody"), "{}", warning.message);
}

#[test]
fn a_public_address_may_be_one_or_a_list_or_pairs() {
    let read = |value: &str| {
        accept(&with_auth(&format!("[server]\npublic_address = {value}"))).config.server.public_address
    };
    let one = |external: &str, internal: Option<&str>| PublicMapping {
        external: external.parse().expect("an address"),
        internal: internal.map(|ip| ip.parse().expect("an address")),
    };
    assert_eq!(read("\"auto\""), PublicAddress::Auto);
    assert_eq!(read("\"203.0.113.4\""), PublicAddress::Fixed(vec![one("203.0.113.4", None)]));
    assert_eq!(
        read("[{ external = \"203.0.113.4\", internal = \"10.0.0.4\" }, \"2001:db8::4\"]"),
        PublicAddress::Fixed(vec![one("203.0.113.4", Some("10.0.0.4")), one("2001:db8::4", None)])
    );
}

#[test]
fn a_syntax_error_has_its_place_and_a_guess() {
    let quotes = "text needs quotes: key = \"text\"";
    refused("[server]\nrealm = turn", (2, 9), "not TOML", quotes);
    refused("[server\nrealm = \"x\"", (1, 8), "not TOML", "a closing ] is missing");
    let equals = "TOML wants `key = value`, not `key: value`";
    refused("[server]\nrealm: 5", (2, 8), "not TOML", equals);
    refused("[server]\nrealm = \"x\"\nrealm = \"y\"", (3, 1), "not TOML: duplicate key", "");
}

#[test]
fn a_variable_replaces_a_key_as_toml_or_as_text() {
    let env = [
        ("TURNSTONE_AUTH__TTL", "30m"),
        ("TURNSTONE_RELAY__WORKERS", "3"),
        ("TURNSTONE_RELAY__PEERS__ALLOW", "[\"10.0.0.0/8\"]"),
        ("TURNSTONE_SERVER__REALM", "2025"),
        ("TURNSTONE_AUTH__USERS__BOB", "12345"),
        ("TURNSTONE_HOME", "ignored"),
        ("PATH", "ignored"),
    ];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let config = parse("t.toml", LOOPBACK, env).unwrap_or_else(|errors| panic!("{errors}")).config;
    assert_eq!(config.auth.ttl.as_secs(), 1_800);
    assert_eq!(config.relay.workers.on(64), 3);
    assert_eq!(config.relay.peers.allow[0].to_string(), "10.0.0.0/8");
    assert_eq!(config.server.realm, "2025");
    assert_eq!(config.auth.users["bob"].expose(), "12345");
    assert_eq!(config.auth.users["u"].expose(), "p", "other users stay");
}

#[test]
fn a_wrong_variable_is_refused_by_its_name() {
    let wrong = |name: &str, value: &str| {
        let error = refuse_env(LOOPBACK, name, value).remove(0);
        (error.location(), error.message, error.help.unwrap_or_default())
    };
    let (location, message, help) = wrong("TURNSTONE_AUTH__TTL", "soon");
    assert_eq!(location, "environment variable TURNSTONE_AUTH__TTL:1:1");
    assert_eq!(message, "`auth.ttl`: \"soon\" is not a duration");
    assert!(help.contains("\"30s\""));
    let (location, message, help) = wrong("TURNSTONE_AUTH__TTTL", "1h");
    assert_eq!(location, "environment variable TURNSTONE_AUTH__TTTL:1:1");
    assert_eq!((message.as_str(), help.as_str()), ("unknown key `tttl` in [auth]", "did you mean `ttl`?"));
    let (_, message, help) = wrong("TURNSTONE_LISTEN__ADDRESS", "0.0.0.0:1");
    assert!(message.contains("`listen` is not a section") && help == "set it in the file");
    assert_eq!(wrong("TURNSTONE_A__B__C__D__E__F__G__H__I", "1").1, "no key has 9 parts");
}

#[test]
fn the_effective_configuration_reads_back_the_same() {
    let texts = [
        with_auth(""),
        LOOPBACK.to_owned(),
        with_auth(
            "[server]\npublic_address = [{ external = \"203.0.113.4\", internal = \"10.0.0.4\" }]\n\
             [[tls.extra]]\ncert = \"/a \\\"b\\\"\"\nkey = \"/k\"\n[[signaling.rule]]\nevent = \"x\"\nto = [1, 2]\n\
             [limits]\nbandwidth_total = \"1.5 Gbit/s\"\npackets_per_user = \"7/s\"\n\
             [auth.users]\n\"a b\" = \"p\"",
        )
        .replace("[auth]", "[auth]\nstrict_expiry = true"),
    ];
    for text in texts {
        let config = accept(&text).config;
        let effective = config.effective();
        // Stars are a secret like any other, except that 8 are too few.
        let again = accept(&effective.replace("********", SECRET)).config;
        assert_eq!(again.effective(), effective);
        assert_eq!(again.relay, config.relay);
        assert_eq!(again.signaling, config.signaling);
    }
}

#[test]
fn every_key_is_in_the_effective_configuration() {
    let effective = accept(&with_auth("")).config.effective();
    for (section, key) in every_key() {
        let lines =
            [format!("{key} = "), format!("# {key} is not set"), format!("[{key}]"), format!(".{key}]")];
        assert!(
            section == "tls.extra" || lines.iter().any(|line| effective.contains(line)),
            "{section}.{key} is missing in\n{effective}"
        );
    }
}
