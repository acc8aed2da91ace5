//! `turnstone token`: a token for a client of signaling, where nobody else signs them yet.

use super::client::Failure;
use super::text::say;
use crate::auth::token::{NotIssued, TokenRefused, TokenRequest, issue};
use crate::base::Exit;
use crate::config::{Config, Jwt};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// What to do with tokens.
#[derive(Debug, Subcommand)]
pub enum TokenArgs {
    /// Sign a token with auth.jwt.secret of the config; writes nothing.
    New(NewArgs),
}

#[derive(Debug, Args)]
pub struct NewArgs {
    /// Whose it is (the claim `sub`).
    #[arg(long, value_name = "NAME")]
    user: String,
    /// Which of the user's devices.
    #[arg(long, value_name = "ID")]
    device: Option<String>,
    /// The user's name for others to read.
    #[arg(long)]
    name: Option<String>,
    /// How long it is valid, at most auth.max_ttl.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, default_value = "1h")]
    ttl: Duration,
    /// A room that it opens, with * at the end for any continuation; may be repeated. Without any,
    /// signaling.open_rooms decides.
    #[arg(long = "room", value_name = "ROOM")]
    rooms: Vec<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Carries the verb out with the config at `path`.
pub(super) fn token(path: &Path, args: &TokenArgs) -> Result<Exit, Failure> {
    let TokenArgs::New(args) = args;
    match super::load(path) {
        Ok(loaded) => new(&loaded.config, args),
        Err(exit) => Ok(exit),
    }
}

fn new(config: &Config, args: &NewArgs) -> Result<Exit, Failure> {
    let jwt = &config.auth.jwt;
    let Some(secret) = &jwt.secret else { return Ok(super::misuse(why_no_secret(jwt))) };
    let max_ttl = config.auth.max_ttl;
    if args.ttl.as_secs() == 0 || args.ttl > max_ttl {
        let max = humantime::format_duration(max_ttl);
        return Ok(super::misuse(&format!("--ttl must be at least 1s and at most auth.max_ttl = {max}")));
    }
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let request = TokenRequest {
        subject: &args.user,
        device: args.device.as_deref(),
        name: args.name.as_deref(),
        rooms: &args.rooms,
        issued_unix_s: now,
        expires_unix_s: now.saturating_add(args.ttl.as_secs()),
    };
    match issue(secret, &jwt.rules(), request) {
        Ok(token) => print(config, args, &token, request.expires_unix_s),
        Err(not_issued) => Ok(super::misuse(&explain(not_issued))),
    }
}

/// Where the secret should be, and is not.
fn why_no_secret(jwt: &Jwt) -> &'static str {
    if jwt.names_a_key() {
        "[auth.jwt] has a public key or the URL of a key set, which only judge tokens: ask their issuer for one, or set auth.jwt.secret instead"
    } else {
        "[auth.jwt] names no key: add secret = \"the output of: openssl rand -base64 48\""
    }
}

fn explain(not_issued: NotIssued) -> String {
    match not_issued {
        NotIssued::BadSecret => "auth.jwt.secret: it is too short".to_owned(),
        NotIssued::Refused(TokenRefused::BadSubject) => {
            "--user must have 1 to 128 bytes, and no control characters".to_owned()
        }
        NotIssued::Refused(TokenRefused::BadClaim) => {
            "--device and each --room must have 1 to 128 bytes, --name at most 256, and none control characters; \
             64 rooms at most"
                .to_owned()
        }
        NotIssued::Refused(why) => format!("this token would be refused: {why}"),
    }
}

fn print(config: &Config, args: &NewArgs, token: &str, expires_unix_s: u64) -> Result<Exit, Failure> {
    if !args.json {
        say(&format!("{token}\n"))?;
        return Ok(Exit::Ok);
    }
    let urls = config.signaling_urls().unwrap_or_default();
    let out = json!({
        "token": token,
        "user": args.user,
        "ttl": args.ttl.as_secs(),
        "expires": expires_unix_s,
        "socket_io": urls.socket_io,
        "plain": urls.plain,
    });
    super::print_json(&out)?;
    Ok(Exit::Ok)
}
