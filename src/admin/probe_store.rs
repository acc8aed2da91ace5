//! `turnstone probe-store`: what the daemon runs as a child before it opens its store, since what is damaged may end it.

use crate::base::Exit;
use crate::storage;
use clap::Args;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct ProbeStoreArgs {
    /// The folder of the daemon's state.
    path: PathBuf,
}

/// Prints one line about the store.
pub(super) fn probe_store(args: &ProbeStoreArgs) -> Exit {
    storage::probe(&args.path);
    Exit::Ok
}
