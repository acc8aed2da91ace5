//! The `turnstone` binary: arguments, then `admin` or `daemon`; nothing else.

use clap::Parser;
use std::process::ExitCode;
use turnstone::admin::{self, Cli, Verb};
use turnstone::daemon;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let exit = match &cli.verb {
        Verb::Run => daemon::run(&cli.config),
        Verb::Demo => daemon::demo(),
        Verb::Admin(verb) => admin::obey(&cli.config, verb),
    };
    ExitCode::from(exit.code())
}
