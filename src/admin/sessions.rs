//! `turnstone sessions`, `session show` and `session kill`.

use super::client::{Client, Failure, segment, with_query};
use super::status::{list, number};
use super::text::{Column, Table, bit_rate, bytes, say, span};
use super::{field, print_json};
use crate::base::Exit;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::Value;
use std::time::Duration;

#[derive(Debug, Args)]
pub struct SessionsArgs {
    /// Of this subject.
    #[arg(long)]
    subject: Option<String>,
    /// With this label.
    #[arg(long)]
    label: Option<String>,
    /// Of this call.
    #[arg(long, value_name = "ID")]
    call: Option<String>,
    /// From this address, with or without a port.
    #[arg(long, value_name = "ADDRESS")]
    client: Option<String>,
    /// By udp, tcp, tls or dtls.
    #[arg(long)]
    transport: Option<String>,
    /// That may send to this address.
    #[arg(long, value_name = "IP")]
    peer: Option<String>,
    /// Which come first.
    #[arg(long, value_enum, default_value_t = Sort::Rate)]
    sort: Sort,
    /// No more than that.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Which sessions come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Sort {
    Rate,
    Bytes,
    Age,
}

impl Sort {
    /// As the API has it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Rate => "rate",
            Self::Bytes => "bytes",
            Self::Age => "age",
        }
    }
}

/// What to do with one session.
#[derive(Debug, Subcommand)]
pub enum SessionArgs {
    /// Show everything about it.
    Show {
        /// As `turnstone sessions` shows it.
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// End it at once.
    Kill {
        /// As `turnstone sessions` shows it.
        id: String,
    },
}

/// Lists live sessions.
pub(super) fn sessions(client: &Client, args: &SessionsArgs) -> Result<Exit, Failure> {
    let limit = args.limit.map(|limit| limit.to_string());
    let answer = client.get(&with_query(
        "/v1/sessions",
        &[
            ("subject", args.subject.as_deref()),
            ("label", args.label.as_deref()),
            ("call", args.call.as_deref()),
            ("client", args.client.as_deref()),
            ("transport", args.transport.as_deref()),
            ("peer", args.peer.as_deref()),
            ("sort", Some(args.sort.name())),
            ("limit", limit.as_deref()),
        ],
    ))?;
    if args.json {
        print_json(&answer)?;
        return Ok(Exit::Ok);
    }
    table(&answer).print()?;
    if answer["complete"] == false {
        say("a worker did not answer in time; its sessions are missing\n")?;
    }
    Ok(Exit::Ok)
}

fn table(answer: &Value) -> Table {
    let mut table = Table::new(&[
        ("ID", Column::Whole),
        ("SUBJECT", Column::Text),
        ("CLIENT", Column::Text),
        ("BY", Column::Whole),
        ("RATE", Column::Figure),
        ("BYTES", Column::Figure),
        ("AGE", Column::Figure),
    ]);
    for session in list(&answer["sessions"]) {
        let (rate, size) = (rate(session), size(session));
        table.row([
            raw(session, "id").to_owned(),
            raw(session, "subject").to_owned(),
            raw(session, "client").to_owned(),
            raw(session, "transport").to_owned(),
            bit_rate(rate),
            bytes(size),
            span(Duration::from_secs(number(&session["age_s"]))),
        ]);
    }
    table
}

/// Bits per second, both ways together.
pub(super) fn rate(session: &Value) -> u64 {
    number(&session["rate_from_client_bps"]).saturating_add(number(&session["rate_from_peer_bps"]))
}

/// Bytes relayed, both ways together.
pub(super) fn size(session: &Value) -> u64 {
    number(&session["bytes_from_client"]).saturating_add(number(&session["bytes_from_peer"]))
}

/// A text as it came; to be made safe by whoever prints it.
pub(super) fn raw<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_default()
}

/// Shows or ends one.
pub(super) fn session(client: &Client, args: &SessionArgs) -> Result<Exit, Failure> {
    match args {
        SessionArgs::Kill { id } => {
            client.delete(&format!("/v1/sessions/{}", segment(id)))?;
        }
        SessionArgs::Show { id, json } => {
            let session = client.get(&format!("/v1/sessions/{}", segment(id)))?;
            if *json {
                print_json(&session)?;
            } else {
                say(&text(&session))?;
            }
        }
    }
    Ok(Exit::Ok)
}

fn text(session: &Value) -> String {
    let mut out = String::new();
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            out += &format!("{name:<13} {value}\n");
        }
    };
    for name in ["id", "subject", "label", "call_id", "credential_id", "client", "door", "transport"] {
        line(name, field(session, name));
    }
    for relayed in list(&session["relayed_all"]).filter_map(Value::as_str) {
        line("relayed", super::text::safe(relayed));
    }
    for peer in list(&session["peers"]).filter_map(Value::as_str) {
        line("peer", super::text::safe(peer));
    }
    line("started", field(session, "started_at"));
    line("age", span(Duration::from_secs(number(&session["age_s"]))));
    line("expires in", span(Duration::from_secs(number(&session["expires_in_s"]))));
    for (name, way) in [("from client", "from_client"), ("from peers", "from_peer")] {
        let figure = |what: &str| {
            number(&session[format!("{what}_{way}{}", if what == "rate" { "_bps" } else { "" })])
        };
        let (rate, size, packets) = (figure("rate"), figure("bytes"), figure("packets"));
        line(name, format!("{}, {} in {packets} packets", bit_rate(rate), bytes(size)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_list_of_sessions_fits_eighty_columns_whatever_their_names_are() {
        let session = json!({
            "id": "3-12345-67", "subject": "x\u{1b}/".repeat(200), "client": "[2001:db8:1111:2222:3333:4444:5555:6666]:65535",
            "transport": "dtls", "rate_from_client_bps": 999_000_000, "rate_from_peer_bps": 1, "bytes_from_client": 5,
            "bytes_from_peer": 6, "age_s": 86_399
        });
        let text = table(&json!({ "sessions": [session] })).render(80);
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(
            text.contains("3-12345-67") && text.contains("999 Mbit/s") && !text.contains('\u{1b}'),
            "{text}"
        );
    }
}
