//! `turnstone demo`: everything on this machine, with secrets made for the occasion.

use super::life::Daemon;
use super::log::{self, LogSettings};
use super::{StartError, entropy, run, runtime};
use crate::auth::token::{TokenRequest, TokenRules, issue};
use crate::auth::{MintRequest, Scope, Variant, api_key_text, mint};
use crate::base::{Exit, Family, Random, Transport, UnixTime};
use crate::config::{self, Config};
use crate::net::{PassedSockets, interfaces};
use crate::probe::check_relay;
use crate::signaling::{Advertised, ice_servers};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt;
use std::fs::Permissions;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// Where TURN lives by IANA's word.
const TURN_PORT: u16 = 3478;
const ADMIN_PORT: u16 = 9640;
const PUBLIC_PORT: u16 = 8080;
/// TURN over TLS, by IANA's word.
const TLS_PORT: u16 = 5349;
const CREDENTIAL_LIFETIME: Duration = Duration::from_secs(24 * 3600);
const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

/// Runs until Ctrl-C.
pub fn demo() -> Exit {
    let _log = log::init(&LogSettings::default());
    match start() {
        Ok(exit) => exit,
        Err(error) => {
            eprintln!("turnstone demo: {error}");
            Exit::Failure
        }
    }
}

fn start() -> Result<Exit, StartError> {
    let mut random = entropy::random()?;
    // Outlives the daemon, and goes away with what it holds: state, socket and config.
    let folder =
        state_folder().map_err(|error| StartError::system("no folder for the demo's state", &error))?;
    let path = folder.path().join("turnstone.toml");
    std::fs::write(&path, config_text(&mut random))
        .map_err(|error| StartError::system("the demo's config cannot be written", &error))?;
    let loaded = config::load(&path, [])
        .map_err(|errors| StartError::new("demo", errors.render(false), "this is a defect of turnstone"))?;
    let plan = run::resolve(&loaded.config)?;
    let auth = plan.auth.clone();
    let admin = plan.admin;
    let [key, operator] = std::array::from_fn(|_| api_key_text(random.bytes()));
    let mut daemon = Daemon::start(plan, PassedSockets::default(), random)?;
    daemon.let_in(&key, "the test page", Scope::Mint);
    daemon.let_in(&operator, "the dashboard", Scope::Admin);
    let doors = daemon.relays().addresses().to_vec();
    let secret = auth.secrets.first().ok_or_else(|| StartError::new("demo", "no secret", "a defect"))?;
    let request = MintRequest::new(unix_now(), CREDENTIAL_LIFETIME, "demo");
    let credential = mint(secret, Variant::Sha1, &request)
        .map_err(|error| StartError::new("demo", error.to_string(), "a defect"))?;
    let pages = test_pages(&loaded.config, &key);
    let first_call = first_call(&loaded.config)
        .ok_or_else(|| StartError::new("demo", "no token for signaling", "a defect"))?;

    let runtime = runtime().map_err(|error| StartError::system("cannot start", &error))?;
    runtime.block_on(async {
        let password = credential.password.expose();
        // The independent client speaks UDP.
        for (_, server) in doors.iter().filter(|(transport, _)| *transport == Transport::Udp) {
            let relayed =
                check_relay(*server, &auth.realm, &credential.username, password).await.map_err(|why| {
                    StartError::new(
                        "demo",
                        format!("the relay at {server} does not work: {why}"),
                        "is a firewall in the way?",
                    )
                })?;
            let [a, b] = relayed.addresses;
            tell(format_args!(
                "relay works at {server}: {a} <-> {b}, {} round trips, slowest {:.2} ms",
                relayed.round_trips,
                relayed.slowest.as_secs_f64() * 1000.0
            ));
        }
        print_welcome(&doors, &credential.username, password, admin.map(|door| (door, &*operator)));
        tell(format_args!("\n{first_call}"));
        for page in &pages {
            tell(format_args!("test page: {page}"));
        }
        tell(format_args!("look at it: turnstone --config {} status", path.display()));
        tell(format_args!("Ctrl-C ends it."));
        // Ctrl-C and SIGTERM end a demo alike.
        let ending = daemon.serve(&mut || run::reread(&path)).await;
        ending.map_err(|error| StartError::system("cannot watch signals", &error))
    })?;
    tell(format_args!("turnstone demo has ended"));
    Ok(Exit::Ok)
}

/// One line, or some. Whoever reads may be gone, which is no reason to end otherwise than by Ctrl-C.
fn tell(line: fmt::Arguments<'_>) {
    let _nobody_reads = writeln!(io::stdout(), "{line}");
}

fn print_welcome(
    doors: &[(Transport, SocketAddr)],
    username: &str,
    password: &str,
    admin: Option<(SocketAddr, &str)>,
) {
    let doors: Vec<_> = doors.iter().map(|(how, address)| Advertised::literal(*how, *address)).collect();
    let block = ice_servers(&doors, username, password);
    tell(format_args!("\niceServers (valid for {} h):", CREDENTIAL_LIFETIME.as_secs() / 3600));
    tell(format_args!("{block:#}"));
    if let Some((admin, key)) = admin {
        tell(format_args!("\nmetrics: http://{admin}/metrics"));
        tell(format_args!("dashboard: http://{admin}/ for the API key {key}"));
    }
}

/// Signaling: its URLs, tokens of two users, and a program by which one calls the other.
fn first_call(config: &Config) -> Option<String> {
    let urls = config.signaling_urls()?;
    let (socket_io, plain) = (urls.socket_io.first()?, urls.plain.first()?);
    let secret = config.auth.jwt.secret.as_ref()?;
    let issued_unix_s = unix_now().0;
    let token = |subject| {
        let expires_unix_s = issued_unix_s + TOKEN_LIFETIME.as_secs();
        let (device, name, rooms) = (None, None, &[][..]);
        issue(
            secret,
            &TokenRules::default(),
            TokenRequest { subject, device, name, rooms, issued_unix_s, expires_unix_s },
        )
        .ok()
    };
    let (alice, bob) = (token("alice")?, token("bob")?);
    let (origin, hours) = (socket_io.strip_suffix("/socket.io/")?, TOKEN_LIFETIME.as_secs() / 3600);
    Some(format!(
        "signaling for Socket.IO: {socket_io}\n\
         signaling for a plain WebSocket, subprotocol turnstone.v1.json: {plain}\n\
         a first call (tokens valid for {hours} h): npm install socket.io-client, put these lines into call.mjs,\n\
         run `node call.mjs bob`, and beside it `node call.mjs alice`:\n\n\
         import {{ io }} from \"socket.io-client\";\n\
         const me = process.argv[2];\n\
         const token = {{\n  alice: \"{alice}\",\n  bob: \"{bob}\" }}[me];\n\
         const socket = io(\"{origin}\", {{ auth: {{ token }} }}).onAny(console.log).on(\"connect_error\", console.log);\n\
         socket.on(\"call:incoming\", ({{ call_id }}) => socket.emit(\"call:accepted\", {{ call_id }}, console.log));\n\
         if (me === \"alice\") socket.emit(\"call:start\", {{ to: \"bob\" }}, console.log);\n"
    ))
}

/// Where a browser finds the test page. On this machine that is `localhost`, where pages may use a camera without TLS;
/// for others it is under TLS, with a certificate that their browsers ask about once.
fn test_pages(config: &Config, key: &str) -> Vec<String> {
    let is_tls = |listen: &&config::Listen| listen.transports.contains(&config::Transport::Tls);
    let here = config.http.public.0.map(|door| format!("http://localhost:{}", door.port()));
    let others = config.listen.iter().filter(is_tls).map(|listen| format!("https://{}", listen.address));
    here.into_iter().chain(others).map(|origin| format!("{origin}/test#key={key}")).collect()
}

/// A folder that nobody else may look into.
fn state_folder() -> io::Result<TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("turnstone-demo-").permissions(Permissions::from_mode(0o700)).tempdir()
}

/// Loopback and the primary address, the usual ports where they are free; TLS where other machines reach it.
fn config_text(random: &mut Random) -> String {
    let [secret, jwt] = std::array::from_fn(|_| URL_SAFE_NO_PAD.encode(random.bytes::<32>()));
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let primary = interfaces::primary(Family::V4).filter(|ip| *ip != loopback);
    let addresses: Vec<IpAddr> = std::iter::once(loopback).chain(primary).collect();
    let port = free_port(&addresses);
    let (admin, public) = (free_tcp_port(loopback, ADMIN_PORT), free_tcp_port(loopback, PUBLIC_PORT));
    let outer = primary.unwrap_or(loopback);
    let secure = SocketAddr::new(outer, free_tcp_port(outer, TLS_PORT));
    let quoted = |ip: &IpAddr| format!("\"{ip}\"");
    let listen: String = addresses
        .iter()
        .map(|ip| {
            format!(
                "[[listen]]\naddress = \"{}\"\ntransports = [\"udp\", \"tcp\"]\n",
                SocketAddr::new(*ip, port)
            )
        })
        .collect();
    let relay = addresses.iter().map(quoted).collect::<Vec<_>>().join(", ");
    format!(
        "{listen}[[listen]]\naddress = \"{secure}\"\ntransports = [\"tls\"]\n[tls]\nmode = \"self-signed\"\n\
         [relay]\naddresses = [{relay}]\n[auth]\nsecrets = [\"{secret}\"]\n[auth.jwt]\nsecret = \"{jwt}\"\n\
         [http]\nadmin = \"127.0.0.1:{admin}\"\npublic = \"127.0.0.1:{public}\"\ntest_page = true\n[storage]\npath = \"state\"\n\
         [admin]\nsocket = \"admin.sock\"\n[limits]\nallocations_per_user = 256\nallocations_total = 256\n"
    )
}

/// The usual port, or one that is free on all addresses now, for UDP and TCP.
fn free_port(addresses: &[IpAddr]) -> u16 {
    let is_free = |port: u16| {
        let both =
            |ip: &IpAddr| UdpSocket::bind((*ip, port)).is_ok() && TcpListener::bind((*ip, port)).is_ok();
        addresses.iter().all(both)
    };
    let any = || UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr()).ok();
    std::iter::once(TURN_PORT)
        .chain(std::iter::repeat_with(any).take(8).flatten().map(|address| address.port()))
        .find(|port| is_free(*port))
        .unwrap_or(TURN_PORT)
}

/// `usual`, or one that is free at `ip` now.
fn free_tcp_port(ip: IpAddr, usual: u16) -> u16 {
    let bind = |port: u16| TcpListener::bind((ip, port));
    let listener = bind(usual).or_else(|_| bind(0)).and_then(|listener| listener.local_addr());
    listener.map_or(usual, |address| address.port())
}

fn unix_now() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
