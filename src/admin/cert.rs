//! `turnstone cert`: the certificates in use.

use super::client::{Client, Failure};
use super::status::{list, number};
use super::text::{Column, Table, say};
use super::{field, print_json};
use crate::base::Exit;
use clap::Args;
use serde_json::Value;

#[derive(Debug, Args)]
pub struct CertArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Carries the verb out.
pub(super) fn cert(client: &Client, args: &CertArgs) -> Result<Exit, Failure> {
    let answer = client.get("/v1/cert")?;
    if args.json {
        print_json(&answer)?;
        return Ok(Exit::Ok);
    }
    if answer["tls"] == false {
        say("no certificate: tls.mode is \"off\"\n")?;
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&[
        ("NAMES", Column::Text),
        ("EXPIRES", Column::Whole),
        ("DAYS", Column::Figure),
        ("SOURCE", Column::Text),
    ]);
    for certificate in list(&answer["certificates"]) {
        let names: Vec<_> = list(&certificate["names"]).filter_map(Value::as_str).collect();
        let expires = field(certificate, "expires_at");
        let days = (number(&certificate["expires_in_s"]) / 86_400).to_string();
        table.row([names.join(" "), expires, days, field(certificate, "source")]);
    }
    table.print()?;
    for certificate in list(&answer["certificates"]).filter(|one| !one["fault"].is_null()) {
        say(&format!("{}: not renewed: {}\n", field(certificate, "name"), field(certificate, "fault")))?;
    }
    Ok(Exit::Ok)
}
