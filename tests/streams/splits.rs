//! Every split of a stream gives what whole delivery gives.

use crate::client::{Client, Said, await_no_connections, channel_data, daemon, peer};
use crate::daemon::Daemon;
use std::net::{SocketAddr, UdpSocket};
use turnstone::base::Random;
use turnstone::wire::stun::Method;

/// Connections that are at work at the same time: each has a relay port.
const BATCH: usize = 100;

/// One client in the middle of its stream.
struct Run {
    client: Client,
    peer: UdpSocket,
    stream: Vec<u8>,
    /// Where it is cut, in ascending order.
    cuts: Vec<usize>,
    sent: usize,
}

impl Run {
    fn start(server: SocketAddr, cuts: Vec<usize>) -> Self {
        let (mut client, peer) = (Client::connect(server), peer());
        client.log_in();
        let stream = recorded(&mut client, peer.local_addr().unwrap());
        Self { client, peer, stream, cuts, sent: 0 }
    }

    /// Sends the next piece. `false` when there was none.
    fn step(&mut self) -> bool {
        if self.sent == self.stream.len() {
            return false;
        }
        let next = self.cuts.iter().copied().find(|cut| *cut > self.sent && *cut < self.stream.len());
        let next = next.unwrap_or(self.stream.len());
        self.client.write(&self.stream[self.sent..next]);
        self.sent = next;
        true
    }

    /// Checks every answer and every datagram, and that both ends still agree where messages begin.
    fn finish(mut self) {
        let cuts = &self.cuts;
        for method in [Method::BINDING, Method::ALLOCATE, Method::CREATE_PERMISSION, Method::CHANNEL_BIND] {
            assert_eq!(self.client.read(), Said::Response(method, 0), "cut at {cuts:?}");
        }
        let relayed = self.client.answers[1].relayed[0];
        let mut buffer = [0; 64];
        for payload in PAYLOADS {
            let (length, from) = self.peer.recv_from(&mut buffer).expect("a datagram at the peer");
            assert_eq!((&buffer[..length], from), (*payload, relayed), "cut at {cuts:?}");
        }
        self.peer.send_to(b"back!", relayed).unwrap();
        assert_eq!(self.client.read(), Said::Channel(0x4000, b"back!".to_vec()), "cut at {cuts:?}");
        self.client.round_trip();
    }
}

/// What the recorded stream makes arrive at the peer, in order: by Send, then on the channel.
pub(crate) const PAYLOADS: &[&[u8]] =
    &[b"by indication", b"four", b"three", b"of two", b"one byte missing", b""];

/// Ten messages: Binding, Allocate, CreatePermission, ChannelBind, Send, and ChannelData with 0 to 3 bytes
/// of padding and without data.
pub(crate) fn recorded(client: &mut Client, peer: SocketAddr) -> Vec<u8> {
    let mut messages = vec![
        client.binding(),
        client.allocate_request(),
        client.permit_request(peer),
        client.bind_request(0x4000, peer),
        client.send_indication(peer, PAYLOADS[0]),
    ];
    messages.extend(PAYLOADS[1..].iter().map(|payload| channel_data(0x4000, payload)));
    assert_eq!(messages.len(), 10);
    messages.concat()
}

/// Runs the stream once for each list of cuts. The runtime has one thread, so once it has answered
/// `clock` twice, it has read what was written before: pieces do not run together.
fn run_all(daemon: &Daemon, cuts: Vec<Vec<usize>>) {
    let mut clock = Client::connect(daemon.server);
    for batch in cuts.chunks(BATCH) {
        let mut runs: Vec<Run> = batch.iter().map(|cuts| Run::start(daemon.server, cuts.clone())).collect();
        loop {
            let steps = runs.iter_mut().map(Run::step).filter(|stepped| *stepped).count();
            if steps == 0 {
                break;
            }
            (0..2).for_each(|_| clock.round_trip());
        }
        runs.into_iter().for_each(Run::finish);
        daemon.await_allocations(0);
    }
    drop(clock);
    await_no_connections(daemon);
}

/// The length of the recorded stream, which depends on the length of the nonce only.
pub(crate) fn stream_bytes(daemon: &Daemon) -> usize {
    Run::start(daemon.server, Vec::new()).stream.len()
}

#[test]
fn a_stream_of_ten_messages_cut_once_anywhere_is_the_same_stream() {
    let daemon = daemon("");
    let length = stream_bytes(&daemon);
    run_all(&daemon, (0..length).map(|at| vec![at]).collect());
    let metrics = daemon.metrics();
    assert_eq!(metrics.sum("turnstone_dropped_packets_total{"), 0.0);
    assert_eq!(metrics.get("turnstone_connections_closed_total{reason=\"framing\"}"), 0.0);
}

#[test]
fn a_stream_cut_in_many_places_is_the_same_stream() {
    let daemon = daemon("");
    let length = stream_bytes(&daemon);
    let seed = u64::from(std::process::id());
    println!("seed {seed}");
    let mut random = Random::seeded(seed);
    let mut cuts = |pieces: usize| {
        let mut cuts: Vec<usize> = (1..pieces).map(|_| random.next_u64() as usize % length).collect();
        cuts.sort_unstable();
        cuts
    };
    run_all(&daemon, (0..2 * BATCH).map(|n| cuts(2 + n % 12)).collect());
}

#[test]
fn a_stream_that_arrives_byte_by_byte_is_the_same_stream() {
    let daemon = daemon("");
    let length = stream_bytes(&daemon);
    run_all(&daemon, vec![(1..length).collect()]);
}

#[test]
fn the_same_stream_of_requests_answers_once_each_however_many_share_a_segment() {
    let daemon = daemon("");
    let mut client = Client::connect(daemon.server);
    let requests: Vec<u8> = (0..200).flat_map(|_| client.binding()).collect();
    client.write(&requests);
    for _ in 0..200 {
        assert_eq!(client.read(), Said::Response(Method::BINDING, 0));
    }
    let ids: Vec<&[u8]> = client.answers.iter().map(|answer| &answer.bytes[8..12]).collect();
    assert!(ids.is_sorted() && ids.windows(2).all(|pair| pair[0] != pair[1]), "in order, one each");
}
