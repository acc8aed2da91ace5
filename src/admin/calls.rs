//! `turnstone calls`: calls that live and calls that have ended.

use super::client::{Client, Failure, segment, with_query};
use super::status::{list, number};
use super::text::{Column, Table, bytes, say, span};
use super::{field, print_json};
use crate::base::Exit;
use clap::{Args, ValueEnum};
use serde_json::Value;
use std::time::Duration;

#[derive(Debug, Args)]
pub struct CallsArgs {
    /// One call, with its sessions.
    #[arg(value_name = "ID", conflicts_with_all = ["user", "since", "from", "to", "state"])]
    id: Option<String>,
    /// Only calls of this user.
    #[arg(long)]
    user: Option<String>,
    /// How far to look back, such as `24h` or `30d`.
    #[arg(long, value_name = "TIME", conflicts_with = "from")]
    since: Option<String>,
    /// The first moment of a start: `2026-11-21`, `2026-11-21T01:00:00Z` or seconds since 1970.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// The moment after the last one.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Only live ones, or only ended ones.
    #[arg(long, value_enum)]
    state: Option<State>,
    /// How many ended ones.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: u16,
    /// Where to go on: `next` of the page before.
    #[arg(long, value_name = "ID")]
    cursor: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Live,
    Ended,
}

/// Carries the verb out.
pub(super) fn calls(client: &Client, args: &CallsArgs) -> Result<Exit, Failure> {
    let answer = client.get(&path(args))?;
    match (args.json, &args.id) {
        (true, _) => print_json(&answer)?,
        (_, Some(_)) => say(&one(&answer))?,
        (_, None) => say(&page(&answer))?,
    }
    Ok(Exit::Ok)
}

fn path(args: &CallsArgs) -> String {
    if let Some(id) = &args.id {
        return format!("/v1/calls/{}", segment(id));
    }
    let state = args.state.map(|state| match state {
        State::Live => "live",
        State::Ended => "ended",
    });
    let limit = args.limit.to_string();
    with_query(
        "/v1/calls",
        &[
            ("user", args.user.as_deref()),
            ("since", args.since.as_deref()),
            ("from", args.from.as_deref()),
            ("to", args.to.as_deref()),
            ("state", state),
            ("limit", Some(&limit)),
            ("cursor", args.cursor.as_deref()),
        ],
    )
}

fn page(answer: &Value) -> String {
    let mut table = Table::new(&[
        ("STARTED", Column::Whole),
        ("CALLER", Column::Text),
        ("CALLEE", Column::Text),
        ("STATE", Column::Text),
        ("LENGTH", Column::Figure),
        ("RELAYED", Column::Figure),
        ("", Column::Whole),
    ]);
    for call in list(&answer["calls"]) {
        let state = if call["reason"].is_null() { field(call, "state") } else { field(call, "reason") };
        table.row([
            field(call, "started_at"),
            field(&call["caller"], "user"),
            callee(call),
            state,
            length(call),
            bytes(relayed(&call["total"])),
            if is_partial(call) { "partial".to_owned() } else { String::new() },
        ]);
    }
    let mut page = table.text();
    if let Some(next) = answer["next"].as_str() {
        page += &format!("more: --cursor {}\n", super::text::safe(next));
    }
    page
}

fn callee(call: &Value) -> String {
    match call["room"].is_null() {
        true => field(&call["callee"], "user"),
        false => format!("room {}", field(call, "room")),
    }
}

fn length(call: &Value) -> String {
    match call["duration_ms"].as_u64() {
        Some(ms) => span(Duration::from_millis(ms)),
        None => String::new(),
    }
}

/// Whether more may have been relayed than it says.
fn is_partial(call: &Value) -> bool {
    call["partial"] == true
}

fn relayed(figures: &Value) -> u64 {
    number(&figures["bytes_from_client"]) + number(&figures["bytes_from_peer"])
}

fn one(call: &Value) -> String {
    let mut page = String::new();
    let mut line = |name: &str, value: String| {
        if !value.is_empty() {
            page += &format!("{name:<10}  {value}\n");
        }
    };
    let device = |party: &Value| match (field(party, "user"), field(party, "device")) {
        (user, device) if device.is_empty() => user,
        (user, device) => format!("{user} ({device})"),
    };
    line("id", field(call, "id"));
    line("state", field(call, "state"));
    line("type", field(call, "call_type"));
    line("caller", device(&call["caller"]));
    match call["room"].is_null() {
        true => line("callee", device(&call["callee"])),
        false => line("room", field(call, "room")),
    }
    for key in ["started", "answered", "ended"] {
        line(key, field(call, &format!("{key}_at")));
    }
    line("reason", field(call, "reason"));
    line("length", length(call));
    for party in list(&call["parties"]) {
        let (sent, received) = (number(&party["bytes_from_client"]), number(&party["bytes_from_peer"]));
        let name = if party["subject"].is_null() { "(others)".to_owned() } else { field(party, "subject") };
        line("relayed", format!("{} from and {} to {name}", bytes(sent), bytes(received)));
    }
    if is_partial(call) {
        line("partial", "more may have been relayed: the daemon began anew while the call lasted".to_owned());
    }
    for session in list(&call["sessions"]) {
        line("session", format!("{} of {}", field(session, "id"), field(session, "subject")));
    }
    page
}
