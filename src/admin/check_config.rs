//! `turnstone check-config`: is this file good, what does it mean, and what can it cost?

use super::client::Failure;
use super::print_json;
use super::text::say;
use crate::base::Exit;
use crate::config::{self, Challenge, Config, Finding, Loaded, MemoryRow, MemorySum};
use clap::Args;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::path::Path;

#[derive(Debug, Args)]
pub struct CheckConfigArgs {
    /// Print the whole config with every value in effect, secrets as stars.
    #[arg(long)]
    print_effective: bool,
    /// Print JSON: errors, warnings, memory and the size of a challenge.
    #[arg(long)]
    json: bool,
}

/// Checks the config at `path` and the files that it names; opens no socket and asks no host.
pub(super) fn check_config(path: &Path, args: &CheckConfigArgs) -> Result<Exit, Failure> {
    let result = config::load(path, config::environment()).and_then(Loaded::with_certificates);
    if args.json {
        print_json(&report(&result))?;
        return Ok(if result.is_ok() { Exit::Ok } else { Exit::Usage });
    }
    let color = io::stderr().is_terminal();
    match result {
        Err(errors) => {
            eprint!("{}", errors.render(color));
            print_warnings(errors.warnings(), color);
            let count = errors.errors().len();
            eprintln!("\n{count} {}", if count == 1 { "error" } else { "errors" });
            Ok(Exit::Usage)
        }
        Ok(loaded) => {
            print_warnings(&loaded.warnings, color);
            if args.print_effective {
                say(&loaded.config.effective())?;
            } else {
                say(&summary(path, &loaded.config))?;
            }
            Ok(Exit::Ok)
        }
    }
}

fn print_warnings(warnings: &[Finding], color: bool) {
    for warning in warnings {
        eprintln!("{}", warning.render(color).trim_end());
    }
}

fn summary(path: &Path, config: &Config) -> String {
    let mut out = String::new();
    let memory = config.worst_case_memory();
    _ = writeln!(out, "worst-case memory:");
    for MemoryRow { name, count, bytes_each, bounded_by, in_kernel } in &memory.rows {
        let whose = if *in_kernel { "kernel" } else { "process" };
        let bytes = count.saturating_mul(*bytes_each);
        let (each, bytes) = (size(*bytes_each), size(bytes));
        let line = format!("  {name:<18} {count:>8} x {each:>10} = {bytes:>10}  {whose:<8} {bounded_by}");
        _ = writeln!(out, "{}", line.trim_end());
    }
    _ = writeln!(out, "  {:<42} {:>10}  process", "sum", size(memory.process_bytes()));
    _ = writeln!(out, "  {:<42} {:>10}  kernel, as buffers fill", "", size(memory.kernel_bytes()));
    _ = writeln!(out, "  (what clients could fill on purpose, all at once; the keys on the right bound it)");
    let challenge = config.challenge();
    _ = writeln!(
        out,
        "challenge to a stranger: {} bytes for {}, {:.1} x (realm {:?})",
        challenge.reply_bytes,
        challenge.request_bytes,
        challenge.factor(),
        config.server.realm
    );
    if let Some(answer) = config.discovery_answer() {
        _ = writeln!(
            out,
            "NAT discovery to a stranger: {} bytes for {}, {:.1} x (listen.alternate)",
            answer.reply_bytes,
            answer.request_bytes,
            answer.factor()
        );
    }
    signaling_summary(&mut out, config);
    _ = writeln!(out, "{}: ok", path.display());
    out
}

fn signaling_summary(out: &mut String, config: &Config) {
    match config.signaling_urls() {
        None => *out += "signaling: off\n",
        Some(_) if !config.auth.jwt.names_a_key() => {
            *out += "signaling: nobody gets in, since [auth.jwt] names no key to judge tokens by\n";
        }
        Some(urls) => {
            *out += "signaling:\n";
            urls.socket_io.iter().for_each(|url| *out += &format!("  Socket.IO        {url}\n"));
            urls.plain.iter().for_each(|url| *out += &format!("  plain WebSocket  {url}\n"));
        }
    }
}

/// The stable form for scripts.
fn report(result: &Result<Loaded, config::ConfigErrors>) -> Value {
    let list = |findings: &[Finding]| findings.iter().map(finding).collect::<Vec<_>>();
    match result {
        Err(errors) => {
            json!({ "ok": false, "errors": list(errors.errors()), "warnings": list(errors.warnings()) })
        }
        Ok(loaded) => {
            json!({
                "ok": true,
                "errors": [],
                "warnings": list(&loaded.warnings),
                "memory": memory(&loaded.config.worst_case_memory()),
                "challenge": answer(&loaded.config.challenge()),
                "signaling": signaling(&loaded.config),
                "nat_discovery": loaded.config.discovery_answer().as_ref().map(answer),
            })
        }
    }
}

fn signaling(config: &Config) -> Value {
    let urls = config.signaling_urls();
    let of = |urls: Option<Vec<String>>| urls.unwrap_or_default();
    json!({
        "enabled": urls.is_some(),
        "lets_clients_in": urls.is_some() && config.auth.jwt.names_a_key(),
        "socket_io": of(urls.as_ref().map(|urls| urls.socket_io.clone())),
        "plain": of(urls.map(|urls| urls.plain)),
    })
}

fn answer(answer: &Challenge) -> Value {
    json!({
        "request_bytes": answer.request_bytes,
        "reply_bytes": answer.reply_bytes,
        "factor": answer.factor(),
    })
}

fn finding(finding: &Finding) -> Value {
    json!({
        "file": finding.file,
        "line": finding.at.map(|at| at.line),
        "column": finding.at.map(|at| at.column),
        "key": finding.key,
        "message": finding.message,
        "help": finding.help,
    })
}

fn memory(sum: &MemorySum) -> Value {
    let row = |row: &MemoryRow| {
        json!({
            "name": row.name,
            "count": row.count,
            "bytes_each": row.bytes_each,
            "bytes": row.bytes(),
            "bounded_by": row.bounded_by,
            "kernel": row.in_kernel,
        })
    };
    json!({
        "rows": sum.rows.iter().map(row).collect::<Vec<_>>(),
        "process_bytes": sum.process_bytes(),
        "kernel_bytes": sum.kernel_bytes(),
    })
}

/// Bytes for people, with a binary unit.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_a_unit_and_one_digit() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(3 << 10), "3.0 KiB");
        assert_eq!(size((2 << 30) + (1 << 29)), "2.5 GiB");
    }

    #[test]
    fn the_report_has_what_nat_discovery_gives_a_stranger() {
        let text = |alternate| {
            format!(
                "[[listen]]\naddress = \"10.0.0.4:3478\"\n{alternate}\n[auth.users]\nbob = \"a-long-password\""
            )
        };
        let without = report(&config::parse("t.toml", &text(""), []));
        assert_eq!((&without["ok"], &without["nat_discovery"]), (&json!(true), &Value::Null));
        let with = report(&config::parse("t.toml", &text("alternate = \"10.0.0.5:3479\""), []));
        assert_eq!(with["nat_discovery"], json!({ "request_bytes": 20, "reply_bytes": 68, "factor": 3.4 }));
        let listeners = |report: &Value| {
            report["memory"]["rows"]
                .as_array()
                .and_then(|rows| rows.iter().find(|row| row["name"] == "UDP listeners")?["count"].as_u64())
        };
        assert_eq!(listeners(&with), listeners(&without).map(|count| 4 * count));
    }

    #[test]
    fn the_report_of_a_bad_config_names_place_key_and_mend() {
        let result = config::parse("t.toml", "[relay]\nports = \"9-8\"\ncolour = 1\n", []);
        let report = report(&result);
        assert_eq!(report["ok"], false);
        let ports = report["errors"].as_array().and_then(|all| all.iter().find(|e| e["line"] == 2));
        assert_eq!(ports.map(|e| e["column"].clone()), Some(json!(9)));
        assert!(ports.is_some_and(|e| e["help"].is_string()));
    }
}
