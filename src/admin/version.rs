//! `turnstone version`.

use super::client::Failure;
use super::print_json;
use super::text::say;
use crate::base::Exit;
use clap::Args;
use serde_json::json;

#[derive(Debug, Args)]
pub struct VersionArgs {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints the version, and the commit where the build knew it.
pub(super) fn version(args: &VersionArgs) -> Result<Exit, Failure> {
    let (version, commit) = (env!("CARGO_PKG_VERSION"), option_env!("TURNSTONE_COMMIT").unwrap_or("unknown"));
    if args.json {
        print_json(&json!({ "name": "turnstone", "version": version, "commit": commit }))?;
    } else {
        say(&format!("turnstone {version} ({commit})\n"))?;
    }
    Ok(Exit::Ok)
}
