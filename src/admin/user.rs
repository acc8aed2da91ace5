//! `turnstone user`: static TURN users beside those of the config.

use super::client::{Client, Failure, segment};
use super::status::list;
use super::text::{Column, Table};
use super::{field, print_json};
use crate::base::Exit;
use clap::Subcommand;
use rustix::termios::{self, LocalModes, OptionalActions, Termios};
use serde_json::json;
use std::io::{self, BufRead, IsTerminal, Stdin};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
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
            let password =
                password(client).map_err(|error| Failure::Broken(format!("no password: {error}")))?;
            client.post("/v1/users", &json!({ "name": name, "password": *password }))?;
        }
        UserArgs::Del { name } => {
            client.delete(&format!("/v1/users/{}", segment(name)))?;
        }
        UserArgs::List { json } => {
            let answer = client.get("/v1/users")?;
            if *json {
                print_json(&answer)?;
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
            table.print()?;
        }
    }
    Ok(Exit::Ok)
}

/// Never an argument: those are in the list of processes and in the history of the shell.
fn password(client: &Client) -> io::Result<Zeroizing<String>> {
    if !io::stdin().is_terminal() {
        return line();
    }
    client.run(async {
        // Before the silence begins: what ends us must not leave it behind.
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let _until_it_is_known = Silence::begin()?;
        let (sender, asked) = oneshot::channel();
        // A signal does not end the wait for a line, so another thread waits; it is left alone then.
        std::thread::spawn(move || sender.send(asked_twice()));
        tokio::select! {
            password = asked => password.unwrap_or_else(|_| Err(io::Error::other("nobody asks any more"))),
            _ = interrupt.recv() => Err(io::ErrorKind::Interrupted.into()),
            _ = terminate.recv() => Err(io::ErrorKind::Interrupted.into()),
        }
    })
}

fn asked_twice() -> io::Result<Zeroizing<String>> {
    eprint!("password: ");
    let first = line()?;
    eprint!("\nonce more: ");
    let second = line()?;
    match first == second {
        true => Ok(first),
        false => Err(io::Error::other("the two are not the same")),
    }
}

/// What is typed is not shown until this is dropped.
struct Silence {
    stdin: Stdin,
    before: Termios,
}

impl Silence {
    fn begin() -> io::Result<Self> {
        let stdin = io::stdin();
        let before = termios::tcgetattr(&stdin)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        termios::tcsetattr(&stdin, OptionalActions::Flush, &silent)?;
        Ok(Self { stdin, before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        let _terminal_is_gone = termios::tcsetattr(&self.stdin, OptionalActions::Flush, &self.before);
        eprintln!();
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
