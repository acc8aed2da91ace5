//! `turnstone api-key`: keys of the HTTP API.

use super::client::{Client, Failure, segment};
use super::text::{Column, Table, say};
use super::{field, print_json};
use crate::base::Exit;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

/// What to do with API keys.
#[derive(Debug, Subcommand)]
pub enum ApiKeyArgs {
    /// Make a key; it is shown once and cannot be shown again.
    New(NewArgs),
    /// List the keys there are.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take a key away; it opens nothing from then on.
    Revoke {
        /// Its id, as `api-key list` shows it.
        id: String,
    },
}

#[derive(Debug, Args)]
pub struct NewArgs {
    /// What it is for.
    #[arg(long)]
    name: String,
    /// What it allows: some of mint, read, admin, with commas between.
    #[arg(long, value_delimiter = ',', required = true)]
    scope: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Carries the verb out.
pub(super) fn api_key(client: &Client, args: &ApiKeyArgs) -> Result<Exit, Failure> {
    match args {
        ApiKeyArgs::New(args) => new(client, args),
        ApiKeyArgs::List { json } => list(client, *json),
        ApiKeyArgs::Revoke { id } => {
            client.delete(&format!("/v1/api-keys/{}", segment(id)))?;
            Ok(Exit::Ok)
        }
    }
}

fn new(client: &Client, args: &NewArgs) -> Result<Exit, Failure> {
    let made = client.post("/v1/api-keys", &json!({ "name": args.name, "scopes": args.scope }))?;
    let (id, key) = (field(&made, "id"), field(&made, "key"));
    let said = match args.json {
        true => print_json(&made),
        false => say(&format!(
            "id:  {id}\nkey: {key}\nIt is shown this once. Use it as `Authorization: Bearer KEY`.\n"
        )),
    };
    match said {
        // Also to a reader that has gone: nobody has the key, and it is good.
        Err(Failure::Unsaid(error)) => Err(Failure::Broken(format!(
            "standard output: {error}; the key {id} is made and was not shown: take it away with \
             `turnstone api-key revoke {id}`, and make another"
        ))),
        said => said.map(|()| Exit::Ok),
    }
}

fn list(client: &Client, as_json: bool) -> Result<Exit, Failure> {
    let answer = client.get("/v1/api-keys")?;
    if as_json {
        print_json(&answer)?;
        return Ok(Exit::Ok);
    }
    let mut table = Table::new(&[
        ("ID", Column::Whole),
        ("NAME", Column::Text),
        ("SCOPES", Column::Whole),
        ("CREATED", Column::Whole),
    ]);
    for key in answer["api_keys"].as_array().into_iter().flatten() {
        let scopes: Vec<_> =
            key["scopes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let created = field(key, "created_at");
        let day = created.split('T').next().unwrap_or_default();
        table.row([field(key, "id").as_str(), &field(key, "name"), &scopes.join(","), day]);
    }
    table.print()?;
    Ok(Exit::Ok)
}
