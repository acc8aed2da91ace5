//! `turnstone run`: the daemon.

use super::life::{Daemon, Ending};
use super::log::{self, LogSettings};
use super::{StartError, entropy, runtime};
use crate::base::{Exit, Transport};
use crate::config::{self, Config, Finding, Host, Loaded, Plan};
use crate::http::api::Fault;
use crate::net::PassedSockets;
use std::io::IsTerminal;
use std::path::Path;

/// Runs the daemon with the config at `path` until a signal ends it.
pub fn run(path: &Path) -> Exit {
    // Before anything is opened.
    let passed = match PassedSockets::take() {
        Ok(passed) => passed,
        Err(why) => {
            eprintln!("turnstone: {why}");
            return Exit::Failure;
        }
    };
    let loaded = match config::load(path, config::environment()) {
        Ok(loaded) => loaded,
        Err(errors) => {
            eprint!("{}", errors.render(std::io::stderr().is_terminal()));
            return Exit::Usage;
        }
    };
    // The guard writes out what is queued when it is dropped, so it outlives everything that logs.
    let _log = match log::init(&LogSettings::from(&loaded.config.log)) {
        Ok(guard) => guard,
        Err(error) => {
            eprintln!("turnstone: the log cannot be set up: {error}");
            return Exit::Failure;
        }
    };
    warn(&loaded);
    match resolve(&loaded.config).and_then(|plan| start(plan, passed, path)) {
        Ok(exit) => exit,
        Err(error) => {
            tracing::error!("{error}");
            Exit::Failure
        }
    }
}

fn start(plan: Plan, passed: PassedSockets, path: &Path) -> Result<Exit, StartError> {
    let daemon = Daemon::start(plan, passed, entropy::random()?)?;
    let doors = |wanted| {
        let of_it = daemon.relays().addresses().iter().filter(|(transport, _)| *transport == wanted);
        of_it.map(|(_, address)| address.to_string()).collect::<Vec<_>>().join(", ")
    };
    let (udp, tcp, tls) = (doors(Transport::Udp), doors(Transport::Tcp), doors(Transport::Tls));
    let dtls = doors(Transport::Dtls);
    tracing::info!(version = env!("CARGO_PKG_VERSION"), udp, tcp, tls, dtls, "serving");
    let runtime = runtime().map_err(|error| StartError::system("cannot start", &error))?;
    match runtime.block_on(daemon.serve(&mut || reread(path))) {
        Ok(Ending::Asked) => Ok(Exit::Ok),
        Ok(Ending::ShardLost) => Ok(Exit::Failure),
        Err(error) => Err(StartError::system("cannot watch signals", &error)),
    }
}

/// The config as it is now, or all that is wrong with it.
pub(super) fn reread(path: &Path) -> Result<Plan, Vec<Fault>> {
    let fault = |error: &Finding| Fault {
        at: error.location(),
        message: error.message.clone(),
        help: error.help.clone().unwrap_or_default(),
    };
    let loaded = config::load(path, config::environment())
        .map_err(|errors| errors.errors().iter().map(fault).collect::<Vec<_>>())?;
    warn(&loaded);
    resolve(&loaded.config).map_err(|error| vec![error.into()])
}

/// The plan of a config on this machine.
pub(super) fn resolve(config: &Config) -> Result<Plan, StartError> {
    let host = Host::look().map_err(|error| StartError::system("cannot list interfaces", &error))?;
    Ok(config::resolve(config, &host)?)
}

fn warn(loaded: &Loaded) {
    for warning in &loaded.warnings {
        tracing::warn!(at = warning.location(), help = warning.help, "{}", warning.message);
    }
}
