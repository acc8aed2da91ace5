//! What comes before the first packet: allocations and channels, or what a bare forwarder wants to know.

use super::credentials::Credentials;
use super::crowd::{Control, Crowd};
use super::drive::Load;
use super::line::Line;
use super::link::Frame;
use super::refusal::explain;
use super::turn_client::{SetUpFailed, TurnClient, Wish};
use super::{BenchFailed, RelayOptions, Transport, Via};
use crate::net::Header;
use crossbeam_channel::{Receiver, TryRecvError};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};
use stun::agent::TransactionId;
use stun::message::{CLASS_INDICATION, METHOD_SEND, Message, MessageType};
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use turn::proto::data::Data;
use turn::proto::peeraddr::PeerAddress;

/// Clients that are set up, or ended, at the same time.
const AT_ONCE: usize = 16;

/// How long one wait for packets is while clients work.
const PATIENCE: Duration = Duration::from_millis(20);

/// How often a bare forwarder is asked, and how long each time.
const ASKED: u32 = 20;
const ASK_EVERY: Duration = Duration::from_millis(100);

impl Crowd {
    /// Allocates for each client and makes the way to its peer, through the `turn` crate.
    pub(super) fn set_up(
        &mut self,
        options: &RelayOptions,
        runtime: &Runtime,
        progress: &mut dyn FnMut(&str),
    ) -> Result<(), BenchFailed> {
        let lines = self.lines(options)?;
        let (results, ready) = crossbeam_channel::bounded(lines.len());
        let (waker, turns) = (self.waker(), Arc::new(Semaphore::new(AT_ONCE)));
        for (line, wish) in lines {
            let (results, waker, turns) = (results.clone(), waker.clone(), Arc::clone(&turns));
            runtime.spawn(async move {
                // None is left once one has failed.
                let Ok(_turn) = turns.acquire().await else { return };
                let client = line.client;
                let result = TurnClient::set_up(line, wish).await;
                let _nobody_waits_any_more = results.send((client, result));
                waker.wake();
            });
        }
        drop(results);
        let (mut done, mut outcome) = (0, Ok(()));
        // Also after a failure, so that those whose turn it is get to end what they have.
        while let Some((client, result)) = self.await_one(&ready)? {
            done += 1;
            progress(&format!("{}: client {done} of {}", self.name, options.clients));
            let made = result.and_then(|turn| self.admit(client, turn, options));
            if let Err(failed) = made
                && outcome.is_ok()
            {
                turns.close();
                outcome = Err(explain(self, client, options, &failed));
            }
        }
        outcome
    }

    /// The next client that is done; `None` when none is at work any more.
    fn await_one<T>(&mut self, ready: &Receiver<T>) -> Result<Option<T>, BenchFailed> {
        loop {
            match ready.try_recv() {
                Ok(result) => return Ok(Some(result)),
                Err(TryRecvError::Disconnected) => return Ok(None),
                Err(TryRecvError::Empty) => self.pump(PATIENCE).map_err(|error| self.lost(&error))?,
            }
        }
    }

    /// Ends all allocations.
    pub(super) fn close(mut self, runtime: &Runtime) {
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        let mut tasks = Vec::new();
        let waker = self.waker();
        for client in &mut self.clients {
            let Control::Turn { turn, .. } = &mut client.control else { continue };
            let Some(turn) = turn.take() else { continue };
            let (turns, waker) = (Arc::clone(&turns), waker.clone());
            tasks.push(runtime.spawn(async move {
                let _turn = turns.acquire().await;
                turn.close().await;
                waker.wake();
            }));
        }
        // What cannot be told to the server any more ends by itself some minutes later.
        while !tasks.iter().all(tokio::task::JoinHandle::is_finished) && self.pump(PATIENCE).is_ok() {}
    }

    /// Tells a bare forwarder the peer of each client, and hears where each peer has to send to.
    pub(super) fn set_up_plain(&mut self, options: &RelayOptions) -> Result<(), BenchFailed> {
        for client in 0..self.clients.len() {
            let peer = self.peer_of(client).map_err(|error| self.lost(&error))?;
            let (number, relayed) = self.ask_forwarder(client, &forward_request(peer))?;
            let state = &mut self.clients[client];
            state.relayed = Some(relayed);
            state.frame = Frame::channel(number, options.payload_bytes, false);
        }
        Ok(())
    }

    fn ask_forwarder(&mut self, client: usize, request: &[u8]) -> Result<(u16, SocketAddr), BenchFailed> {
        for _ in 0..ASKED {
            let server = self.server;
            let sent = self.clients[client].link.send_message(server, request);
            sent.map_err(|error| self.lost(&error))?;
            let asked = Instant::now();
            while asked.elapsed() < ASK_EVERY {
                self.pump(PATIENCE).map_err(|error| self.lost(&error))?;
                let Control::Plain(kept) = &mut self.clients[client].control else { break };
                if let Some(answer) = kept.drain(..).find_map(|answer| forward_answer(&answer, server.ip())) {
                    return Ok(answer);
                }
            }
        }
        Err(BenchFailed::Unreachable(format!(
            "{} ({}): no answer to FORWARD; is it a bare forwarder?",
            self.name, self.server
        )))
    }

    fn lines(&mut self, options: &RelayOptions) -> Result<Vec<(Arc<Line>, Wish)>, BenchFailed> {
        (0..options.clients)
            .map(|client| {
                let peer = self.peer_of(client)?;
                let (username, password) = Credentials::of(&options.credentials, client);
                Ok((self.line(client, options.via == Via::Channel)?, Wish { username, password, peer }))
            })
            .collect::<io::Result<Vec<_>>>()
            .map_err(|error| self.lost(&error))
    }

    /// A client has all it wants.
    fn admit(&mut self, client: usize, turn: TurnClient, options: &RelayOptions) -> Result<(), SetUpFailed> {
        let is_stream = options.transport != Transport::Udp;
        let frame = match options.via {
            Via::Channel => Frame::channel(turn.channel, options.payload_bytes, is_stream),
            Via::Send => {
                let peer = self.peer_of(client).map_err(|error| SetUpFailed::here(&error))?;
                send_indication(peer, options.payload_bytes).map_err(|error| SetUpFailed::here(&error))?
            }
        };
        let state = &mut self.clients[client];
        state.frame = frame;
        // A server on a wildcard address cannot mean that one.
        state.relayed = Some(known(turn.relayed, self.server.ip()));
        if let Control::Turn { turn: slot, .. } = &mut state.control {
            *slot = Some(turn);
        }
        Ok(())
    }
}

/// All of a Send indication (RFC 8656 section 11.1) up to the data, and the padding behind it.
fn send_indication(peer: SocketAddr, payload_bytes: usize) -> Result<Frame, stun::Error> {
    let mut message = Message::new();
    message.build(&[
        Box::new(TransactionId::new()),
        Box::new(MessageType::new(METHOD_SEND, CLASS_INDICATION)),
        Box::new(PeerAddress { ip: peer.ip(), port: peer.port() }),
        Box::new(Data(vec![0; payload_bytes])),
    ])?;
    let pad = payload_bytes.wrapping_neg() & 3;
    let front = message.raw.len().saturating_sub(payload_bytes + pad);
    let header = message.raw.get(..front).and_then(Header::new).ok_or(stun::Error::ErrUnexpectedEof)?;
    Ok(Frame { header, pad: pad as u8 })
}

/// `FORWARD\0`, then the peer: 16 bytes of address, IPv4 mapped, and the port.
fn forward_request(peer: SocketAddr) -> [u8; 26] {
    let ip = match peer.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    let mut request = *b"FORWARD\0..................";
    request[8..24].copy_from_slice(&ip.octets());
    request[24..].copy_from_slice(&peer.port().to_be_bytes());
    request
}

/// The number of the flow, then the address of its socket as in the request.
fn forward_answer(bytes: &[u8], server: IpAddr) -> Option<(u16, SocketAddr)> {
    let bytes: &[u8; 20] = bytes.try_into().ok()?;
    let ip: [u8; 16] = bytes[2..18].try_into().ok()?;
    let (number, port) = ([bytes[0], bytes[1]], [bytes[18], bytes[19]]);
    let address = SocketAddr::new(Ipv6Addr::from(ip).to_canonical(), u16::from_be_bytes(port));
    Some((u16::from_be_bytes(number), known(address, server)))
}

/// An address that says no host is on that of the server.
fn known(address: SocketAddr, server: IpAddr) -> SocketAddr {
    match address.ip() {
        ip if ip.is_unspecified() => SocketAddr::new(server, address.port()),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn what_goes_before_the_data_of_a_send_indication_fits_a_header() {
        let peer4: SocketAddr = "192.0.2.1:9".parse().unwrap();
        let peer6: SocketAddr = "[2001:db8::1]:9".parse().unwrap();
        for (peer, bytes, header_bytes, pad) in [(peer4, 160, 36, 0), (peer6, 161, 48, 3)] {
            let frame = send_indication(peer, bytes).unwrap();
            let header = frame.header.as_slice();
            assert_eq!((header.len(), frame.pad), (header_bytes, pad));
            let whole = [header, &vec![7; bytes], &vec![0; pad.into()]].concat();
            let message = crate::wire::stun::Message::parse(&whole).unwrap();
            let data = message.first(crate::wire::stun::AttributeType::DATA);
            assert_eq!(data, Some(&vec![7; bytes][..]));
        }
    }

    #[test]
    fn a_forwarder_is_asked_and_understood_as_agreed() {
        let request = forward_request("192.0.2.1:258".parse().unwrap());
        assert_eq!(request[..8], *b"FORWARD\0");
        assert_eq!(request[8..], [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 192, 0, 2, 1, 1, 2]);
        let answer = [&[0x40, 3][..], &request[8..]].concat();
        let server = "192.0.2.9".parse().unwrap();
        assert_eq!(forward_answer(&answer, server), Some((0x4003, "192.0.2.1:258".parse().unwrap())));
        let nowhere = forward_request(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 258));
        let answer = [&[0x40, 3][..], &nowhere[8..]].concat();
        assert_eq!(forward_answer(&answer, server), Some((0x4003, "192.0.2.9:258".parse().unwrap())));
        assert_eq!(forward_answer(&answer[1..], server), None);
    }
}
