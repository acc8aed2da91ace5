//! What does a connection cost that only is there?

use crate::client::binding;
use crate::connection::{Connection, Identity};
use crate::machine;
use crate::meter::{Memory, Usage};
use crate::options::{Door, Kind, Options, name};
use crate::server::Server;
use crate::table;
use crate::throughput::kinds;
use crate::world::Answer;
use serde_json::{Value, json};
use std::io;
use std::net::Ipv4Addr;

const HEAD: [&str; 6] =
    ["server, door", "resident KiB/conn.", "anonymous KiB/conn.", "goal", "CPU % idle", "CPU ms to accept"];

/// Prints the table and returns all figures.
pub(crate) fn run(options: &Options, identity: &Identity) -> Value {
    machine::pin(machine::load_core());
    println!(
        "\nidle: {} connections that have sent one Binding, watched for {:?}. Growth of the server's user-space \
         memory per connection; CPU in percent of a core. A fresh process for each line.",
        options.connections,
        options.watch()
    );
    let (mut rows, mut figures) = (Vec::new(), Vec::new());
    for kind in kinds(options) {
        for door in &options.doors {
            let title = format!("{}, {}", name(kind), name(*door));
            let server = Server::start(kind, identity);
            if !server.speaks(*door, identity) {
                println!("{title}: not spoken");
                continue;
            }
            let figure = measure(options, identity, &server, *door)
                .unwrap_or_else(|error| panic!("{title}, {} connections: {error}", options.connections));
            rows.push(figure.row(title.clone(), kind, *door));
            figures.push(json!({
                "case": title,
                "resident_bytes": figure.resident,
                "anonymous_bytes": figure.anonymous,
                "cpu_percent": figure.cpu_percent,
                "accept_cpu_ms": figure.accept_cpu_ms,
            }));
        }
    }
    table::print(&HEAD, &rows);
    Value::from(figures)
}

/// Per connection, but for the CPU of all while they are idle.
struct Figure {
    resident: f64,
    anonymous: f64,
    cpu_percent: f64,
    accept_cpu_ms: f64,
}

impl Figure {
    fn row(&self, title: String, kind: Kind, door: Door) -> Vec<String> {
        let goal = match (kind, door) {
            (Kind::Coturn, _) => "",
            (Kind::Turnstone, Door::Tcp) => "<= 8, < 2 %",
            (Kind::Turnstone, Door::Tls12 | Door::Tls13) => "<= 30, < 2 %",
        };
        vec![
            title,
            format!("{:.2}", self.resident / 1024.0),
            format!("{:.2}", self.anonymous / 1024.0),
            goal.into(),
            format!("{:.3}", self.cpu_percent),
            format!("{:.3}", self.accept_cpu_ms),
        ]
    }
}

fn measure(options: &Options, identity: &Identity, server: &Server, door: Door) -> io::Result<Figure> {
    let open = |number: u16| -> io::Result<Connection> {
        let source = Ipv4Addr::new(127, 0, 1 + (number / 250) as u8, 1 + (number % 250) as u8);
        let mut connection = Connection::open(server, door, source, identity)?;
        ask(&mut connection)?;
        Ok(connection)
    };
    // What the first of all needs is no cost of a connection.
    drop(open(0)?);
    let (memory, usage) = (Memory::of(server.pid()), Usage::of(server.pid()));
    let mut connections = (0..options.connections).map(open).collect::<io::Result<Vec<_>>>()?;
    let opened = Usage::of(server.pid()) - usage;

    let before = Usage::of(server.pid());
    #[expect(clippy::disallowed_methods, reason = "the time that is idle is what is measured")]
    std::thread::sleep(options.watch());
    let idle = Usage::of(server.pid()) - before;
    let after = Memory::of(server.pid());
    for connection in &mut connections {
        ask(connection)?;
    }
    let count = f64::from(options.connections);
    let growth = |before: u64, after: u64| (after as f64 - before as f64) / count;
    Ok(Figure {
        resident: growth(memory.resident, after.resident),
        anonymous: growth(memory.anonymous, after.anonymous),
        cpu_percent: 100.0 * idle.cpu_s() / options.watch().as_secs_f64(),
        accept_cpu_ms: 1e3 * opened.cpu_s() / count,
    })
}

/// Shows that the connection is alive.
fn ask(connection: &mut Connection) -> io::Result<()> {
    let answer = Answer::read(&connection.exchange(&binding())?);
    assert_eq!(answer.mapped, Some(connection.stream().local_addr()?), "a Binding answer names its sender");
    Ok(())
}
