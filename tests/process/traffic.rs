//! Many sessions that relay in rounds: each sends one datagram and waits for its echo, so that no socket buffer
//! overflows and every loss is the relay's.

use crate::caller::{Incoming, peer};
use crate::daemon::PATIENCE;
use crate::party::Party;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const CHANNEL: u16 = 0x4000;

pub(crate) struct Traffic {
    parties: Vec<Party>,
    round: u64,
    echo: Echo,
}

/// A peer that sends back what it gets.
struct Echo {
    stop: Arc<AtomicBool>,
    heard: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Traffic {
    pub(crate) fn start(server: SocketAddr, label: &str, sessions: usize) -> Self {
        let socket = peer();
        let address = socket.local_addr().unwrap();
        let open = |n| {
            let mut party = Party::labelled(server, n, label);
            party.caller.allocate();
            assert_eq!(party.caller.bind(CHANNEL, address).code, 0);
            party
        };
        Self { parties: (0..sessions).map(open).collect(), round: 0, echo: Echo::start(socket) }
    }

    /// Payload of one round, one way.
    pub(crate) fn round_bytes(&self) -> u64 {
        self.parties.len() as u64 * PAYLOAD_BYTES as u64
    }

    pub(crate) fn round_without_loss(&mut self) {
        self.round += 1;
        let payload = payload(self.round);
        self.parties.iter().for_each(|party| party.caller.send_on(CHANNEL, &payload));
        for (n, party) in self.parties.iter_mut().enumerate() {
            let came = party.caller.receive_within(PATIENCE);
            let expected = Incoming::Channel(CHANNEL, payload.to_vec());
            assert_eq!(came, Some(expected), "session {n} in round {}", self.round);
        }
    }

    /// Nothing of these sessions reaches their peer, and their requests get `code`.
    pub(crate) fn expect_the_end(&mut self, code: u16) {
        let heard = self.echo.heard.load(Ordering::Relaxed);
        for party in &mut self.parties {
            party.caller.send_on(CHANNEL, b"too late");
            // Behind it on the same way: when this is answered, that was dropped.
            assert_eq!(party.caller.refresh(600).code, code);
        }
        let (echoed, came) = (&self.echo, |party: &mut Party| party.caller.receive_within(Duration::ZERO));
        assert_eq!(echoed.heard.load(Ordering::Relaxed), heard);
        assert!(self.parties.iter_mut().all(|party| came(party).is_none()));
    }
}

const PAYLOAD_BYTES: usize = 160;

fn payload(round: u64) -> [u8; PAYLOAD_BYTES] {
    let mut payload = [7; PAYLOAD_BYTES];
    payload[..8].copy_from_slice(&round.to_be_bytes());
    payload
}

impl Echo {
    fn start(socket: UdpSocket) -> Self {
        let (stop, heard) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&heard));
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 2048];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    counted.fetch_add(1, Ordering::Relaxed);
                    socket.send_to(&buffer[..length], from).unwrap();
                }
            }
        });
        Self { stop, heard, thread: Some(thread) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _panicked_and_said_so = thread.join();
        }
    }
}
