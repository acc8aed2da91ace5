//! The profile of ufw, the example for nftables and the profile of AppArmor, by the programs that load them.

use crate::daemon::{Folder, PATIENCE, run_to_end};
use crate::manual::settings::SHIPPED;
use crate::tool::{clean, file, is_root, tool};
use std::path::Path;

/// Value of a default of the shipped config.
fn default(key: &str) -> &'static str {
    let line = SHIPPED.lines().find_map(|line| line.strip_prefix(&format!("# {key} = \""))).unwrap();
    line.trim_end_matches('"')
}

fn port_of(address: &str) -> &str {
    address.rsplit_once(':').unwrap().1
}

#[test]
fn firewalls_open_the_default_ports_and_not_those_of_plain_http() {
    let (ufw, nft) = (file("packaging/ufw"), file("packaging/turnstone.nft"));
    let (turn, relay) = (port_of(default("address")), default("ports"));
    assert_eq!((turn, relay), ("3478", "49152-65535"));
    assert!(ufw.contains(&format!("ports={turn}|{}/udp\n", relay.replace('-', ":"))), "{ufw}");
    assert!(
        nft.contains(&format!("define turn = {turn}\n"))
            && nft.contains(&format!("define relay = {relay}\n"))
    );
    for plain in [default("public"), default("admin")].map(port_of) {
        assert!(!ufw.contains(plain) && !nft.contains(plain), "{plain} is open");
    }
}

#[test]
fn ufw_knows_the_profile_and_makes_rules_of_it() {
    let test = "admin_files::firewall::ufw_knows_the_profile_and_makes_rules_of_it";
    if !is_root(test) || tool(test, "ufw", "ufw").is_none() {
        return;
    }
    let folder = Folder::new();
    folder.write("turnstone", &file("packaging/ufw"));
    // A mount namespace of its own: this machine keeps its profiles, and a dry run its rules.
    let script = "mount --bind \"$1\" /etc/ufw/applications.d
        for name in Turnstone 'Turnstone TLS' 'Turnstone TCP Relay'; do
            ufw app info \"$name\" && ufw --dry-run allow \"$name\" | grep -- '-p [a-z]* .*dport'
        done";
    let mut unshare = tool(test, "unshare", "util-linux").unwrap();
    let said = run_to_end(unshare.args(["-m", "sh", "-ec", script, "sh"]).arg(folder.path()), PATIENCE);
    assert_eq!(said.code, 0, "{} {}", said.stdout, said.stderr);
    let rules: Vec<_> = said.stdout.lines().filter(|line| line.contains("ufw-user-input")).collect();
    let has = |rule: &str| rules.iter().any(|line| line.contains(rule));
    assert!(
        has("-p udp --dport 3478 ") && has("-p tcp --dport 3478 ") && has("-p tcp --dport 443 "),
        "{rules:?}"
    );
    let relay = ["udp", "tcp"].map(|protocol| format!("-p {protocol} -m multiport --dports 49152:65535 "));
    assert!(relay.iter().all(|rule| has(rule)), "{rules:?}");
}

#[test]
fn nft_loads_the_example_twice_and_has_it_once() {
    let test = "admin_files::firewall::nft_loads_the_example_twice_and_has_it_once";
    if !is_root(test) || tool(test, "nft", "nftables").is_none() {
        return;
    }
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/turnstone.nft");
    clean(tool(test, "nft", "nftables").unwrap().args(["-c", "-f"]).arg(&example));
    let script = "nft -f \"$1\"; nft -f \"$1\"; nft -n list ruleset";
    let mut unshare = tool(test, "unshare", "util-linux").unwrap();
    let rules = clean(unshare.args(["-n", "sh", "-ec", script, "sh"]).arg(&example)).stdout;
    for rule in
        ["udp dport 3478 accept", "tcp dport 3478 accept", "udp dport 49152-65535 accept", "policy drop"]
    {
        assert_eq!(rules.matches(rule).count(), 1, "{rule} in {rules}");
    }
}

#[test]
fn the_commented_part_of_the_nft_example_is_right_too() {
    let test = "admin_files::firewall::the_commented_part_of_the_nft_example_is_right_too";
    if !is_root(test) || tool(test, "nft", "nftables").is_none() {
        return;
    }
    let is_rule =
        |rest: &&str| rest.starts_with(['\t', '}']) || ["tcp ", "chain "].iter().any(|w| rest.starts_with(w));
    let line = |line: &str| {
        let rule = line.trim_start().strip_prefix("# ").filter(is_rule).unwrap_or(line);
        // The user of the package need not be on this machine.
        rule.replace("skuid turnstone", "skuid 1") + "\n"
    };
    let example = file("packaging/turnstone.nft");
    let all: String = example.lines().map(line).collect();
    assert!(all.contains("\ntcp dport $relay accept") && all.contains("\nchain output {"), "{all}");
    let folder = Folder::new();
    let path = folder.write("all.nft", &all);
    clean(tool(test, "nft", "nftables").unwrap().args(["-c", "-f"]).arg(path));
}

#[test]
fn apparmor_takes_the_profile_and_only_complains() {
    let test = "admin_files::firewall::apparmor_takes_the_profile_and_only_complains";
    let Some(mut parser) = tool(test, "apparmor_parser", "apparmor") else { return };
    let profile = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/apparmor");
    // Neither loaded into the kernel nor read from a cache.
    let said = run_to_end(parser.args(["-Q", "-K"]).arg(&profile), PATIENCE);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let mut parser = tool(test, "apparmor_parser", "apparmor").unwrap();
    let names = run_to_end(parser.arg("-N").arg(&profile), PATIENCE).stdout;
    assert_eq!(names, "turnstone\n");
    assert!(file("packaging/apparmor").contains("profile turnstone /usr/bin/turnstone flags=(complain) {"));
}
