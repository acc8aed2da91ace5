//! Rank 7: the command line. Arguments are read here, one file does what one verb says; `run` and
//! `demo` are the daemon's.

mod api_key;
mod backup;
mod bench;
mod calls;
mod cert;
mod check_config;
mod client;
mod credentials;
mod drain;
mod events;
mod probe_store;
mod progress;
mod reload;
mod revoke;
mod rights;
mod secret;
mod sessions;
mod status;
mod text;
mod token;
mod top;
mod usage;
mod user;
mod version;

use crate::base::Exit;
use crate::config::{self, Loaded};
use api_key::ApiKeyArgs;
use backup::{BackupArgs, ExportArgs, RestoreArgs};
use bench::BenchArgs;
use calls::CallsArgs;
use cert::CertArgs;
use check_config::CheckConfigArgs;
use clap::{Parser, Subcommand};
use client::{Client, Failure};
use credentials::CredentialsArgs;
use drain::{DrainArgs, UndrainArgs};
use events::EventsArgs;
use probe_store::ProbeStoreArgs;
use reload::ReloadArgs;
use secret::SecretArgs;
use serde_json::Value;
use sessions::{SessionArgs, SessionsArgs};
use status::StatusArgs;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use token::TokenArgs;
use top::TopArgs;
use usage::UsageArgs;
use user::UserArgs;
use version::VersionArgs;

/// TURN relay, STUN responder and call signaling in one hardened daemon.
#[derive(Debug, Parser)]
#[command(name = "turnstone", version, disable_help_subcommand = true)]
pub struct Cli {
    /// The config file.
    #[arg(long, global = true, value_name = "FILE", default_value = "/etc/turnstone/turnstone.toml")]
    pub config: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run the daemon.
    ///
    /// It stays in the foreground and logs to standard error, so that a service manager can look after it. SIGHUP makes
    /// it read its config again, SIGTERM waits for the sessions there are, and SIGINT ends it at once.
    Run,
    /// Run everything on this machine with generated secrets, no config and no root.
    ///
    /// It listens on loopback and on the primary address of the machine, relays a packet through itself to show that it
    /// works, and prints what clients need: ICE servers, tokens, and where its test page and its dashboard are. What it
    /// stores goes with it. Ctrl-C ends it.
    Demo,
    /// All others.
    #[command(flatten)]
    Admin(AdminVerb),
}

/// Verbs that are not the daemon.
#[derive(Debug, Subcommand)]
pub enum AdminVerb {
    /// Check the config; print its worst-case memory.
    CheckConfig(CheckConfigArgs),
    /// Mint and check credentials.
    #[command(subcommand)]
    Credentials(CredentialsArgs),
    /// Say how the daemon is.
    Status(StatusArgs),
    /// Watch what is relayed, by whom, and end sessions.
    ///
    /// Up and down choose a session, `k` ends it after a `y`, `s` sorts by something else, `/` filters, `q` quits.
    Top(TopArgs),
    /// List live sessions.
    Sessions(SessionsArgs),
    /// Show or end one session.
    #[command(subcommand)]
    Session(SessionArgs),
    /// List the shared secrets, or put a new one in front.
    #[command(subcommand)]
    Secret(SecretArgs),
    /// Add, take away and list static TURN users.
    #[command(subcommand)]
    User(UserArgs),
    /// Say who relayed how much.
    Usage(UsageArgs),
    /// List calls, or show one.
    Calls(CallsArgs),
    /// Show what happens, while it happens.
    Events(EventsArgs),
    /// Show the certificates in use.
    Cert(CertArgs),
    /// Read the config again; say what changed and what needs a restart.
    Reload(ReloadArgs),
    /// Refuse new sessions; those that live go on.
    Drain(DrainArgs),
    /// Take new sessions again.
    Undrain(UndrainArgs),
    /// Write a copy of all that is stored, while the daemon runs.
    Backup(BackupArgs),
    /// Put a backup in the place of what is stored, while the daemon is stopped.
    Restore(RestoreArgs),
    /// Write all that is stored as JSON lines, for other programs.
    Export(ExportArgs),
    /// Make, list and take away keys of the HTTP API.
    #[command(subcommand)]
    ApiKey(ApiKeyArgs),
    /// Sign tokens for clients of signaling.
    #[command(subcommand)]
    Token(TokenArgs),
    /// Measure how fast a TURN server is, this one or any other.
    #[command(subcommand)]
    Bench(BenchArgs),
    /// Check whether the store of a daemon opens; for the daemon itself.
    #[command(hide = true)]
    ProbeStore(ProbeStoreArgs),
    /// Print the version.
    Version(VersionArgs),
}

/// Does what an admin verb says, with the config at `path`.
pub fn obey(path: &Path, verb: &AdminVerb) -> Exit {
    match verb {
        AdminVerb::CheckConfig(args) => over(check_config::check_config(path, args)),
        AdminVerb::Credentials(CredentialsArgs::Revoke(args)) => {
            ask(path, |client| revoke::revoke(client, args))
        }
        AdminVerb::Credentials(args) => over(credentials::credentials(path, args)),
        AdminVerb::Status(args) => ask(path, |client| status::status(client, args)),
        AdminVerb::Top(args) => ask(path, |client| top::top(client, args)),
        AdminVerb::Sessions(args) => ask(path, |client| sessions::sessions(client, args)),
        AdminVerb::Session(args) => ask(path, |client| sessions::session(client, args)),
        AdminVerb::Secret(args) => over(secret::secret(path, args)),
        AdminVerb::User(args) => ask(path, |client| user::user(client, args)),
        AdminVerb::Usage(args) => ask(path, |client| usage::usage(client, args)),
        AdminVerb::Calls(args) => ask(path, |client| calls::calls(client, args)),
        AdminVerb::Events(args) => ask(path, |client| events::events(client, args)),
        AdminVerb::Cert(args) => ask(path, |client| cert::cert(client, args)),
        AdminVerb::Reload(args) => ask(path, |client| reload::reload(client, args)),
        AdminVerb::Drain(args) => ask(path, |client| drain::drain(client, args)),
        AdminVerb::Undrain(args) => ask(path, |client| drain::undrain(client, args)),
        AdminVerb::Backup(args) => ask(path, |client| backup::backup(client, args)),
        AdminVerb::Export(args) => ask(path, |client| backup::export(client, args)),
        AdminVerb::Restore(args) => match load(path) {
            Ok(loaded) => over(backup::restore(&loaded.config.storage.path, args)),
            Err(exit) => exit,
        },
        AdminVerb::ApiKey(args) => ask(path, |client| api_key::api_key(client, args)),
        AdminVerb::Token(args) => over(token::token(path, args)),
        AdminVerb::Bench(args) => over(bench::bench(args)),
        AdminVerb::ProbeStore(args) => probe_store::probe_store(args),
        AdminVerb::Version(args) => over(version::version(args)),
    }
}

/// A verb that asks the daemon.
fn ask(path: &Path, verb: impl FnOnce(&Client) -> Result<Exit, Failure>) -> Exit {
    match Client::of(path) {
        Ok(client) => over(verb(&client)),
        Err(exit) => exit,
    }
}

/// How a verb ends; says why it failed.
fn over(result: Result<Exit, Failure>) -> Exit {
    result.unwrap_or_else(|failure| failure.exit())
}

/// What the API said, for programs.
fn print_json(answer: &Value) -> Result<(), Failure> {
    text::say(&format!("{answer:#}\n"))
}

/// A text or a number of an answer; nothing when it is not there.
fn field(answer: &Value, name: &str) -> String {
    match &answer[name] {
        Value::Null => String::new(),
        Value::String(text) => text::safe(text),
        other => other.to_string(),
    }
}

/// Loads the config of a verb that only reads it; prints what is wrong.
fn load(path: &Path) -> Result<Loaded, Exit> {
    config::load(path, config::environment()).map_err(|errors| {
        eprint!("{}", errors.render(io::stderr().is_terminal()));
        Exit::Usage
    })
}

/// Says why a verb failed.
fn fail(why: &str) -> Exit {
    eprintln!("turnstone: {why}");
    Exit::Failure
}

/// Says what was wrong with the arguments.
fn misuse(why: &str) -> Exit {
    eprintln!("turnstone: {why}");
    Exit::Usage
}
