//! The load: one thread that sends over many clients and their peers, and counts what arrives.

use crate::client::{CHANNEL, Client};
use crate::connection::Identity;
use crate::options::{Door, Options, Way};
use crate::server::Server;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};
use turnstone::net::Poller;
use turnstone::wire::channel_data;

/// The load generator was not on its core for so many packets: it sends what is left over, not all at once.
const BEHIND_MAX: u64 = 64;

/// Packets under way for so long are lost, and others may take their place.
const LOST_AFTER: Duration = Duration::from_millis(100);

/// After the last packet the line is quiet for so long before the round is over.
const QUIET: Duration = Duration::from_millis(50);

/// In front of each payload: the round (8 bytes), and when it was sent (8 bytes, nanoseconds).
const STAMP_BYTES: usize = 16;

/// How fast packets go.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Speed {
    /// One by one, evenly, so many a second over all clients.
    PerSecond(u32),
    /// As many as arrive, with so many under way for each client and way.
    Window(u32),
}

/// What came of one round.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) sent: u64,
    pub(crate) arrived: u64,
    pub(crate) elapsed: Duration,
    pub(crate) delays_ns: Vec<u32>,
}

/// Clients of one server through one door.
pub(crate) struct Crowd {
    clients: Vec<Client>,
    poller: Poller,
    zero: Instant,
    round: u64,
    payload: Vec<u8>,
    frame: Vec<u8>,
}

/// One way of one client.
#[derive(Clone, Copy, Debug)]
struct Flow {
    under_way: u32,
    /// When a packet arrived last.
    moved_ns: u64,
}

#[derive(Clone, Copy, Debug)]
enum Direction {
    Up,
    Down,
}

impl Crowd {
    pub(crate) fn open(
        server: &Server,
        door: Door,
        identity: &Identity,
        options: &Options,
    ) -> io::Result<Self> {
        let poller = Poller::new()?;
        let clients = (0..options.clients).map(|_| Client::open(server, door, identity));
        let clients = clients.collect::<io::Result<Vec<_>>>()?;
        for (number, client) in (0..).zip(&clients) {
            poller.add(client.connection.stream().as_fd(), 2 * number)?;
            poller.add(client.peer.as_fd(), 2 * number + 1)?;
        }
        assert!(options.payload >= STAMP_BYTES, "--payload is at least {STAMP_BYTES}");
        let payload = vec![0x5A; options.payload];
        let header = channel_data::header(CHANNEL, options.payload as u16);
        let mut frame = [&header, &payload[..]].concat();
        frame.resize(frame.len() + channel_data::padding(options.payload), 0);
        Ok(Self { clients, poller, zero: Instant::now(), round: 0, payload, frame })
    }

    /// Sends for `length`, then waits until nothing arrives any more.
    pub(crate) fn round(&mut self, way: Way, speed: Speed, length: Duration) -> io::Result<Outcome> {
        self.round += 1;
        let idle = Flow { under_way: 0, moved_ns: self.now_ns() };
        let mut round = Round {
            flows: vec![[idle; 2]; self.clients.len()],
            outcome: Outcome::default(),
            directions: match way {
                Way::Up => &[Direction::Up],
                Way::Down => &[Direction::Down],
                Way::Both => &[Direction::Up, Direction::Down],
            },
            touched: Vec::new(),
        };
        let begin = Instant::now();
        match speed {
            Speed::PerSecond(rate) => self.send_evenly(&mut round, rate, begin, length)?,
            Speed::Window(window) => self.keep_full(&mut round, window, begin, length)?,
        }
        round.outcome.elapsed = begin.elapsed();
        self.drain(&mut round)?;
        Ok(round.outcome)
    }

    fn send_evenly(
        &mut self,
        round: &mut Round,
        rate: u32,
        begin: Instant,
        length: Duration,
    ) -> io::Result<()> {
        let per_turn = round.directions.len() as u64;
        let mut excused = 0;
        while begin.elapsed() < length {
            let due = (begin.elapsed().as_secs_f64() * f64::from(rate)) as u64 - excused;
            excused += due.saturating_sub(round.outcome.sent + BEHIND_MAX);
            for turn in round.outcome.sent..due.min(round.outcome.sent + BEHIND_MAX) {
                let client = (turn / per_turn) as usize % self.clients.len();
                self.send(round, client, round.directions[(turn % per_turn) as usize], 1)?;
            }
            self.receive(round, Duration::ZERO)?;
        }
        Ok(())
    }

    fn keep_full(
        &mut self,
        round: &mut Round,
        window: u32,
        begin: Instant,
        length: Duration,
    ) -> io::Result<()> {
        round.touched = (0..self.clients.len()).collect();
        let mut looked = begin;
        while begin.elapsed() < length {
            if looked.elapsed() > LOST_AFTER / 4 {
                looked = Instant::now();
                round.give_up_lost(self.now_ns());
            }
            for client in std::mem::take(&mut round.touched) {
                for direction in round.directions {
                    let room = window.saturating_sub(round.flows[client][*direction as usize].under_way);
                    self.send(round, client, *direction, room)?;
                }
            }
            self.receive(round, Duration::from_millis(1))?;
        }
        Ok(())
    }

    /// Sends `count` packets of one client, over the connection in one go.
    fn send(&mut self, round: &mut Round, client: usize, direction: Direction, count: u32) -> io::Result<()> {
        let stamp = [self.round.to_be_bytes(), self.now_ns().to_be_bytes()].concat();
        let flow = &mut round.flows[client][direction as usize];
        let Client { connection, peer } = &mut self.clients[client];
        let mut sent = 0;
        match direction {
            Direction::Up => {
                self.frame[4..4 + STAMP_BYTES].copy_from_slice(&stamp);
                while sent < count {
                    connection.queue(&self.frame);
                    sent += 1;
                }
                connection.flush()?;
            }
            Direction::Down => {
                self.payload[..STAMP_BYTES].copy_from_slice(&stamp);
                // What the kernel refuses is not sent; it is tried again with the next window.
                while sent < count && peer.send(&self.payload).is_ok() {
                    sent += 1;
                }
            }
        }
        flow.under_way += sent;
        round.outcome.sent += u64::from(sent);
        Ok(())
    }

    /// Takes what has arrived.
    fn receive(&mut self, round: &mut Round, patience: Duration) -> io::Result<usize> {
        self.poller.wait(Some(patience))?;
        let now_ns = self.now_ns();
        let mut count = 0;
        for event in self.poller.events() {
            let client = (event.token / 2) as usize;
            let Client { connection, peer } = &mut self.clients[client];
            let mut arrive = |direction, payload: &[u8]| {
                if payload.len() == self.payload.len() && payload[..8] == self.round.to_be_bytes() {
                    count += 1;
                    round.arrive(client, direction, now_ns, payload);
                }
            };
            if event.token % 2 == 0 {
                connection.flush()?;
                let header = channel_data::HEADER_BYTES;
                let length = header + self.payload.len();
                connection
                    .read(|frame| arrive(Direction::Down, frame.get(header..length).unwrap_or_default()))?;
            } else {
                let mut room = [0; 2048];
                // A peer's port that a server closed would show as an error here; it counts as a loss.
                while let Ok(length) = peer.recv(&mut room) {
                    arrive(Direction::Up, &room[..length]);
                }
            }
        }
        Ok(count)
    }

    fn drain(&mut self, round: &mut Round) -> io::Result<()> {
        let mut last = Instant::now();
        while last.elapsed() < QUIET && round.outcome.arrived < round.outcome.sent {
            for client in &mut self.clients {
                client.connection.flush()?;
            }
            if self.receive(round, Duration::from_millis(5))? > 0 {
                last = Instant::now();
            }
        }
        Ok(())
    }

    fn now_ns(&self) -> u64 {
        self.zero.elapsed().as_nanos() as u64
    }
}

/// What is known of a round while it goes.
struct Round {
    flows: Vec<[Flow; 2]>,
    outcome: Outcome,
    directions: &'static [Direction],
    /// Clients that may send again.
    touched: Vec<usize>,
}

impl Round {
    fn arrive(&mut self, client: usize, direction: Direction, now_ns: u64, payload: &[u8]) {
        let flow = &mut self.flows[client][direction as usize];
        flow.under_way = flow.under_way.saturating_sub(1);
        flow.moved_ns = now_ns;
        let sent_ns = u64::from_be_bytes(payload[8..16].try_into().expect("eight bytes"));
        let delay_ns = now_ns.saturating_sub(sent_ns);
        self.outcome.delays_ns.push(u32::try_from(delay_ns).unwrap_or(u32::MAX));
        self.outcome.arrived += 1;
        if self.touched.last() != Some(&client) {
            self.touched.push(client);
        }
    }

    fn give_up_lost(&mut self, now_ns: u64) {
        let before_ns = now_ns.saturating_sub(LOST_AFTER.as_nanos() as u64);
        for (client, flows) in self.flows.iter_mut().enumerate() {
            for flow in flows.iter_mut().filter(|flow| flow.moved_ns < before_ns) {
                flow.under_way = 0;
                self.touched.push(client);
            }
        }
    }
}
