//! `turnstone credentials revoke`: credentials that are void before their time.

use super::client::{Client, Failure};
use super::status::number;
use super::text::say;
use super::{field, print_json};
use crate::base::Exit;
use clap::{ArgGroup, Args};
use serde_json::{Map, Value};

#[derive(Debug, Args)]
#[command(group(ArgGroup::new("target").required(true).args(["subject", "label", "id"])))]
pub struct RevokeArgs {
    /// Everything that was minted for this subject until now.
    #[arg(long)]
    subject: Option<String>,
    /// Everything that was minted with this label until now.
    #[arg(long)]
    label: Option<String>,
    /// One credential, by its id.
    #[arg(long)]
    id: Option<String>,
    /// What is minted later too, until the ban is lifted.
    #[arg(long)]
    ban: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Carries the verb out.
pub(super) fn revoke(client: &Client, args: &RevokeArgs) -> Result<Exit, Failure> {
    let mut body = Map::new();
    for (name, value) in [("subject", &args.subject), ("label", &args.label), ("id", &args.id)] {
        if let Some(value) = value {
            body.insert(name.into(), value.as_str().into());
        }
    }
    if args.ban {
        body.insert("ban".into(), true.into());
    }
    let answer = client.post("/v1/credentials/revoke", &Value::Object(body))?;
    if args.json {
        print_json(&answer)?;
    } else {
        let ended = number(&answer["sessions_ended"]);
        say(&format!("revoked as {}: {ended} sessions ended\n", field(&answer, "id")))?;
    }
    Ok(Exit::Ok)
}
