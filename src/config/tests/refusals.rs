//! One mistake, one report: its place, its message, its suggestion.

use super::*;
use crate::turn::Bandwidth;

#[test]
fn a_misspelt_key_is_refused_with_the_right_one() {
    refused("[server]\nreaml = \"x\"", (2, 1), "unknown key `reaml` in [server]", "did you mean `realm`?");
    refused("[sever]", (1, 2), "unknown key `sever` at the top level", "did you mean `server`?");
    refused("[server]\nttl = \"1h\"", (2, 1), "unknown key `ttl`", "`ttl` belongs in [auth]");
    refused("[log]\nxyz = 1", (2, 1), "unknown key `xyz`", "known keys here: `format`, `level`");
    refused(
        "[relay.peers]\nbeny = []",
        (2, 1),
        "unknown key `beny` in [relay.peers]",
        "did you mean `deny`?",
    );
}

#[test]
fn a_wrong_type_is_refused_with_the_value_to_write() {
    refused("[server]\nrealm = 5", (2, 9), "must be text, not a number", "write \"5\"");
    refused("[server]\ndrain_timeout = 30", (2, 17), "must be a duration, not a number", "write \"30s\"");
    refused("[relay]\ntcp = \"yes\"", (2, 7), "must be true or false", "write true, without quotes");
    refused("[relay]\naddresses = \"auto\"", (2, 13), "must be a list", "put it in brackets: [ ... ]");
    refused("server = 5", (1, 10), "must be a section", "write [server] on a line of its own");
    let workers = "write \"auto\" or a number from 1 to 256";
    refused("[relay]\nworkers = \"many\"", (2, 11), "`relay.workers` must be", workers);
    let range = "write a whole number from 1 to 256";
    refused("[relay]\nworkers = 257", (2, 11), "`relay.workers` is out of range", range);
    let count = "write a whole number from 0 to 4294967295";
    refused("[limits]\nallocations_total = -1", (2, 21), "is out of range", count);
    refused("[limits]\nallocations_total = \"8\"", (2, 21), "must be a number", "write 8, without quotes");
    refused(
        "[relay.peers]\nmin_port = 0",
        (2, 12),
        "is out of range",
        "write a whole number from 1 to 65535",
    );
    refused("[limits]\npackets_per_user = 1000", (2, 20), "must be a rate, not a number", "write \"1000/s\"");
}

#[test]
fn a_wrong_word_is_refused_with_the_right_one() {
    refused("[tls]\nmode = \"self_signed\"", (2, 8), "is not a TLS mode", "did you mean \"self-signed\"?");
    let transports = "one of \"udp\", \"tcp\", \"tls\", \"dtls\"";
    refused("[[listen]]\naddress = \"0.0.0.0:1\"\ntransports = [\"quic\"]", (3, 15), "\"quic\"", transports);
    refused("[limits]\nover_total = \"shap\"", (2, 14), "\"shap\"", "did you mean \"shape\"?");
}

#[test]
fn a_network_that_is_none_is_refused() {
    let deny = |entry: &str| format!("[relay.peers]\ndeny = [\"{entry}\"]");
    refused(&deny("10.0.0.0/33"), (2, 9), "is not a network", "the prefix of an IPv4 network is 0 to 32");
    refused(&deny("fd00::/129"), (2, 9), "is not a network", "the prefix of an IPv6 network is 0 to 128");
    refused(&deny("recomended"), (2, 9), "is not a network", "did you mean \"recommended\"?");
    let host_bits = "for the network write \"10.0.0.0/8\", for the host \"10.1.2.3\"";
    refused(&deny("10.1.2.3/8"), (2, 9), "bits set behind its prefix", host_bits);
    refused(
        "[relay.peers]\nallow = [\"10.0.0.0/8\", \"10.0.0\"]",
        (2, 24),
        "`relay.peers.allow[1]`: \"10.0.0\" is not a network",
        "write CIDR, such as \"10.0.0.0/8\", or a single address",
    );
    let both = "`relay.peers.deny` has both \"recommended\" and \"none\"";
    refused("[relay.peers]\ndeny = [\"recommended\", \"none\"]", (2, 8), both, "delete one of them");
}

#[test]
fn a_range_of_ports_that_is_none_is_refused() {
    let ports = |range: &str| format!("[relay]\nports = \"{range}\"");
    refused(&ports("65535-49152"), (2, 9), "is not a range of ports", "did you mean \"49152-65535\"?");
    let help = "write first and last port, 1 to 65535: \"49152-65535\"";
    refused(&ports("1-65536"), (2, 9), "is not a range of ports", help);
    refused(&ports("0-10"), (2, 9), "not a range", "port 0 does not exist: the first port is at least 1");
}

#[test]
fn a_quantity_without_unit_is_refused() {
    refused("[server]\ndrain_timeout = \"30\"", (2, 17), "\"30\" has no unit", "for seconds write \"30s\"");
    let sizes = "units are B, kB, KiB, MB, MiB, GB, GiB";
    refused("[relay]\nsend_buffer = \"5 potatoes\"", (2, 15), "is not a size", sizes);
    refused(
        "[limits]\nnew_peers_per_second = \"50\"",
        (2, 24),
        "is not a rate",
        "it has no unit: write \"50/s\"",
    );
    let bits = "bytes? Rates are in bits: write \"32 Mbit/s\"";
    refused("[limits]\nbandwidth_total = \"4 MB/s\"", (2, 19), "is not a bit rate", bits);
}

#[test]
fn figures_out_of_range_are_refused_with_the_range() {
    refused("[relay]\nmax_lifetime = \"2h\"", (2, 16), "out of range", "write \"10m\" to \"1h\"");
    refused("[relay]\nmax_lifetime = \"9m\"", (2, 16), "out of range", "write \"10m\" to \"1h\"");
    refused("[relay]\nreceive_buffer = \"1B\"", (2, 18), "out of range", "write \"4KiB\" to \"64MiB\"");
    let both = "raise max_ttl, or lower ttl";
    refused_as_is(
        &with_auth("").replace("[auth]\n", "[auth]\nttl = \"25h\"\n"),
        (3, 7),
        "longer than `auth.max_ttl`",
        both,
    );
}

#[test]
fn a_limit_of_bandwidth_is_off_or_a_rate_that_something_fits_through() {
    let range = "write \"8 kbit/s\" to \"10000 Gbit/s\", or \"off\" for no limit";
    for key in ["bandwidth_per_allocation", "bandwidth_per_user", "bandwidth_total"] {
        for rate in ["0 Mbit/s", "7 kbit/s", "20000 Gbit/s"] {
            let at = (2, key.len() + 4);
            refused(&format!("[limits]\n{key} = \"{rate}\""), at, "is not a bit rate", range);
        }
        let loaded = accept(&with_auth(&format!("[limits]\n{key} = \"off\"")));
        assert_eq!(
            (loaded.warnings.len(), bandwidth::settings(&loaded.config.limits)),
            (0, Bandwidth::default())
        );
    }
}

#[test]
fn a_limit_of_bandwidth_without_effect_is_warned_of() {
    let warned = |lines: &str| {
        let warnings = accept(&with_auth(&format!("[limits]\n{lines}"))).warnings;
        warnings.into_iter().map(|found| found.key.unwrap_or_default()).collect::<Vec<_>>()
    };
    let limits = "bandwidth_per_allocation = \"4 Mbit/s\"\nbandwidth_per_user = \"8 Mbit/s\"\n\
                  bandwidth_total = \"1 Gbit/s\"\nover_total = \"refuse\"";
    assert!(warned(limits).is_empty());
    assert_eq!(warned(&limits.replace("8 M", "3 M")), ["limits.bandwidth_per_allocation"]);
    assert_eq!(
        warned(&limits.replace("1 G", "1 M")),
        ["limits.bandwidth_per_allocation", "limits.bandwidth_per_user"]
    );
    assert_eq!(
        warned("bandwidth_per_allocation = \"1 Mbit/s\"\nover_total = \"refuse\""),
        ["limits.over_total"]
    );
    assert!(warned("over_total = \"shape\"").is_empty());
}

#[test]
fn a_listener_needs_an_address_with_port() {
    let listen = |address: &str| format!("[[listen]]\naddress = \"{address}\"\ntransports = [\"udp\"]");
    let brackets = |example: &str| format!("add one, such as \"{example}\" (an IPv6 address wears brackets)");
    refused(&listen("10.0.0.1"), (2, 11), "has no port", &brackets("10.0.0.1:3478"));
    refused(&listen("::1"), (2, 11), "has no port", &brackets("[::1]:3478"));
    let every = "for every address write \"0.0.0.0:3478\" and \"[::]:3478\"";
    refused(&listen(":3478"), (2, 11), "has no address", every);
    let range = "write an IP address and a port from 1 to 65535, such as \"0.0.0.0:3478\"";
    refused(&listen("0.0.0.0:70000"), (2, 11), "is not an address with port", range);
    let name =
        "host names are not looked up here: write an IP address, such as \"0.0.0.0:3478\" or \"[::]:3478\"";
    refused(&listen("turn.example.org:3478"), (2, 11), "is not an address", name);
    refused(&listen("0.0.0.0:0"), (2, 11), "clients cannot find port 0", "write a port, usually 3478");
    let add = "add address = \"0.0.0.0:3478\"";
    refused("[[listen]]\ntransports = [\"udp\"]", (1, 1), "needs an `address`", add);
    let empty = "write transports = [\"udp\"], or delete the whole [[listen]]";
    refused("[[listen]]\naddress = \"0.0.0.0:1\"\ntransports = []", (3, 14), "is empty", empty);
    let none = "delete the line: the default is port 3478";
    refused("listen = []", (1, 10), "no listener is left", none);
}

#[test]
fn the_same_door_twice_is_refused() {
    let one = "[[listen]]\naddress = \"0.0.0.0:3478\"\ntransports = [\"udp\"]\n";
    let help = "delete one of them, or change its port";
    refused(
        &format!("{one}{one}"),
        (6, 15),
        "udp on 0.0.0.0:3478 is already taken by `listen[0].transports[0]`",
        help,
    );
    refused(
        "[[listen]]\naddress = \"127.0.0.1:80\"\ntransports = [\"tls\"]\n[http]\nadmin = \"127.0.0.1:80\"",
        (5, 9),
        "`http.admin`: 127.0.0.1:80 is already taken by `listen[0].transports[0]`",
        "give each its own port",
    );
    refused(
        "[http]\npublic = \"127.0.0.1:80\"\nadmin = \"127.0.0.1:80\"",
        (3, 9),
        "already taken by `http.public`",
        "give each its own port",
    );
    // Another transport, or another address, is another door.
    accept(&with_auth(&format!("{one}{}", one.replace("udp", "tcp"))));
    accept(&with_auth(&format!("{one}{}", one.replace("0.0.0.0", "[::]"))));
}

#[test]
fn an_origin_is_what_browsers_send() {
    let exact = |meant: &str| format!("browsers send it as \"{meant}\": write that");
    refused(
        "[signaling]\norigins = [\"https://a.example\", \"https://app.example/\"]",
        (2, 33),
        "`signaling.origins[1]`: \"https://app.example/\" is not an origin",
        &exact("https://app.example"),
    );
    refused(
        "[signaling]\norigins = [\"app.example\"]",
        (2, 12),
        "not an origin",
        &exact("https://app.example"),
    );
    refused(
        "[signaling]\norigins = [\"https://a.example\", \"*\"]",
        (2, 33),
        "\"*\" already means every origin",
        "write either [\"*\"] or the origins",
    );
    refused(
        "[signaling]\norigins = [\"http://a.example\", \"http://a.example\"]",
        (2, 32),
        "http://a.example is there twice",
        "delete one of them",
    );
}

#[test]
fn a_mount_path_is_a_path_of_nobody_else() {
    let paths = |paths: &str| format!("[signaling]\nsocketio_paths = [{paths}]");
    let slash = "it begins with a slash: \"/socket.io/\"";
    refused(&paths("\"socket.io\""), (2, 19), "\"socket.io\" is not a path", slash);
    let other = "choose another: \"/socket.io/\"";
    refused(&paths("\"/a\", \"/ws/\""), (2, 25), "/ws is a path of this server itself", other);
    let twice = "delete one of them";
    refused(&paths("\"/a\", \"/a/\""), (2, 25), "\"/a/\" is \"/a\" once more", twice);
    let many: Vec<_> = (0..17).map(|n| format!("\"/{n}\"")).collect();
    refused(&paths(&many.join(",")), (2, 18), "has 17 paths", "16 at most");
    accept(&with_auth(&paths(&many[..16].join(","))));
}

#[test] // RFC 5780 section 6
fn an_alternate_needs_a_second_address_and_a_second_port() {
    let pair = |address: &str, alternate: &str| {
        format!("[[listen]]\naddress = \"{address}\"\ntransports = [\"udp\"]\nalternate = \"{alternate}\"\n")
    };
    let second = "write a second address of this host with a second port, such as \"203.0.113.5:3479\"";
    for (address, alternate, message) in [
        ("10.0.0.4:3478", "10.0.0.4:3479", "10.0.0.4 is the address of the listener itself"),
        ("10.0.0.4:3478", "10.0.0.5:3478", "3478 is the port of the listener itself"),
        ("10.0.0.4:3478", "[2001:db8::1]:3479", "of two address families"),
        ("10.0.0.4:3478", "10.0.0.5:0", "clients cannot find port 0"),
        ("10.0.0.4:3478", "224.0.0.1:3479", "224.0.0.1 is not the address of a host"),
    ] {
        refused(&pair(address, alternate), (4, 13), message, second);
    }
    let single = "write one address of this host in `address`, and another one in `alternate`";
    for (address, alternate) in [("0.0.0.0:3478", "10.0.0.5:3479"), ("10.0.0.4:3478", "0.0.0.0:3479")] {
        refused(&pair(address, alternate), (4, 13), "0.0.0.0 means every one", single);
    }
    refused(
        &pair("10.0.0.4:3478", "10.0.0.5:3479").replace("udp", "tcp"),
        (4, 13),
        "NAT discovery is done over udp",
        "add \"udp\" to `transports`, or delete the line",
    );
    refused(
        &format!("{}{}", pair("10.0.0.4:3478", "10.0.0.5:3479"), pair("10.0.0.5:3478", "10.0.0.6:3480")),
        (4, 13),
        "udp on 10.0.0.5:3478 is already taken by `listen[1].transports[0]`",
        "NAT discovery opens both ports on both addresses; change one of them",
    );
    let loaded = accept(&with_auth(&pair("10.0.0.4:3478", "10.0.0.5:3479")));
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    accept(&with_auth(&pair("[2001:db8::1]:3478", "[2001:db8::2]:3479")));
}

#[test]
fn relay_and_public_addresses_must_be_addresses_of_a_host() {
    let host = "write an address of this host, or \"auto\"";
    refused("[relay]\naddresses = [\"0.0.0.0\"]", (2, 14), "cannot be a relay address", host);
    let auto = "write either [\"auto\"] or the addresses";
    refused("[relay]\naddresses = [\"auto\", \"10.0.0.1\"]", (2, 13), "every address", auto);
    refused("[relay]\naddresses = [\"::1\", \"::1\"]", (2, 21), "is there twice", "delete one of them");
    refused(
        "[server]\npublic_address = \"203.0.113.4:3478\"",
        (2, 18),
        "is not an IP address",
        "no port here: write \"203.0.113.4\"",
    );
    let families = "a 1:1 NAT maps IPv4 to IPv4 and IPv6 to IPv6";
    refused(
        "[server]\npublic_address = { external = \"203.0.113.4\", internal = \"::1\" }",
        (2, 18),
        "mixes address families",
        families,
    );
    let pair = "write { external = \"203.0.113.4\", internal = \"10.0.0.4\" }";
    refused("[server]\npublic_address = { internal = \"10.0.0.4\" }", (2, 18), "has no `external`", pair);
}
