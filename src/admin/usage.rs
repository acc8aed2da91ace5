//! `turnstone usage`: who relayed how much.

use super::client::{Client, Failure, with_query};
use super::status::{list, number};
use super::text::{Column, Table, bytes, say};
use super::{field, print_json};
use crate::base::Exit;
use clap::{Args, ValueEnum};
use serde_json::Value;

#[derive(Debug, Args)]
pub struct UsageArgs {
    /// What to add up.
    #[arg(long, value_enum, default_value_t = By::Subject)]
    by: By,
    /// How far to look back, such as `24h` or `30d`.
    #[arg(long, value_name = "TIME", conflicts_with = "from")]
    since: Option<String>,
    /// The first moment: `2026-11-21`, `2026-11-21T01:00:00Z` or seconds since 1970.
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// The moment after the last one; now, unless it is given.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// A line for each of these instead of one over all.
    #[arg(long, value_enum, default_value_t = Each::Total)]
    period: Each,
    /// So many lines at most, those with the most bytes; not beside a period.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Print JSON; the same as `--format json`.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum By {
    Subject,
    Label,
    Door,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Each {
    Minute,
    Hour,
    Day,
    Total,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Csv,
    Json,
}

/// Carries the verb out.
pub(super) fn usage(client: &Client, args: &UsageArgs) -> Result<Exit, Failure> {
    let (by, period) = (word(args.by), word(args.period));
    let is_csv = args.format == Format::Csv && !args.json;
    let limit = args.limit.map(|limit| limit.to_string());
    let path = with_query(
        "/v1/usage",
        &[
            ("by", Some(&by)),
            ("period", Some(&period)),
            ("since", args.since.as_deref()),
            ("from", args.from.as_deref()),
            ("to", args.to.as_deref()),
            ("limit", limit.as_deref()),
            ("format", is_csv.then_some("csv")),
        ],
    );
    if is_csv {
        say(&client.text(&path)?)?;
        return Ok(Exit::Ok);
    }
    let answer = client.get(&path)?;
    match args.json || args.format == Format::Json {
        true => print_json(&answer)?,
        false => say(&page(&answer, &by, args.period != Each::Total))?,
    }
    Ok(Exit::Ok)
}

/// The name of a value as it is typed and asked for.
fn word(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

/// What people read.
fn page(answer: &Value, by: &str, with_start: bool) -> String {
    let name = by.to_uppercase();
    let mut headings = vec![
        (name.as_str(), Column::Text),
        ("FROM CLIENT", Column::Figure),
        ("FROM PEER", Column::Figure),
        ("PACKETS", Column::Figure),
        ("", Column::Whole),
    ];
    if with_start {
        headings.insert(0, ("START", Column::Whole));
    }
    let mut table = Table::new(&headings);
    for row in list(&answer["usage"]) {
        let mut cells = cells(row, field(row, by));
        if with_start {
            cells.insert(0, field(row, "start"));
        }
        table.row(cells);
    }
    let more = number(&answer["more"]);
    if more > 0 {
        table.row([vec![format!("({more} more)")], vec![String::new(); 4]].concat());
    }
    let mut total = cells(&answer["total"], "(all)".to_owned());
    if with_start {
        total.insert(0, String::new());
    }
    table.row(total);
    let mut page = format!("{} to {}\n", field(answer, "from"), field(answer, "to"));
    page += &table.text();
    for gap in list(&answer["gaps"]) {
        let (from, to) = (field(gap, "from"), field(gap, "to"));
        page += &format!("partial: between {from} and {to} the daemon ended badly or could not write\n");
    }
    page
}

fn cells(row: &Value, name: String) -> Vec<String> {
    let packets = number(&row["packets_from_client"]) + number(&row["packets_from_peer"]);
    let note = match (row["overflow"] == true, row["partial"] == true) {
        (true, _) => "too many to tell apart",
        (_, true) => "partial",
        _ => "",
    };
    vec![
        if name.is_empty() { "-".to_owned() } else { name },
        bytes(number(&row["bytes_from_client"])),
        bytes(number(&row["bytes_from_peer"])),
        packets.to_string(),
        note.to_owned(),
    ]
}
