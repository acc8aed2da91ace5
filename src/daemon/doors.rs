//! The sockets of all doors: bound here, or passed by the service manager (see `systemd/turnstone.socket`).
//!
//! Where it passes one listener, all stream runtimes accept from it: each connection wakes all of them, and one gets it. Where
//! it passes one for each (`ReusePort=yes`), the kernel spreads connections as it does over those that are bound here.
//! Datagrams of one client must come to one shard, so each shard needs a datagram socket of its own. A reload binds nothing,
//! so what was passed stays in use until the end.

use super::error::StartError;
use crate::config::Plan;
use crate::net::{PassedSockets, UdpOptions, tcp};
use crate::relay::stream::{StreamDoor, StreamDoorSettings, adopt_stream_doors, bind_stream_doors};
use crate::relay::{Door, adopt_doors, bind_doors, probe_door};
use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpListener};

/// One list of UDP doors for each shard, or for DTLS each stream runtime.
pub(super) fn bind(
    plan: &Plan,
    addresses: &[SocketAddr],
    options: UdpOptions,
    passed: &mut PassedSockets,
) -> Result<Vec<Vec<Door>>, StartError> {
    let mut shards: Vec<Vec<Door>> = (0..plan.workers).map(|_| Vec::new()).collect();
    let failed = |address, error: io::Error| StartError::bind("listen.address", address, &error);
    let given: Vec<_> = addresses.iter().map(|address| passed.datagrams(*address)).collect();
    // All are asked for before one is bound: 0.0.0.0 and 127.0.0.1 may share a port within a process.
    let free = |(address, given): (&SocketAddr, &Vec<_>)| match given.is_empty() {
        true => probe_door(*address).map_err(|error| failed(*address, error)),
        false => Ok(*address),
    };
    let addresses = addresses.iter().zip(&given).map(free).collect::<Result<Vec<_>, _>>()?;
    for (address, given) in addresses.into_iter().zip(given) {
        let doors = match given.len() {
            0 => bind_doors(address, plan.workers, options),
            count if count == plan.workers => adopt_doors(address, given, options),
            count => return Err(uneven("datagram", address, count, plan.workers)),
        };
        for (shard, door) in shards.iter_mut().zip(doors.map_err(|error| failed(address, error))?) {
            shard.push(door);
        }
    }
    Ok(shards)
}

/// One list of doors for each stream runtime; no runtime when nothing takes connections or speaks DTLS.
pub(super) fn bind_streams(
    plan: &Plan,
    passed: &mut PassedSockets,
) -> Result<Vec<Vec<StreamDoor>>, StartError> {
    let failed = |address, error: io::Error| StartError::bind("listen.address", address, &error);
    let mut doors = Vec::new();
    for door in &plan.streams {
        if is_taken_over(door, &plan.streams, passed)? {
            continue;
        }
        let given = passed.streams(door.address);
        let address = match given.is_empty() {
            true => tcp::probe(door.address).map_err(|error| failed(door.address, error))?,
            false => door.address,
        };
        doors.push((StreamDoorSettings { address, ..door.clone() }, given));
    }
    let runtimes = if doors.is_empty() && plan.dtls.is_none() { 0 } else { plan.workers };
    let mut streams: Vec<Vec<StreamDoor>> = (0..runtimes).map(|_| Vec::new()).collect();
    for (door, given) in doors {
        let bound = match given.len() {
            0 => bind_stream_doors(&door, runtimes),
            count if count == 1 || count == runtimes => adopt_stream_doors(&door, &given, runtimes),
            count => return Err(uneven("stream", door.address, count, runtimes)),
        };
        let bound = bound.map_err(|error| failed(door.address, error))?;
        for (runtime, door) in streams.iter_mut().zip(bound) {
            runtime.push(door);
        }
    }
    Ok(streams)
}

/// The listener of an HTTP door that was passed, if one was.
pub(super) fn passed_http(
    key: &str,
    address: Option<SocketAddr>,
    passed: &mut PassedSockets,
) -> Result<Option<TcpListener>, StartError> {
    let Some(address) = address else { return Ok(None) };
    let mut given = passed.streams(address);
    match given.len() {
        0 | 1 => Ok(given.pop()),
        count => Err(StartError { key: key.into(), ..uneven("stream", address, count, 1) }),
    }
}

/// Says which sockets were passed for nothing.
pub(super) fn warn_of_left(passed: &PassedSockets) {
    for socket in passed.left() {
        tracing::warn!(
            "the socket unit has {socket}, and nothing in the config listens there: who connects waits in vain; \
             add a [[listen]] with that address (a `tls` door needs a certificate), or take the line out of the unit"
        );
    }
}

/// Whether a passed listener of the IPv6 wildcard serves this door of the IPv4 wildcard, too.
fn is_taken_over(
    door: &StreamDoorSettings,
    doors: &[StreamDoorSettings],
    passed: &PassedSockets,
) -> Result<bool, StartError> {
    if !passed.takes_ipv4_of(door.address) {
        return Ok(false);
    }
    let both = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), door.address.port());
    let same = StreamDoorSettings { address: both, ..door.clone() };
    if doors.contains(&same) {
        return Ok(true);
    }
    let what =
        format!("the socket that was passed for {both} takes what {} shall take otherwise", door.address);
    let help = "write a [[listen]] of \"[::]\" with the same settings, or put BindIPv6Only=ipv6-only and a ListenStream \
                for IPv4 into the socket unit";
    Err(StartError::new("listen.address", what, help))
}

fn uneven(kind: &str, address: SocketAddr, passed: usize, wanted: usize) -> StartError {
    let what = format!("{passed} {kind} sockets were passed for {address}, and {wanted} can be served");
    let help = match kind {
        "datagram" => {
            "pass one for each of relay.workers (as many ListenDatagram lines, and ReusePort=yes), or none: UDP ports \
             above 1023 need no privilege"
        }
        _ => "pass one, or with ReusePort=yes one for each of relay.workers",
    };
    StartError::new("listen.address", what, help)
}
