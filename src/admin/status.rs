//! `turnstone status`: how the daemon is, on one screen.

use super::client::{Client, Failure};
use super::text::{bit_rate, bytes, cut, say, span, wrapped};
use super::{field, print_json};
use crate::base::Exit;
use clap::Args;
use serde_json::Value;
use std::time::Duration;

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Columns behind the names.
const WIDTH: usize = 66;

/// Carries the verb out.
pub(super) fn status(client: &Client, args: &StatusArgs) -> Result<Exit, Failure> {
    let status = client.get("/v1/status")?;
    if args.json {
        print_json(&status)?;
    } else {
        say(&text(&status))?;
    }
    Ok(Exit::Ok)
}

fn text(status: &Value) -> String {
    let mut out = format!(
        "turnstone {}, up {}, {}\n",
        field(status, "version"),
        span(Duration::from_secs(number(&status["uptime_s"]))),
        field(status, "state")
    );
    for reason in list(&status["reasons"]) {
        lines(&mut out, "not ready", &field(reason, "message"));
    }
    let ports = &status["ports"];
    let [used, free, resting] = ["used", "free", "quarantined"].map(|state| field(ports, state));
    let sessions =
        format!("{} sessions; ports: {used} used, {free} free, {resting} resting", field(status, "sessions"));
    line(&mut out, "relay", &sessions);
    let traffic = &status["traffic"];
    for (name, way) in [("from clients", "from_client"), ("from peers", "from_peer")] {
        let rate = bit_rate(number(&traffic[format!("rate_{way}_bps")]));
        let all = bytes(number(&traffic[format!("bytes_{way}")]));
        line(&mut out, name, &format!("{rate}, {all} since the start"));
    }
    line(&mut out, "dropped", &format!("{} packets", field(traffic, "dropped_packets")));
    for drop in list(&status["drops"]) {
        line(&mut out, "", &format!("{} {}", field(drop, "total"), field(drop, "title")));
    }
    for failure in list(&status["failures"]) {
        let [total, lately, title] = ["total", "last_minute", "title"].map(|what| field(failure, what));
        line(&mut out, "refused", &format!("{total} ({lately} in the last minute) {title}"));
    }
    for door in list(&status["doors"]) {
        line(&mut out, "door", &format!("{} {}", field(door, "transport"), field(door, "address")));
    }
    for side in ["public", "admin"] {
        let address = field(&status["http"], side);
        if !address.is_empty() {
            line(&mut out, "door", &format!("http.{side} {address}"));
        }
    }
    line(&mut out, "signaling", &signaling(&status["signaling"]));
    lines(&mut out, "storage", &storage(&status["storage"]));
    for certificate in list(&status["certificates"]) {
        line(&mut out, "certificate", &self::certificate(certificate));
    }
    let reload = &status["reload"];
    let word = match reload["successful"].as_bool() {
        Some(false) => "the last reload failed; in force since",
        _ => "in force since",
    };
    line(&mut out, "config", &format!("{word} {}", field(reload, "last_success_at")));
    for worker in list(&status["workers"]).filter(|worker| worker["stalled"] == true) {
        line(&mut out, "worker", &format!("{} makes no progress", field(worker, "worker")));
    }
    out
}

fn line(out: &mut String, name: &str, text: &str) {
    *out += &format!("{name:<13} {}\n", cut(text, WIDTH));
}

/// All of a text, on as many lines as it takes.
fn lines(out: &mut String, name: &str, text: &str) {
    let mut name = name;
    for line in wrapped(text, WIDTH) {
        *out += &format!("{name:<13} {line}\n");
        name = "";
    }
}

fn signaling(signaling: &Value) -> String {
    match signaling["enabled"].as_bool() {
        Some(true) => {
            let [sessions, connections, rooms, calls] =
                ["sessions", "connections", "rooms", "calls"].map(|what| field(signaling, what));
            format!("{sessions} sessions, {connections} connections, {rooms} rooms, {calls} calls")
        }
        _ => "off".into(),
    }
}

fn storage(storage: &Value) -> String {
    match storage["ok"].as_bool() {
        Some(true) => {
            let records: u64 =
                storage["records"].as_object().into_iter().flatten().map(|(_, n)| number(n)).sum();
            let damaged = match number(&storage["damaged_records"]) {
                0 => String::new(),
                damaged => format!(", {damaged} damaged ones set aside"),
            };
            format!("ok, {records} records, {}{damaged}", bytes(number(&storage["bytes_on_disk"])))
        }
        _ => field(storage, "message"),
    }
}

/// Name, end and source of a certificate in one line.
pub(super) fn certificate(certificate: &Value) -> String {
    let end = field(certificate, "expires_at");
    let days = number(&certificate["expires_in_s"]) / 86_400;
    format!("{} until {end} ({days} days)", field(certificate, "name"))
}

pub(super) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub(super) fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn one_screen_says_how_the_daemon_is() {
        let status = json!({
            "version": "1.2.3", "state": "draining", "uptime_s": 7380, "sessions": 12,
            "reasons": [{ "code": "draining", "message": "new allocations are refused" }],
            "ports": { "used": 12, "free": 100, "quarantined": 3 },
            "traffic": {
                "rate_from_client_bps": 4_200_000, "rate_from_peer_bps": 8, "bytes_from_client": 1_230_000_000_u64,
                "bytes_from_peer": 999, "dropped_packets": 5
            },
            "drops": [{ "reason": "too_big", "title": "Too long for a datagram", "total": 5 }],
            "failures": [{ "title": "Wrong password", "last_minute": 2, "total": 75, "what_to_do": "see" }],
            "doors": [{ "transport": "udp", "address": "192.0.2.1:3478" }],
            "http": { "public": null, "admin": "127.0.0.1:9640" },
            "signaling": { "enabled": true, "sessions": 3, "connections": 2, "rooms": 1, "calls": 0 },
            "storage": { "ok": false, "message": "storage takes no more writes: the disk is full" },
            "certificates": [
                { "name": "turn.example.org", "expires_at": "2027-02-19T12:00:00Z", "expires_in_s": 7_776_000 }
            ],
            "reload": { "successful": false, "last_success_at": "2026-11-21T12:00:00Z" },
            "workers": [{ "worker": 0, "stalled": false }, { "worker": 1, "stalled": true }],
        });
        let expected = "\
turnstone 1.2.3, up 2h 03m, draining
not ready     new allocations are refused
relay         12 sessions; ports: 12 used, 100 free, 3 resting
from clients  4.20 Mbit/s, 1.23 GB since the start
from peers    8 bit/s, 999 B since the start
dropped       5 packets
              5 Too long for a datagram
refused       75 (2 in the last minute) Wrong password
door          udp 192.0.2.1:3478
door          http.admin 127.0.0.1:9640
signaling     3 sessions, 2 connections, 1 rooms, 0 calls
storage       storage takes no more writes: the disk is full
certificate   turn.example.org until 2027-02-19T12:00:00Z (90 days)
config        the last reload failed; in force since 2026-11-21T12:00:00Z
worker        1 makes no progress
";
        assert_eq!(text(&status), expected);
        let damage = "the store in /var/lib/turnstone/store has lost something: 1200 of 1300 records in calls are \
                      there; stop the daemon and run `turnstone restore FILE` with a backup";
        let status = json!({
            "reasons": [{ "message": damage }], "storage": { "ok": false, "message": damage }
        });
        let page = text(&status);
        for name in ["not ready", "storage"] {
            let told = format!(
                "{name:<13} the store in /var/lib/turnstone/store has lost something: 1200 of\n\
                 {0:<13} 1300 records in calls are there; stop the daemon and run\n\
                 {0:<13} `turnstone restore FILE` with a backup\n",
                ""
            );
            assert!(page.contains(&told), "{page}");
        }
        // A daemon of another version may leave anything out.
        assert!(text(&Value::Null).lines().count() > 4);
    }
}
