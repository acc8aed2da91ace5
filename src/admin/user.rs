//! `turnstone user`: static TURN users beside those of the config.

use super::client::{Client, Failure, segment};
use super::status::list;
use super::text::{Column, Table};
use super::{field, print_json};
use crate::base::Exit;
use clap::Subcommand;
use rustix::termios::{self, LocalModes, OptionalActions};
use serde_json::json;
use std::io::{self, BufRead, IsTerminal};
use zeroize::Zeroizing;

/// Bytes of a password and the end of its line.
const LINE_BYTES_MAX: u64 = 4096;

/// What to do with static users.
#[derive(Debug, Subcommand)]
pub enum UserArgs {
    /// Add one; the password comes from a prompt, or as a line of standard input.
    Add {
        /// The USERNAME of TURN.
        name: String,
    },
    /// Take one away; what it has ends.
    Del {
        /// The USERNAME of TURN.
        name: String,
    },
    /// List them.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Carries the verb out.
pub(super) fn user(client: &Client, args: &UserArgs) -> Result<Exit, Failure> {
    match args {
        UserArgs::Add { name } => {
            let password = password().map_err(|error| Failure::Broken(format!("no password: {error}")))?;
            client.post("/v1/users", &json!({ "name": name, "password": *password }))?;
        }
        UserArgs::Del { name } => {
            client.delete(&format!("/v1/users/{}", segment(name)))?;
        }
        UserArgs::List { json } => {
            let answer = client.get("/v1/users")?;
            if *json {
                print_json(&answer);
                return Ok(Exit::Ok);
            }
            let mut table =
                Table::new(&[("NAME", Column::Text), ("SOURCE", Column::Whole), ("CREATED", Column::Whole)]);
            for user in list(&answer["users"]) {
                table.row([
                    super::sessions::raw(user, "name"),
                    &field(user, "source"),
                    &field(user, "created_at"),
                ]);
            }
            table.print();
        }
    }
    Ok(Exit::Ok)
}

/// Never an argument: those are in the list of processes and in the history of the shell.
fn password() -> io::Result<Zeroizing<String>> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        return line();
    }
    let before = termios::tcgetattr(&stdin)?;
    let mut silent = before.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    eprint!("password: ");
    termios::tcsetattr(&stdin, OptionalActions::Flush, &silent)?;
    let first = line();
    eprint!("\nonce more: ");
    let second = line();
    termios::tcsetattr(&stdin, OptionalActions::Flush, &before)?;
    eprintln!();
    let (first, second) = (first?, second?);
    match first == second {
        true => Ok(first),
        false => Err(io::Error::other("the two are not the same")),
    }
}

fn line() -> io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::new());
    io::Read::take(io::stdin().lock(), LINE_BYTES_MAX).read_line(&mut line)?;
    let password = Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned());
    match password.is_empty() {
        true => Err(io::Error::other("standard input is empty")),
        false => Ok(password),
    }
}
