//! The clients of one server, their peers, and the one thread that drives them.

use super::drive::Load;
use super::line::{Heard, Line, Request};
use super::link::{Arrival, Burst, Frame, Link, receive};
use super::round::{Round, Ways, Window};
use super::stream::{Stream, Tls};
use super::turn_client::TurnClient;
use super::{BenchFailed, Peers, Place, RelayOptions, Target, Transport, Way};
use crate::net::{Clock, Poller, RecvBatch, SendScratch, UdpOptions, UdpSocket};
use crossbeam_channel::{Receiver, Sender};
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, watch};

/// Bursts of a slow moment wait here instead of being lost.
const BUFFERS: UdpOptions =
    UdpOptions { receive_bytes: Some(1 << 20), send_bytes: Some(1 << 20), offload: true };

/// Messages of the server that may wait for one client.
const INBOX_MAX: usize = 16;

/// Every datagram fits, also several that the kernel hands over as one.
const SLOT_BYTES: usize = 65_536;

/// Everybody who talks through one server.
pub(super) struct Crowd {
    /// How results call the server.
    pub(super) name: String,
    pub(super) server: SocketAddr,
    pub(super) clients: Vec<Client>,
    pub(super) peers: Vec<UdpSocket>,
    pub(super) round: Round,
    pub(super) clock: Clock,
    pub(super) burst: Burst,
    poller: Poller,
    requests: (Sender<Request>, Receiver<Request>),
    /// Clients whose connection did not take all.
    stuck: Vec<usize>,
    batch: RecvBatch,
    scratch: SendScratch,
    /// ICMP says that there is no server.
    pub(super) is_refused: bool,
}

/// One client.
pub(super) struct Client {
    pub(super) link: Link,
    /// Where its peer sends to, once there is such an address.
    pub(super) relayed: Option<SocketAddr>,
    /// Of each payload that it sends.
    pub(super) frame: Frame,
    pub(super) control: Control,
}

/// Who reads what is no payload.
pub(super) enum Control {
    /// A client of the `turn` crate, once it has all it wants.
    Turn { inbox: mpsc::Sender<Vec<u8>>, turn: Option<TurnClient> },
    /// Nobody: the last few messages are kept.
    Plain(VecDeque<Vec<u8>>),
}

impl Crowd {
    /// Opens all sockets; nobody has said anything yet.
    pub(super) fn open(
        target: &Target,
        Place { server, local, .. }: Place,
        options: &RelayOptions,
        tls: Option<&Tls>,
    ) -> Result<Self, BenchFailed> {
        let here = |error| BenchFailed::io("open a socket", &error);
        let poller = Poller::new().map_err(here)?;
        let capacity = 4 * options.clients + 64;
        let mut crowd = Self {
            name: target.name.clone(),
            server,
            clients: Vec::with_capacity(options.clients),
            peers: Vec::new(),
            round: Round::idle(),
            clock: Clock::start(),
            burst: Burst::new(options.burst, options.payload_bytes),
            poller,
            requests: crossbeam_channel::bounded(capacity),
            stuck: Vec::new(),
            batch: RecvBatch::new(SLOT_BYTES),
            scratch: SendScratch::new(),
            is_refused: false,
        };
        for _ in 0..options.clients {
            let link = crowd.connect(local, options.transport, tls)?;
            crowd.poller.add(link.as_fd(), crowd.clients.len() as u64).map_err(here)?;
            crowd.clients.push(Client {
                link,
                relayed: None,
                frame: Frame::BARE,
                control: if target.plain { Control::Plain(VecDeque::new()) } else { Control::nobody() },
            });
        }
        let peers = if options.peers == Peers::One { 1 } else { options.clients };
        let ip = options.peer_address.unwrap_or(local);
        for number in 0..peers {
            let peer = UdpSocket::relay(ip, 0, BUFFERS)
                .map_err(|error| BenchFailed::io(&format!("open a peer's socket on {ip}"), &error))?;
            crowd.poller.add(peer.as_fd(), (options.clients + number) as u64).map_err(here)?;
            crowd.peers.push(peer);
        }
        Ok(crowd)
    }

    fn connect(&self, local: IpAddr, transport: Transport, tls: Option<&Tls>) -> Result<Link, BenchFailed> {
        if transport == Transport::Udp {
            let socket = UdpSocket::relay(local, 0, BUFFERS);
            let socket = socket.map_err(|error| BenchFailed::io("open a client's socket", &error))?;
            return Ok(Link::Datagrams(socket));
        }
        let number = self.clients.len() + 1;
        let stream = Stream::open(self.server, local, tls).map_err(|error| {
            let advice = match error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) {
                true => "; --ca names the authority of the server's certificate, --insecure believes any",
                false => "",
            };
            let what = format!("{} ({}): connection {number}: {error}{advice}", self.name, self.server);
            BenchFailed::Unreachable(what)
        })?;
        Ok(Link::Stream(Box::new(stream)))
    }

    /// The line of a client that is yet to speak, whose answers it gets from now on.
    pub(super) fn line(&mut self, client: usize, binds: bool) -> io::Result<Arc<Line>> {
        let (sender, receiver) = mpsc::channel(INBOX_MAX);
        let state = &mut self.clients[client];
        state.control = Control::Turn { inbox: sender.clone(), turn: None };
        Ok(Arc::new(Line {
            client,
            local: match &state.link {
                Link::Datagrams(socket) => socket.local_addr()?,
                Link::Stream(stream) => stream.local_addr()?,
            },
            server: self.server,
            requests: self.requests.0.clone(),
            waker: self.poller.waker(),
            inbox: Mutex::new(receiver),
            answers: sender,
            binds,
            heard: watch::Sender::new(Heard::default()),
        }))
    }

    /// Where the peer of a client is.
    pub(super) fn peer_of(&self, client: usize) -> io::Result<SocketAddr> {
        self.peers[client % self.peers.len()].local_addr()
    }

    /// Ends the wait of [`Self::pump`].
    pub(super) fn waker(&self) -> crate::net::Waker {
        self.poller.waker()
    }

    /// Begins a round: `id` is of this one alone, in all runs of the last minutes.
    pub(super) fn begin(&mut self, id: u32, options: &RelayOptions) {
        let ways = Ways { up: options.way != Way::Down, down: options.way != Way::Up };
        let under_way_max = options.rate.is_none().then_some(options.window);
        let window = Window { burst: options.burst, under_way_max };
        self.round = Round::new(id, self.clients.len(), ways, options.payload_bytes, window);
    }

    /// Sends what clients want to be sent.
    fn carry_requests(&mut self) -> io::Result<()> {
        while let Ok((client, message)) = self.requests.1.try_recv() {
            let link = &mut self.clients[client].link;
            let was_stuck = link.is_stuck();
            link.send_message(self.server, &message)?;
            if link.is_stuck() && !was_stuck {
                self.stuck.push(client);
            }
        }
        let clients = &mut self.clients;
        self.stuck.retain(|client| {
            // What is wrong with the connection, its next read tells.
            let _told_later = clients[*client].link.flush();
            clients[*client].link.is_stuck()
        });
        Ok(())
    }
}

impl Load for Crowd {
    fn now_ns(&self) -> u64 {
        self.clock.monotonic().as_nanos()
    }

    fn round(&mut self) -> &mut Round {
        &mut self.round
    }

    fn send(&mut self, flow: u32) -> io::Result<()> {
        let now_ns = self.now_ns();
        self.round.stamp(flow, now_ns, &mut self.burst.payloads);
        let number = (flow / 2) as usize;
        let client = &mut self.clients[number];
        let left = if flow.is_multiple_of(2) {
            self.burst.address(self.server, &client.frame);
            let was_stuck = client.link.is_stuck();
            let left = client.link.send_burst(&mut self.scratch, &self.burst)?;
            if client.link.is_stuck() && !was_stuck {
                self.stuck.push(number);
            }
            left
        } else if let Some(relayed) = client.relayed {
            self.burst.address(relayed, &Frame::BARE);
            self.burst.send(&self.peers[number % self.peers.len()], &mut self.scratch)
        } else {
            0
        };
        self.round.left(flow, left, now_ns);
        Ok(())
    }

    /// Also sends what clients want to be sent.
    fn pump(&mut self, patience: Duration) -> io::Result<()> {
        self.carry_requests()?;
        self.poller.wait(Some(patience))?;
        let Self { poller, clients, peers, batch, round, clock, is_refused, .. } = self;
        for event in poller.events() {
            let token = event.token as usize;
            let mut arrived_ns = None;
            let mut arrive = |payload: &[u8]| {
                let now_ns = *arrived_ns.get_or_insert_with(|| clock.monotonic().as_nanos());
                round.arrive(payload, now_ns);
            };
            if let Some(peer) = token.checked_sub(clients.len()) {
                if event.error {
                    forget_errors(&peers[peer]);
                }
                receive(&peers[peer], batch, arrive)?;
                continue;
            }
            let Client { link, control, .. } = &mut clients[token];
            if event.error
                && let Some(socket) = link.datagrams()
            {
                *is_refused |= forget_errors(socket);
            }
            link.receive(batch, |arrival| match arrival {
                Arrival::Payload(payload) => arrive(payload),
                Arrival::Message(message) => control.take(message),
            })?;
        }
        Ok(())
    }

    fn lost(&self, error: &io::Error) -> BenchFailed {
        BenchFailed::Other(format!("{} ({}): {error}", self.name, self.server))
    }
}

impl Control {
    const fn nobody() -> Self {
        Self::Plain(VecDeque::new())
    }

    fn take(&mut self, message: &[u8]) {
        match self {
            // One that finds no room is lost, and its request is sent again.
            Self::Turn { inbox, .. } => _ = inbox.try_send(message.to_vec()),
            Self::Plain(kept) => {
                kept.truncate(INBOX_MAX);
                kept.push_back(message.to_vec());
            }
        }
    }
}

/// Takes ICMP errors from a socket, so that it is not reported for them again. Returns whether there were any.
pub(super) fn forget_errors(socket: &UdpSocket) -> bool {
    let mut were_any = false;
    while let Ok(Some(_)) = socket.recv_error() {
        were_any = true;
    }
    let pending = socket.take_error();
    were_any || matches!(pending, Ok(Some(_)))
}
