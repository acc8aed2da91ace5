//! Rank 6: the configuration file becomes checked settings.
//!
//! Only this module knows the file format. [`load`] reads a file, puts `TURNSTONE_` variables over it, and
//! answers with a [`Config`] that cannot hold nonsense, or with every error at once, each with its place
//! and what to write instead. Unknown keys are errors. No message shows a secret.
//!
//! `checked` is the list of all keys; reading is in `source` (places), `report` (findings), `tree` (the
//! parsed file), `section` and `text` (one key); `rules` and `credentials` look at several keys together.
//! [`resolve()`] turns a [`Config`] into a [`Plan`] for one [`Host`]: every "auto" is an address there.

#![forbid(unsafe_code)]

mod addresses;
mod admin_key;
mod bandwidth;
mod certificates;
mod challenge;
mod checked;
mod credentials;
mod discovery;
mod doors;
mod dtls;
mod env;
mod files;
mod finding;
mod host;
mod hub;
mod memory;
mod plan;
mod public_address;
mod report;
mod resolve;
mod rules;
mod secrets;
mod section;
mod signaling;
mod source;
mod suggest;
#[cfg(test)]
mod tests;
mod text;
mod tokens;
mod tree;
mod unbuilt;
mod units;
mod urls;

pub use addresses::{DenyRule, HttpDoor, PortRange, RelayAddress, Workers};
pub use admin_key::AdminKeyFile;
pub use certificates::{FirstCertificate, PairFiles, TlsPlan, Unservable};
pub use challenge::Challenge;
pub use checked::{
    Accept, Acme, Admin, Auth, Busy, Calls, Cluster, Config, Hooks, Http, Jwt, Limits, Listen, Log,
    LogFormat, LogLevel, OverTotal, Peers, PresenceScope, RejectScope, Relay, Server, SessionLimits,
    Signaling, Storage, Tls, TlsExtra, TlsMode, Transport, Usage,
};
pub use env::environment;
pub use finding::{ConfigErrors, Finding};
pub use host::Host;
pub use hub::NamespaceName;
pub use memory::{ItemSizes, MemoryRow, MemorySum};
pub use plan::{DtlsPlan, Plan, Unfit};
pub use public_address::{PublicAddress, PublicMapping};
pub use resolve::resolve;
pub use secrets::SecretsFile;
pub use signaling::WebOrigin;
pub use source::Position;
pub use text::{FreeTable, WebUrl};
pub use tokens::{CookieName, PublicKeyFile};
pub use units::{BitRate, ByteSize, EventRate, Limit};
pub use urls::SignalingUrls;

use report::Report;
use section::Setting;
use std::path::{Path, PathBuf};

/// A good configuration and what is worth knowing about it.
#[derive(Debug)]
pub struct Loaded {
    /// The checked settings.
    pub config: Config,
    /// Warnings, in the order of the file.
    pub warnings: Vec<Finding>,
}

/// Reads, overrides and checks a configuration file.
///
/// `env`: variables as name and value, usually [`environment`]; those that are not `TURNSTONE_` with `__`
/// are ignored.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn load(path: &Path, env: impl IntoIterator<Item = (String, String)>) -> Result<Loaded, ConfigErrors> {
    let name = path.display().to_string();
    match files::read(path) {
        Ok(text) => read(name, text, path.parent().unwrap_or(Path::new("")), env),
        Err(unreadable) => {
            let error = Finding {
                file: name,
                at: None,
                key: None,
                message: unreadable.message,
                help: Some(unreadable.help).filter(|help| !help.is_empty()),
                is_error: true,
                snippet: None,
            };
            Err(ConfigErrors { errors: vec![error], warnings: Vec::new() })
        }
    }
}

/// Where the socket of the daemon is (`admin.socket`), for who only wants to reach it: a daemon lives on with the
/// file that it began with, so errors elsewhere in this one do not matter here, nor do secrets that cannot be read.
///
/// # Errors
/// Those of [`load`], when the file cannot be read or is no TOML.
pub fn admin_socket(
    path: &Path,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<PathBuf, ConfigErrors> {
    match load(path, env) {
        Ok(loaded) => Ok(loaded.config.admin.socket),
        Err(errors) => {
            let table =
                files::read(path).ok().and_then(|text| text.parse::<toml::Table>().ok()).ok_or(errors)?;
            let given =
                table.get("admin").and_then(|admin| admin.get("socket")).and_then(|socket| socket.as_str());
            let socket = given.map_or_else(|| Admin::default().socket, PathBuf::from);
            Ok(path.parent().unwrap_or(Path::new("")).join(socket))
        }
    }
}

/// Like [`load`], for a text; `name` stands for the file in messages, and relative paths in it start at
/// the working directory.
///
/// # Errors
/// Everything that is wrong, at once.
pub fn parse(
    name: &str,
    text: &str,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded, ConfigErrors> {
    read(name.to_owned(), text.to_owned(), Path::new(""), env)
}

impl Config {
    /// Every key with the value in effect as text, secrets as stars.
    pub fn settings(&self) -> Vec<(String, String)> {
        let mut settings = Vec::new();
        self.show().flat("", &mut settings);
        settings
    }

    /// Every key with the value in effect, as TOML that reads back the same, secrets as stars.
    pub fn effective(&self) -> String {
        let mut text = String::new();
        self.show().write("", &mut text);
        text.trim_start().to_owned()
    }
}

fn read(
    name: String,
    text: String,
    folder: &Path,
    env: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded, ConfigErrors> {
    let mut report = Report::default();
    let source = report.add_source(name, text);
    let config = tree::parse(source, &mut report).and_then(|mut root| {
        env::apply(&mut root, env, &mut report);
        Config::read(root, &mut report)
    });
    let config = config.map(|mut config| {
        certificates::anchor(&mut config.tls, folder);
        // Relative paths start at the folder of the file.
        config.storage.path = folder.join(&config.storage.path);
        config.admin.socket = folder.join(&config.admin.socket);
        config.admin.key_file.read_key(folder, &mut report);
        credentials::prepare(&mut config, folder, &mut report);
        rules::check(&config, &mut report);
        unbuilt::warn(&config, &mut report);
        config
    });
    let (errors, warnings) = report.finish();
    match config {
        Some(config) if errors.is_empty() => Ok(Loaded { config, warnings }),
        _ => Err(ConfigErrors { errors, warnings }),
    }
}

/// Every key of the format as (section, key), for suggestions.
fn every_key() -> Vec<(String, String)> {
    let mut config = Config::default();
    config.tls.extra.push(TlsExtra::default());
    let mut keys = Vec::new();
    config.show().keys("", &mut keys);
    keys
}
