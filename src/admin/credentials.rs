//! `turnstone credentials`: mint a time-limited credential, or say why one does not work.

use super::client::Failure;
use super::revoke::RevokeArgs;
use super::text::say;
use crate::auth::{self, MintRequest, Variant, explain, mint};
use crate::base::{Exit, UnixTime};
use crate::config::{self, Config, Host};
use crate::signaling::ice_servers;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// What to do with credentials.
#[derive(Debug, Subcommand)]
pub enum CredentialsArgs {
    /// Mint a credential with the newest secret of the config; writes nothing.
    New(NewArgs),
    /// Say whether a username and password work, and if not, why.
    Verify(VerifyArgs),
    /// Void credentials before their time; what they have ends.
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
pub struct NewArgs {
    /// Whom quotas and usage count.
    #[arg(long, value_name = "NAME")]
    subject: String,
    /// How long it is valid, at most auth.max_ttl [default: auth.ttl]
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    ttl: Option<Duration>,
    /// Counted under this label too.
    #[arg(long)]
    label: Option<String>,
    /// The call that it is for.
    #[arg(long, value_name = "ID")]
    call_id: Option<String>,
    /// Allocations at a time, where that is less than the config allows.
    #[arg(long, value_name = "N")]
    allocations: Option<u32>,
    /// Which HMAC makes the password; SHA-1 is what every other minter uses.
    #[arg(long, value_enum, default_value_t = Hmac::Sha1)]
    hmac: Hmac,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The username, as the client sends it.
    #[arg(long)]
    username: String,
    /// Its password.
    #[arg(long)]
    password: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Hmac {
    Sha1,
    Sha256,
}

/// Carries the verb out with the config at `path`.
pub(super) fn credentials(path: &Path, args: &CredentialsArgs) -> Result<Exit, Failure> {
    let config = match super::load(path) {
        Ok(loaded) => loaded.config,
        Err(exit) => return Ok(exit),
    };
    match args {
        CredentialsArgs::New(args) => new(&config, args),
        CredentialsArgs::Verify(args) => verify(&config, args),
        // That asks the daemon.
        CredentialsArgs::Revoke(_) => Ok(Exit::Usage),
    }
}

fn new(config: &Config, args: &NewArgs) -> Result<Exit, Failure> {
    let settings = config.auth_settings();
    let Some(secret) = settings.secrets.first() else {
        return Ok(super::fail(
            "auth.secrets: there is no shared secret to mint with; add one, or use a static user",
        ));
    };
    let ttl = args.ttl.unwrap_or(settings.ttl);
    if ttl.is_zero() || ttl > settings.max_ttl {
        let max = humantime::format_duration(settings.max_ttl);
        return Ok(super::misuse(&format!("--ttl must be more than 0 and at most auth.max_ttl = {max}")));
    }
    let request = MintRequest {
        label: args.label.as_deref(),
        call_id: args.call_id.as_deref(),
        allocations_max: args.allocations,
        ..MintRequest::new(now(), ttl, &args.subject)
    };
    let variant = match args.hmac {
        Hmac::Sha1 => Variant::Sha1,
        Hmac::Sha256 => Variant::Sha256,
    };
    match mint(secret, variant, &request) {
        Ok(credential) => print(config, args.json, &credential, ttl),
        Err(error) => Ok(super::misuse(&error.to_string())),
    }
}

fn print(
    config: &Config,
    as_json: bool,
    credential: &auth::Credential,
    ttl: Duration,
) -> Result<Exit, Failure> {
    let (username, password) = (&credential.username, credential.password.expose());
    if !as_json {
        let (expires, ttl) = (credential.expires.0, humantime::format_duration(ttl));
        say(&format!("username: {username}\npassword: {password}\nexpires:  {expires} ({ttl} from now)\n"))?;
        return Ok(Exit::Ok);
    }
    // Servers are known only where the host is: elsewhere the credential is still good.
    let plan = Host::look().ok().and_then(|host| config::resolve(config, &host).ok());
    let servers = plan.map(|plan| plan.advertised_servers()).unwrap_or_default();
    let out = json!({
        "username": username,
        "password": password,
        "ttl": ttl.as_secs(),
        "expires": credential.expires.0,
        "iceServers": ice_servers(&servers, username, password),
    });
    super::print_json(&out)?;
    Ok(Exit::Ok)
}

fn verify(config: &Config, args: &VerifyArgs) -> Result<Exit, Failure> {
    let settings = config.auth_settings();
    let explanation = explain(&settings, now(), &args.username, &args.password);
    if args.json {
        super::print_json(&json!({ "valid": explanation.is_valid(), "reason": explanation.to_string() }))?;
    } else {
        say(&format!("{explanation}\n"))?;
    }
    Ok(if explanation.is_valid() { Exit::Ok } else { Exit::Failure })
}

fn now() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
