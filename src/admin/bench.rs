//! `turnstone bench`: how fast is this server, or any other?

mod table;

use super::client::Failure;
use super::progress::Progress;
use super::{misuse, print_json};
use crate::base::Exit;
use crate::probe::bench::{
    self, BenchFailed, Credentials, Measured, Peers, RelayFigures, RelayOptions, Target, Transport, Trust,
    Via, Way,
};
use clap::{ArgGroup, Args, Subcommand};
use serde_json::json;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Of a flow at full speed, where the bursts do not ask for more.
const WINDOW: u32 = 4;

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum BenchArgs {
    /// Relay packets at full speed or at a steady rate: packets per second, loss, delay, CPU of the server.
    ///
    /// Clients allocate on the server and exchange packets with peers, which are sockets of this machine. A round has a
    /// warm-up that does not count, and then --seconds that do; only packets that arrive count, each once. Several targets
    /// take turns round by round, so that whatever else the machine does meets all of them; the figures shown are medians,
    /// and ratios compare the first target with each other one. Clients stay for all rounds and end their allocations
    /// behind them.
    ///
    /// The load comes from one thread. Give it a core of its own (`taskset`), and leave others to the server: CPU time of
    /// the server for each packet is then worth more than packets per second, which may be the limit of the load.
    Relay(Box<RelayArgs>),
}

/// Which servers, and how to get in.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("credential").args(["password", "secret"])))]
pub(super) struct TargetArgs {
    /// A server to measure; several take turns.
    ///
    /// `pid=N` is its process on this machine, whose CPU time, memory and context switches are measured too. `plain` is a
    /// forwarder that knows no TURN, which shows what the kernel alone takes.
    #[arg(long = "target", value_name = "[NAME=]HOST:PORT[,pid=N][,plain]", required = true)]
    targets: Vec<Target>,
    /// The user of all clients, or, with --secret, the beginning of their names.
    #[arg(long, value_name = "NAME", default_value = "bench")]
    username: String,
    /// The password of that user.
    #[arg(long)]
    password: Option<String>,
    /// A secret shared with the server, by which each client is a user of its own.
    ///
    /// Names are `<expiry>:<username>-<number>` with a HMAC-SHA1, which all servers know that know the TURN REST
    /// scheme: `auth.secrets` of turnstone, `static-auth-secret` of coturn.
    #[arg(long)]
    secret: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub struct RelayArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Clients of each target, each with one allocation.
    #[arg(long, value_name = "N", default_value_t = 100)]
    clients: usize,
    /// How many peers.
    #[arg(long, value_enum, default_value_t = Peers::Each)]
    peers: Peers,
    /// By which messages payload goes between client and server.
    #[arg(long, value_enum, default_value_t = Via::Channel)]
    via: Via,
    /// Which way packets go.
    #[arg(long, value_enum, default_value_t = Way::Both)]
    way: Way,
    /// Bytes of application payload in a packet.
    #[arg(long, value_name = "BYTES", default_value_t = 160)]
    size: usize,
    /// Packets of one client that leave together, as those of one video frame do.
    #[arg(long, value_name = "N", default_value_t = 1)]
    burst: u32,
    /// Packets per second of all clients together, spread evenly, or `full` for as many as get through.
    #[arg(long, value_name = "N|full", default_value = "full", value_parser = rate)]
    rate: Rate,
    /// Packets of one client and one way that may be under way at full speed [default: 4, or two bursts]
    #[arg(long, value_name = "N")]
    window: Option<u32>,
    /// How clients reach the server.
    #[arg(long, value_enum, default_value_t = Transport::Udp)]
    transport: Transport,
    /// Believe certificates of the authorities in this PEM file alone.
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca: Option<PathBuf>,
    /// Believe every certificate.
    #[arg(long)]
    insecure: bool,
    /// Rounds of each target.
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: u32,
    /// Length of a round.
    #[arg(long, value_name = "S", default_value = "2", value_parser = seconds)]
    seconds: Duration,
    /// What does not count before each round, in seconds.
    #[arg(long, value_name = "S", default_value = "0.5", value_parser = seconds)]
    warm_up: Duration,
    /// Where peers are [default: the address by which this machine reaches the server]
    #[arg(long, value_name = "IP")]
    peer_address: Option<IpAddr>,
}

/// Packets per second; `None` for as many as get through.
#[derive(Clone, Copy, Debug)]
struct Rate(Option<u32>);

/// Carries the verb out.
pub(super) fn bench(args: &BenchArgs) -> Result<Exit, Failure> {
    match args {
        BenchArgs::Relay(args) => relay(args),
    }
}

fn relay(args: &RelayArgs) -> Result<Exit, Failure> {
    let targets = &args.target.targets;
    let options = match args.options() {
        Ok(options) => options,
        Err(why) => return Ok(misuse(why)),
    };
    let measured = {
        let mut progress = Progress::new();
        bench::relay(&options, targets, &mut |text| progress.show(text))
    };
    match measured {
        Ok(measured) if args.target.json => {
            print_json(&json!({ "schema": 1, "command": "relay", "options": options, "targets": measured }))?;
            Ok(Exit::Ok)
        }
        Ok(measured) => show(&options, &measured),
        Err(BenchFailed::Misused(why)) => Ok(misuse(&why)),
        Err(BenchFailed::Unreachable(why)) => Err(Failure::Unreachable(why)),
        Err(BenchFailed::Other(why)) => Err(Failure::Broken(why)),
    }
}

fn show(options: &RelayOptions, measured: &[Measured<RelayFigures>]) -> Result<Exit, Failure> {
    super::text::say(&table::relay(options, measured))?;
    Ok(Exit::Ok)
}

impl RelayArgs {
    fn options(&self) -> Result<RelayOptions, &'static str> {
        let trust = match &self.ca {
            Some(path) => Trust::Ca(path.clone()),
            None if self.insecure => Trust::Anybody,
            None => Trust::System,
        };
        Ok(RelayOptions {
            credentials: self.target.credentials()?,
            clients: self.clients,
            peers: self.peers,
            via: self.via,
            way: self.way,
            payload_bytes: self.size,
            burst: self.burst,
            rate: self.rate.0,
            window: self.window.unwrap_or_else(|| WINDOW.max(self.burst.saturating_mul(2))),
            transport: self.transport,
            trust,
            rounds: self.rounds,
            seconds: self.seconds,
            warm_up: self.warm_up,
            peer_address: self.peer_address,
        })
    }
}

impl TargetArgs {
    fn credentials(&self) -> Result<Credentials, &'static str> {
        match (&self.password, &self.secret) {
            (Some(password), _) => {
                Ok(Credentials::Password { username: self.username.clone(), password: password.clone() })
            }
            (None, Some(secret)) => {
                Ok(Credentials::Secret { user: self.username.clone(), secret: secret.clone() })
            }
            // A bare forwarder asks nobody.
            (None, None) if self.targets.iter().all(|target| target.plain) => {
                Ok(Credentials::Password { username: String::new(), password: String::new() })
            }
            (None, None) => Err("the server wants credentials: give --username and --password, or --secret"),
        }
    }
}

fn rate(text: &str) -> Result<Rate, String> {
    match text {
        "full" => Ok(Rate(None)),
        number => number
            .parse()
            .map(|rate| Rate(Some(rate)))
            .map_err(|_| "neither a number of packets per second nor `full`".to_owned()),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "no number of seconds".to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}
