//! The server that the public test suites of Engine.IO v4 and Socket.IO v5 expect:
//! `cargo run --example conformance -- engine|socket --port 3000`.
//!
//! The suites stand in the repository socketio/socket.io, folder `docs`, one beside each protocol: `npm ci && npm test`.
//! The wires are those of the daemon; what answers is a fixture in place of the hub.

mod fixture;

use clap::{Parser, ValueEnum};
use fixture::Fixture;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::time::Duration;
use turnstone::base::Random;
use turnstone::http::serve_fixture;
use turnstone::http::signaling::{DriverSettings, Gate, Setup, Signaling};
use turnstone::net::Clock;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Suite {
    /// Echoes each message, at `/engine.io/`.
    Engine,
    /// Namespaces `/` and `/custom`, at `/socket.io/`.
    Socket,
}

#[derive(Debug, Parser)]
struct Arguments {
    /// Which suite is to come.
    suite: Suite,
    /// Where to listen, on loopback.
    #[arg(long, default_value_t = 3000)]
    port: u16,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let Arguments { suite, port } = Arguments::parse();
    let (path, echo) = match suite {
        Suite::Engine => ("/engine.io/", true),
        Suite::Socket => ("/socket.io/", false),
    };
    let settings = DriverSettings {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        // The suite waits two seconds for the end of a client that says nothing.
        hello_timeout: Duration::from_secs(1),
        message_bytes_max: 1_000_000,
        namespaces: vec!["/".into(), "/custom".into()],
        echo,
        ..DriverSettings::default()
    };
    let signaling = Signaling::start(Setup {
        settings,
        backend: Box::<Fixture>::default(),
        gate: Gate::Open,
        random: Random::seeded(port.into()),
        clock: Clock::start(),
        news: None,
        keeping: None,
    })?;
    // The suites say `localhost`, which may be either.
    let ipv6 = TcpListener::bind((Ipv6Addr::LOCALHOST, port)).ok();
    let ipv4 = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    for listener in ipv6.iter().chain([&ipv4]) {
        listener.set_nonblocking(true)?;
    }
    println!("{path} listens on port {port} of localhost; Ctrl-C ends it");
    let also = async {
        match ipv6 {
            Some(listener) => serve_fixture(listener, path, signaling.door()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = serve_fixture(ipv4, path, signaling.door()) => ended,
        ended = also => ended,
        asked = tokio::signal::ctrl_c() => asked,
    }?;
    signaling.stop();
    Ok(())
}
