//! `turnstone bench`: how fast is this server, or any other?

mod table;

use super::client::Failure;
use super::progress::Progress;
use super::text::say;
use super::{misuse, print_json};
use crate::base::Exit;
use crate::probe::bench::{
    self, AllocateOptions, BenchFailed, ChallengeOptions, Credentials, Measured, Peers, RelayOptions, Target,
    Transport, Trust, Via, Way,
};
use clap::{ArgGroup, Args, Subcommand};
use serde::Serialize;
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
    /// Make allocations and end them: how many per second and per second of CPU, and the memory that one takes.
    ///
    /// Each is made as a client does it, with the challenge before it, so a server that limits its answers to strangers
    /// (`limits.unauthenticated_replies`) is measured at that limit: raise it, or go by the CPU. Memory is what the
    /// server's process has grown by since before the first round, without what the kernel keeps for sockets.
    Allocate(AllocateArgs),
    /// Ask for allocations without credentials: how many 401s per second, and what a stranger's request costs.
    ///
    /// A server may leave requests unanswered so as not to serve as an amplifier. At full speed the load waits for answers,
    /// so give such a server a --rate, and go by the CPU for each request.
    Challenge(ChallengeArgs),
}

/// Which servers, and how to tell what came of it.
#[derive(Debug, Args)]
pub(super) struct TargetArgs {
    /// A server to measure; several take turns.
    ///
    /// `pid=N` is its process on this machine, whose CPU time, memory and context switches are measured too. `plain`, for
    /// relay alone, is a forwarder that knows no TURN, which shows what the kernel alone takes.
    #[arg(long = "target", value_name = "[NAME=]HOST:PORT[,pid=N][,plain]", required = true)]
    targets: Vec<Target>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// How to get in.
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("credential").args(["password", "secret"])))]
pub(super) struct CredentialArgs {
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
}

#[derive(Debug, Args)]
pub struct RelayArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    credential: CredentialArgs,
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
    #[command(flatten)]
    timing: TimingArgs,
    /// Where peers are [default: the address by which this machine reaches the server]
    #[arg(long, value_name = "IP")]
    peer_address: Option<IpAddr>,
}

#[derive(Debug, Args)]
struct TimingArgs {
    /// Rounds of each target.
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: u32,
    /// Length of a round.
    #[arg(long, value_name = "S", default_value = "2", value_parser = seconds)]
    seconds: Duration,
    /// What does not count before each round, in seconds.
    #[arg(long, value_name = "S", default_value = "0.5", value_parser = seconds)]
    warm_up: Duration,
}

#[derive(Debug, Args)]
pub struct AllocateArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    credential: CredentialArgs,
    /// Allocations that live at the same time.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    count: usize,
    /// Requests that are under way at the same time.
    #[arg(long, value_name = "N", default_value_t = 64)]
    at_once: usize,
    /// Rounds of each target.
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: u32,
}

#[derive(Debug, Args)]
pub struct ChallengeArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Sockets that requests come from; where the server is on loopback, each has an address of its own.
    #[arg(long, value_name = "N", default_value_t = 16)]
    sources: usize,
    /// Requests per second of all sources together, spread evenly, or `full` for as many as are answered.
    #[arg(long, value_name = "N|full", default_value = "full", value_parser = rate)]
    rate: Rate,
    #[command(flatten)]
    timing: TimingArgs,
}

/// Packets per second; `None` for as many as get through.
#[derive(Clone, Copy, Debug)]
struct Rate(Option<u32>);

/// Carries the verb out.
pub(super) fn bench(args: &BenchArgs) -> Result<Exit, Failure> {
    match args {
        BenchArgs::Relay(args) => relay(args),
        BenchArgs::Allocate(args) => allocate(args),
        BenchArgs::Challenge(args) => challenge(args),
    }
}

fn relay(args: &RelayArgs) -> Result<Exit, Failure> {
    let credentials = match args.credential.of(&args.target.targets) {
        Ok(credentials) => credentials,
        Err(why) => return Ok(misuse(why)),
    };
    let options = args.options(credentials);
    let measured = watched(|progress| bench::relay(&options, &args.target.targets, progress));
    args.target.tell("relay", &options, measured, table::relay)
}

fn allocate(args: &AllocateArgs) -> Result<Exit, Failure> {
    let credentials = match args.credential.of(&args.target.targets) {
        Ok(credentials) => credentials,
        Err(why) => return Ok(misuse(why)),
    };
    let options =
        AllocateOptions { credentials, count: args.count, at_once: args.at_once, rounds: args.rounds };
    let measured = watched(|progress| bench::allocate(&options, &args.target.targets, progress));
    args.target.tell("allocate", &options, measured, table::allocate)
}

fn challenge(args: &ChallengeArgs) -> Result<Exit, Failure> {
    let options = ChallengeOptions {
        sources: args.sources,
        rate: args.rate.0,
        rounds: args.timing.rounds,
        seconds: args.timing.seconds,
        warm_up: args.timing.warm_up,
    };
    let measured = watched(|progress| bench::challenge(&options, &args.target.targets, progress));
    args.target.tell("challenge", &options, measured, table::challenge)
}

/// Shows how far it is, as long as it takes.
fn watched<T>(work: impl FnOnce(&mut dyn FnMut(&str)) -> T) -> T {
    let mut progress = Progress::new();
    work(&mut |text| progress.show(text))
}

impl TargetArgs {
    /// Prints what was measured, or says why nothing was.
    fn tell<O: Serialize, F: Serialize>(
        &self,
        command: &str,
        options: &O,
        measured: Result<Vec<Measured<F>>, BenchFailed>,
        table: impl FnOnce(&O, &[Measured<F>]) -> String,
    ) -> Result<Exit, Failure> {
        match measured {
            Ok(targets) if self.json => {
                print_json(
                    &json!({ "schema": 1, "command": command, "options": options, "targets": targets }),
                )?;
            }
            Ok(targets) => say(&table(options, &targets))?,
            Err(BenchFailed::Misused(why)) => return Ok(misuse(&why)),
            Err(BenchFailed::Unreachable(why)) => return Err(Failure::Unreachable(why)),
            Err(BenchFailed::Other(why)) => return Err(Failure::Broken(why)),
        }
        Ok(Exit::Ok)
    }
}

impl RelayArgs {
    fn options(&self, credentials: Credentials) -> RelayOptions {
        RelayOptions {
            credentials,
            clients: self.clients,
            peers: self.peers,
            via: self.via,
            way: self.way,
            payload_bytes: self.size,
            burst: self.burst,
            rate: self.rate.0,
            window: self.window.unwrap_or_else(|| WINDOW.max(self.burst.saturating_mul(2))),
            transport: self.transport,
            trust: match &self.ca {
                Some(path) => Trust::Ca(path.clone()),
                None if self.insecure => Trust::Anybody,
                None => Trust::System,
            },
            rounds: self.timing.rounds,
            seconds: self.timing.seconds,
            warm_up: self.timing.warm_up,
            peer_address: self.peer_address,
        }
    }
}

impl CredentialArgs {
    fn of(&self, targets: &[Target]) -> Result<Credentials, &'static str> {
        let username = self.username.clone();
        match (&self.password, &self.secret) {
            (Some(password), _) => Ok(Credentials::Password { username, password: password.clone() }),
            (None, Some(secret)) => Ok(Credentials::Secret { user: username, secret: secret.clone() }),
            // A bare forwarder asks nobody.
            (None, None) if targets.iter().all(|target| target.plain) => {
                Ok(Credentials::Password { username, password: String::new() })
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
