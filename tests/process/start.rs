//! What stops the daemon before it serves: one line that names the key and what to do.

use crate::daemon::{Config, Daemon, Folder, PATIENCE, free_port, loopback, run_to_end, verb};
use crate::skip::skip;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

#[track_caller]
fn refused(config: &Config, key: &str, what: &str) {
    let ended = verb(&["run"], &config.text());
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    let errors: Vec<&str> = ended.stderr.lines().filter(|line| line.contains("ERROR")).collect();
    let [line] = errors[..] else { panic!("one line: {}", ended.stderr) };
    assert!(line.contains(&format!("{key}: ")) && line.contains(what), "{line}");
}

#[test]
fn a_taken_port_is_named_with_its_key() {
    let config = Config::default();
    let _holder = UdpSocket::bind(config.listen[0]).unwrap();
    refused(&config, "listen.address", "in use by another process");
}

#[test]
fn a_second_daemon_does_not_share_the_port_of_the_first() {
    let first = Config::default();
    let _running = Daemon::start(&first);
    let second = Config { listen: first.listen.clone(), ..Config::default() };
    refused(&second, "listen.address", "in use by another process");
}

#[test]
fn a_taken_admin_port_is_named_with_its_key() {
    let config = Config::default();
    let _holder = TcpListener::bind(config.admin).unwrap();
    refused(&config, "http.admin", "in use by another process");
}

#[test]
fn addresses_of_another_host_are_named_with_their_keys() {
    let elsewhere: SocketAddr = "192.0.2.77:3478".parse().unwrap();
    refused(&Config::default().listen(&[elsewhere]), "listen.address", "not an address of this host");
    refused(
        &Config::default().relay_addresses("\"192.0.2.77\""),
        "relay.addresses",
        "not an address of this host",
    );
}

#[test]
fn a_privileged_port_without_the_right_to_it_is_named_with_what_to_do() {
    let config = Config::default().listen(&[loopback(1)]);
    let folder = Folder::new();
    let path = folder.write("turnstone.toml", &config.text());
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    // The binary lies where only its owner may look, so a copy goes along.
    let binary = folder.path().join("turnstone");
    std::fs::copy(crate::daemon::BINARY, &binary).unwrap();
    let is_root =
        std::fs::metadata("/proc/self").is_ok_and(|proc| std::os::unix::fs::MetadataExt::uid(&proc) == 0);
    let mut command = match is_root {
        true => {
            let mut command = Command::new("setpriv");
            command
                .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all"])
                .arg(&binary);
            command
        }
        false => Command::new(&binary),
    };
    if is_root && Command::new("setpriv").arg("--version").output().is_err() {
        return skip("a_privileged_port", "setpriv is not installed");
    }
    let first_free: u16 = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(1024);
    if first_free <= 1 {
        return skip("a_privileged_port", "this machine has no privileged ports");
    }
    let ended = run_to_end(command.args(["run", "--config"]).arg(&path), PATIENCE);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("listen.address: no permission to bind 127.0.0.1:1"), "{}", ended.stderr);
    assert!(ended.stderr.contains("CAP_NET_BIND_SERVICE"), "{}", ended.stderr);
}

#[test]
fn a_bad_config_ends_with_2_and_says_everything_at_once() {
    let config = Config {
        relay: "ports = \"9-8\"\n".into(),
        limits: "allocation_per_user = 1\n".into(),
        ..Config::default()
    };
    for verb_name in ["run", "check-config"] {
        let ended = verb(&[verb_name], &config.text());
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(
            ended.stderr.contains("relay.ports") && ended.stderr.contains("allocations_per_user"),
            "{}",
            ended.stderr
        );
        assert!(ended.stderr.contains("^"), "{}", ended.stderr);
    }
    let missing = run_to_end(
        Command::new(crate::daemon::BINARY).args(["run", "--config", "/nonexistent.toml"]),
        PATIENCE,
    );
    assert_eq!(missing.code, 2);
    assert!(missing.stderr.contains("/nonexistent.toml"), "{}", missing.stderr);
}

#[test]
fn health_readiness_and_metrics_answer_and_stay_below_600_series() {
    let daemon = Daemon::start(&Config::default());
    assert_eq!(daemon.get("/healthz").0, 200);
    assert_eq!(daemon.get("/readyz").0, 200);
    assert_eq!(daemon.get("/nothing").0, 404);
    let metrics = daemon.metrics();
    assert!(metrics.len() < 600, "{}", metrics.len());
    for zero in [
        "turnstone_allocations{transport=\"udp\",family=\"ipv6\"}",
        "turnstone_dropped_packets_total{reason=\"no_permission\"}",
        "turnstone_stun_responses_total{method=\"allocate\",code=\"486\"}",
        "turnstone_draining",
    ] {
        assert_eq!(metrics.get(zero), 0.0, "{zero} is there before it is used");
    }
    assert_eq!(metrics.get("turnstone_relay_ports{state=\"free\"}"), 400.0);
}

#[test]
fn the_example_on_loopback_passes_check_config_and_run() {
    let example = include_str!("../vectors/loopback.toml");
    let folder = Folder::new();
    let text = example.replace("{DIR}", &folder.path().display().to_string());
    let ended = verb(&["check-config"], &text);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("worst-case memory") && ended.stdout.contains("2.0 x"), "{}", ended.stdout);
    let ended = verb(&["check-config", "--print-effective"], &text);
    assert!(ended.stdout.contains("secrets = [\"********\"]") && !ended.stdout.contains("a-secret-of"));
    let ended = verb(&["check-config", "--json"], &text);
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report["ok"], true);
    // Its ports are fixed, so `run` gets others.
    let text = text.replace("34780", &free_port().to_string()).replace("34809", &free_port().to_string());
    let admin: SocketAddr =
        text.split("admin = \"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap();
    let path = folder.write("example.toml", &text);
    let mut child = Command::new(crate::daemon::BINARY)
        .args(["run", "--config"])
        .arg(path)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    crate::daemon::eventually(PATIENCE, "the example serves", || {
        crate::daemon::http_get(admin, "/readyz").filter(|(status, _)| *status == 200)
    });
    crate::daemon::send_signal(&child, libc::SIGTERM);
    assert_eq!(crate::daemon::wait(&mut child, PATIENCE).and_then(|status| status.code()), Some(0));
}
