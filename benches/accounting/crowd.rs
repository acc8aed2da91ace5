//! Many clients behind one socket: each has an address of 127.0.0.0/8, a credential, an allocation and a channel.

use crate::daemon::{SECRET, free_port};
use crate::world::{Answer, Attributes, Client, UDP, bare, xor};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};
use turnstone::auth::{MintRequest, Secret, Variant, mint};
use turnstone::base::UnixTime;
use turnstone::net::{Header, Outgoing, RecvBatch, SendScratch, UdpOptions, UdpSocket};
use turnstone::wire::channel_data::{self, ChannelNumber};
use turnstone::wire::stun::{AttributeType, Class, Method, TransactionId};

pub(crate) const PAYLOAD_BYTES: usize = 160;

/// Packets that leave in one system call.
const BATCH: usize = 32;

/// Longer than an answer takes.
const ANSWER_MAX: Duration = Duration::from_secs(5);

pub(crate) struct Crowd {
    socket: UdpSocket,
    scratch: SendScratch,
    server: SocketAddr,
    members: Vec<IpAddr>,
    /// Who is next.
    turn: usize,
    next_transaction: u64,
    /// Where everything goes. Nobody reads there.
    _sink: UdpSocket,
}

impl Crowd {
    pub(crate) fn of(server: SocketAddr, members: usize) -> Self {
        let any = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), free_port());
        let sink = UdpSocket::relay(Ipv4Addr::LOCALHOST.into(), free_port(), UdpOptions::default()).unwrap();
        let peer = sink.local_addr().unwrap();
        let mut crowd = Self {
            socket: UdpSocket::listener(any, UdpOptions::default()).unwrap(),
            scratch: SendScratch::new(),
            server,
            members: Vec::with_capacity(members),
            turn: 0,
            next_transaction: 0,
            _sink: sink,
        };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        (0..members).for_each(|n| crowd.join(n, UnixTime(now.as_secs()), peer));
        crowd
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// The `n`th client allocates and binds channel 0x4000 to `peer`.
    fn join(&mut self, n: usize, now: UnixTime, peer: SocketAddr) {
        let subject = format!("user-{n}");
        let request =
            MintRequest { label: Some("app"), ..MintRequest::new(now, Duration::from_secs(3600), &subject) };
        let credential = mint(&Secret::new(SECRET), Variant::Sha1, &request).unwrap();
        let ip = IpAddr::from(Ipv4Addr::from_bits(0x7F01_0000 + n as u32));
        let mut client = Client::at(SocketAddr::new(ip, 1), &credential.username);
        client.password = credential.password.expose().into();
        let udp: [(AttributeType, &[u8]); 1] = [(AttributeType::REQUESTED_TRANSPORT, UDP)];
        let id = self.transaction();
        let challenge = self.exchange(ip, &bare(id, Class::Request, Method::ALLOCATE, &udp));
        client.nonce = challenge.nonce.expect("a challenge has a nonce");
        self.ask(ip, &client, Method::ALLOCATE, |_| udp.map(|(kind, value)| (kind, value.to_vec())).into());
        let channel = [ChannelNumber::FIRST.get().to_be_bytes(), [0; 2]].concat();
        self.ask(ip, &client, Method::CHANNEL_BIND, |id| {
            vec![(AttributeType::CHANNEL_NUMBER, channel), (AttributeType::XOR_PEER_ADDRESS, xor(peer, id))]
        });
        self.members.push(ip);
    }

    fn ask(
        &mut self,
        ip: IpAddr,
        client: &Client,
        method: Method,
        attributes: impl FnOnce(TransactionId) -> Vec<(AttributeType, Vec<u8>)>,
    ) {
        let id = self.transaction();
        let owned = attributes(id);
        let borrowed: Vec<_> = owned.iter().map(|(kind, value)| (*kind, value.as_slice())).collect();
        let attributes: Attributes<'_> = &borrowed;
        let answer = self.exchange(ip, &client.request(id, method, attributes));
        assert_eq!(answer.code, 0, "{answer:?}");
    }

    fn exchange(&mut self, ip: IpAddr, request: &[u8]) -> Answer {
        self.socket.send_to(self.server, Some(ip), 0, request).unwrap();
        let mut batch = RecvBatch::new(2048);
        // Loopback loses nothing of so little. The first look is too early more often than not.
        let begin = Instant::now();
        while begin.elapsed() < ANSWER_MAX {
            if self.socket.recv(&mut batch).unwrap() > 0 {
                return Answer::read(batch.datagram(0).bytes);
            }
            std::thread::yield_now();
        }
        panic!("no answer from {}", self.server)
    }

    fn transaction(&mut self) -> TransactionId {
        self.next_transaction += 1;
        let mut id = [0; 12];
        id[..8].copy_from_slice(&self.next_transaction.to_be_bytes());
        TransactionId(id)
    }

    /// Sends `rate` packets a second, one member after the other, until those of `span` have left.
    #[expect(clippy::disallowed_methods, reason = "a flood has a pace, and nothing waits for it")]
    pub(crate) fn flood(&mut self, rate: u32, span: Duration) {
        let all = (f64::from(rate) * span.as_secs_f64()).round() as usize;
        let (begin, mut sent) = (Instant::now(), 0);
        while sent < all {
            let due = (begin.elapsed().as_secs_f64() * f64::from(rate)) as usize;
            match due.min(all).saturating_sub(sent).min(BATCH) {
                0 => std::thread::sleep(Duration::from_micros(200)),
                count => {
                    self.send(count);
                    sent += count;
                }
            }
        }
    }

    fn send(&mut self, count: usize) {
        let header = channel_data::header(ChannelNumber::FIRST, PAYLOAD_BYTES as u16);
        let run: Vec<_> = (0..count)
            .map(|_| {
                self.turn = (self.turn + 1) % self.members.len();
                Outgoing {
                    to: self.server,
                    source: Some(self.members[self.turn]),
                    ecn: 0,
                    header: Header::of(&header),
                    slot: 0,
                    payload: 0..PAYLOAD_BYTES as u32,
                    pad: 0,
                }
            })
            .collect();
        let report = self.socket.send_run(&mut self.scratch, &[7; PAYLOAD_BYTES][..], &run);
        assert_eq!(report.failed, 0, "{report:?}");
    }
}
