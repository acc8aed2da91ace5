//! What does TURN over TCP and TLS cost, beside coturn on the same machine in the same run?
//!
//! ```text
//! cargo bench --bench streams                          both parts, about 7 minutes
//! cargo bench --bench streams -- idle                  memory and CPU of 2,000 idle connections
//! cargo bench --bench streams -- throughput --help     what can be varied
//! cargo bench --bench streams -- --test                seconds: does the bench itself work?
//! ```
//! Each server is a process of its own on the first core, the load comes from the last one. Only the
//! server's CPU time counts, and only packets that arrived. coturn is Debian's; without it the bench runs
//! alone. `benches/README.md` keeps the last table.
#![allow(clippy::unwrap_used, clippy::wrong_self_convention)]

#[path = "streams/client.rs"]
mod client;
#[path = "streams/connection.rs"]
mod connection;
#[path = "../tests/support/daemon.rs"]
mod daemon;
#[path = "streams/idle.rs"]
mod idle;
#[path = "streams/load.rs"]
mod load;
#[path = "streams/machine.rs"]
mod machine;
#[path = "streams/meter.rs"]
mod meter;
#[path = "streams/options.rs"]
mod options;
#[path = "streams/server.rs"]
mod server;
#[path = "../tests/support/skip.rs"]
mod skip;
#[path = "streams/table.rs"]
mod table;
#[path = "streams/throughput.rs"]
mod throughput;
#[path = "../tests/support/world.rs"]
mod world;

use connection::Identity;
use options::{Options, Part};
use serde_json::json;

fn main() {
    let options = Options::read();
    let identity = Identity::generate();
    machine::print();
    let mut report = json!({ "machine": machine::describe(), "options": format!("{options:?}") });
    if options.has(Part::Idle) {
        report["idle"] = idle::run(&options, &identity);
    }
    if options.has(Part::Throughput) {
        report["throughput"] = throughput::run(&options, &identity);
    }
    if let Some(path) = &options.json {
        std::fs::write(path, format!("{report:#}\n"))
            .unwrap_or_else(|error| panic!("--json {}: {error}", path.display()));
    }
}
