//! `turnstone version`.

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
pub(super) fn version(args: &VersionArgs) -> Exit {
    let (version, commit) = (env!("CARGO_PKG_VERSION"), option_env!("TURNSTONE_COMMIT").unwrap_or("unknown"));
    if args.json {
        println!("{:#}", json!({ "name": "turnstone", "version": version, "commit": commit }));
    } else {
        println!("turnstone {version} ({commit})");
    }
    Exit::Ok
}
