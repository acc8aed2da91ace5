//! Hands each input to the server and to the model, and compares.

use crate::book::Book;
use crate::model::{Config, Expected, Model};
use crate::payload::{Down, Up};
use crate::peers::{INTERNAL, PORTS, Rules, foreign};
use crate::request::{Nonce, Request, User};
use crate::scenario::{Action, Chooser};
use crate::tally::Tally;
use crate::world::{Answer, Client, Options, Out, RELAY_V4, RELAY_V6, SERVER_V4, World, data_indication};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use turnstone::base::{Family, Random, Transport};
use turnstone::metrics::{allocations_ended, allocations_started};
use turnstone::turn::{ClientAddr, PortRange, RelayAddress, Settings};
use turnstone::wire::channel_data::ChannelData;
use turnstone::wire::stun::attribute::{self, Icmp};
use turnstone::wire::stun::{AttributeType, Class, Message, Method};

pub(crate) struct Simulation {
    world: World,
    model: Model,
    chooser: Chooser,
    clients: Vec<Client>,
    /// What was sent before, for retransmissions.
    sent: Vec<(Request, Vec<u8>)>,
    history: Vec<Action>,
    pub(crate) tally: Tally,
}

impl Simulation {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random::seeded(seed ^ 0x5EED);
        let mut pick = |n: u32| random.below(n) as usize;
        let same = |ip: IpAddr| RelayAddress { internal: ip, external: ip };
        let v4 = match pick(4) {
            0 => RelayAddress { internal: INTERNAL.parse().unwrap(), external: RELAY_V4.into() },
            _ => same(RELAY_V4.into()),
        };
        let addresses = if pick(4) == 0 { vec![v4] } else { vec![v4, same(RELAY_V6.into())] };
        let ports = PortRange { first: 50_000, last: [50_006, 50_015, 50_099][pick(3)] };
        let quarantine = Duration::from_secs([0, 30, 300][pick(3)]);
        let config = Config {
            rules: Rules::variant(0),
            max_lifetime_s: [600, 3600][pick(2)],
            legacy_channels: pick(2) == 0,
            strict_expiry: pick(3) == 0,
            permissions_max: [3, 256][pick(2)],
            channels_max: [3, 256][pick(2)],
            allocations_per_user: [1, 2, 3, 16][pick(4)],
            allocations_total: [0, 0, 5][pick(3)],
        };
        let modern = seed % 2 == 1;
        let options = Options {
            settings: settings(&config),
            rules: config.rules.compiled(),
            ports,
            quarantine,
            addresses: addresses.clone(),
            allocations_per_user: config.allocations_per_user,
            allocations_total: config.allocations_total,
            modern,
            ..Options::default()
        };
        let clients = clients();
        let remotes = clients.iter().map(|c| c.address.remote).collect();
        Self {
            world: World::with(seed, options),
            model: Model::new(config, User::all(), Book::new(&addresses, ports, quarantine)),
            chooser: Chooser::new(random, remotes, addresses, modern),
            clients,
            sent: Vec::new(),
            history: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Runs `steps` inputs; then lets everything run out and checks that nothing is left.
    pub(crate) fn run(&mut self, steps: usize) {
        for step in 0..steps {
            let id = self.world.transaction();
            let action = self.chooser.next(self.world.now, &self.model, id);
            self.history.push(action.clone());
            self.apply(action);
            self.compare();
            if step % 8 == 0 || self.model.has_late_ones(self.world.now) {
                self.probe_all_relays();
            }
        }
        self.finish();
    }

    /// What led here.
    pub(crate) fn report(&self) -> String {
        let from = self.history.len().saturating_sub(12);
        let last: Vec<_> = self.history[from..].iter().map(|action| format!("  {action:?}")).collect();
        format!(
            "step {}, after:\n{}\nat {:?} with {:#?}",
            self.history.len(),
            last.join("\n"),
            self.world.now,
            self.model
        )
    }

    fn apply(&mut self, action: Action) {
        match action {
            Action::Request(request) => {
                let bytes = request.encode(&self.model.users);
                self.request(&request, &bytes);
                if request.sign.as_ref().is_none_or(|s| s.right_password && self.model.users[s.user].exists) {
                    self.sent.push((request, bytes));
                }
            }
            Action::Again(back) => {
                if let Some((request, bytes)) = self.sent.iter().rev().nth(back).cloned() {
                    self.request(&request, &bytes);
                }
            }
            Action::Torn(back) => {
                if let Some((request, bytes)) = self.sent.iter().rev().nth(back) {
                    let cut = self.chooser.below(bytes.len() as u32) as usize;
                    let out = self.world.datagram(self.clients[request.client].address, &bytes[..cut]);
                    assert!(matches!(out[..], [Out::Dropped(_)]), "{out:?}");
                }
            }
            Action::Binding { client } => self.binding(client),
            Action::Send { client, peer, length, dont_fragment } => {
                self.send(client, peer, length, dont_fragment)
            }
            Action::ChannelData { client, number, length } => self.channel_data(client, number, length),
            Action::FromPeer { internal, peer, length } => self.from_peer(internal, peer, length),
            Action::Icmp { internal, peer, icmp_type } => self.icmp(internal, peer, icmp_type),
            Action::Pass(span) => {
                self.world.pass(span);
                self.note_closings();
            }
            Action::Drain(draining) => {
                self.world.server.set_draining(draining);
                self.model.draining = draining;
            }
            Action::Reload(config) => {
                self.world.reload(settings(&config), config.rules.compiled());
                self.model.reload(config);
            }
            Action::Refuse(error) => {
                self.world.refuse = error;
                self.model.refuse = error;
            }
            Action::Hold(hold) => self.hold(hold),
        }
    }

    fn request(&mut self, request: &Request, bytes: &[u8]) {
        let from = self.clients[request.client].address;
        let out = self.world.datagram(from, bytes);
        self.note_closings();
        let expected = self.model.request(self.world.now, request, from.remote);
        match expected {
            Expected::Dropped => {
                assert!(matches!(out[..], [Out::Dropped(_)]), "{out:?}");
                self.tally.count("dropped while opening");
            }
            Expected::Later => assert_eq!(out, []),
            Expected::Error { code, signed } => {
                let answer = self.answer(from, &out);
                assert_eq!((answer.code, answer.signed), (code, signed));
                assert_eq!(answer.nonce.is_some(), matches!(code, 401 | 438));
                assert_eq!(answer.unknown, if code == 420 { vec![0x7ABC] } else { vec![] });
            }
            Expected::Done { lifetime_s } => {
                let answer = self.answer(from, &out);
                assert_eq!((answer.code, answer.signed, answer.lifetime_s), (0, true, lifetime_s));
            }
            Expected::Same(before) => {
                let answer = self.answer(from, &out);
                assert_eq!(answer.bytes, before.bytes, "a retransmission gets the same answer");
                self.tally.count("same answer");
            }
            Expected::Opens => self.judge_opened(&out),
        }
    }

    /// The oldest pending Allocate was carried out.
    fn judge_opened(&mut self, out: &[Out]) {
        let pending = self.model.pending.remove(0);
        let from = self.clients[pending.client].address;
        let answer = self.answer(from, out);
        if answer.code == 0 && pending.has_token() {
            self.tally.count("token redeemed");
        }
        if answer.address_error.is_some() {
            self.tally.count("half a dual allocation");
        }
        if self.model.opened(self.world.now, pending, &answer, from.remote) {
            self.tally.count("evicted");
        }
    }

    fn hold(&mut self, hold: bool) {
        self.world.hold_opens = hold;
        self.model.hold = hold;
        if hold {
            return;
        }
        // One after the other, as the model is told of each.
        for (allocation, request) in std::mem::take(&mut self.world.held) {
            self.world.held.push((allocation, request));
            let out = self.world.open_pending();
            self.note_closings();
            self.judge_opened(&out);
            self.tally.count("opened later");
        }
    }

    fn binding(&mut self, client: usize) {
        let (id, from) = (self.world.transaction(), self.clients[client].address);
        let request = self.clients[client].bare(id, Class::Request, Method::BINDING, &[]);
        let out = self.world.datagram(from, &request);
        let answer = self.answer(from, &out);
        assert_eq!((answer.code, answer.signed, answer.mapped), (0, false, Some(from.remote)));
    }

    fn send(&mut self, client: usize, peer: SocketAddr, length: usize, dont_fragment: bool) {
        let (id, payload) = (self.world.transaction(), payload(length));
        let xored = crate::world::xor(peer, id);
        let mut attributes: Vec<(AttributeType, &[u8])> =
            vec![(AttributeType::XOR_PEER_ADDRESS, &xored), (AttributeType::DATA, &payload)];
        if dont_fragment {
            attributes.push((AttributeType::DONT_FRAGMENT, &[]));
        }
        let message = self.clients[client].bare(id, Class::Indication, Method::SEND, &attributes);
        let out = self.world.datagram(self.clients[client].address, &message);
        let up = self.model.send(self.world.now, client, peer);
        self.tally.count(if up.is_some() { "send passed" } else { "send dropped" });
        self.judge_up(&out, up, payload, dont_fragment);
    }

    fn channel_data(&mut self, client: usize, number: u16, length: usize) {
        let payload = payload(length);
        let out = self.clients[client].clone().channel_data(&mut self.world, number, &payload);
        let up = self.model.channel_data(self.world.now, client, number);
        self.tally.count(if up.is_some() { "channel data passed" } else { "channel data dropped" });
        self.judge_up(&out, up, payload, false);
    }

    fn judge_up(&mut self, out: &[Out], up: Option<Up>, payload: Vec<u8>, dont_fragment: bool) {
        match up {
            None => assert!(matches!(out, [Out::Dropped(_)]), "{out:?}"),
            Some(up) => {
                if self.model.book.live.contains(&up.to) {
                    self.tally.count("to an own relay");
                }
                let sent = Out::ToPeer { from: up.from, peer: up.to, payload, dont_fragment };
                assert!(*out == [sent], "expected {up:?}, DF {dont_fragment}: {out:?}");
            }
        }
    }

    fn from_peer(&mut self, internal: SocketAddr, peer: SocketAddr, length: usize) {
        let payload = payload(length);
        let out = self.world.from_peer(internal, peer, &payload);
        let down = self.model.from_peer(self.world.now, internal, peer);
        let Some(down) = down else {
            self.tally.count("peer dropped");
            assert!(matches!(out[..], [Out::Dropped(_)]), "{peer} at {internal}: {out:?}");
            return;
        };
        let [Out::ToClient { to, bytes }] = &out[..] else { panic!("{peer} at {internal}: {out:?}") };
        match down {
            Down::Channel { client, number } => {
                self.tally.count("peer to channel");
                assert_eq!(*to, self.clients[client].address.remote);
                let data = ChannelData::parse(bytes).unwrap();
                assert_eq!((data.number.get(), data.payload), (number, &payload[..]));
            }
            Down::Data { client, peer } => {
                self.tally.count("peer to data");
                assert_eq!(*to, self.clients[client].address.remote);
                assert_eq!(data_indication(bytes), (peer, payload));
            }
        }
    }

    fn icmp(&mut self, internal: SocketAddr, peer: SocketAddr, icmp_type: u8) {
        let icmp = Icmp { icmp_type, code: 1, data: 0 };
        let told = self.world.icmp(internal, peer, icmp);
        let expected = self.model.icmp(self.world.now, internal, peer, icmp_type);
        assert_eq!(told.is_some(), expected.is_some());
        if let (Some(bytes), Some((_, peer))) = (told, expected) {
            self.tally.count("icmp told");
            let message = Message::parse(&bytes).unwrap();
            let address = message.first(AttributeType::XOR_PEER_ADDRESS).unwrap();
            let address = attribute::decode_xor_address(address, message.transaction_id());
            assert_eq!(address, Ok(peer));
            assert_eq!(attribute::decode_icmp(message.first(AttributeType::ICMP).unwrap()), Ok(icmp));
        }
    }

    /// Every peer sends to every relay socket: permissions and channels are what they should be.
    fn probe_all_relays(&mut self) {
        let sockets: Vec<_> = self.world.open_ports().into_iter().collect();
        let mut peers: BTreeSet<SocketAddr> = self.model.book.live.iter().copied().collect();
        peers.extend(foreign().into_iter().flat_map(|ip| PORTS.map(|port| SocketAddr::new(ip, port))));
        for internal in sockets {
            for peer in peers.iter().filter(|peer| peer.is_ipv4() == internal.is_ipv4()) {
                self.from_peer(internal, *peer, 1);
            }
        }
    }

    fn note_closings(&mut self) {
        let closings = std::mem::take(&mut self.world.closings);
        self.model.note_closings(&closings);
        self.tally.count_many("run out", self.model.ran_out());
    }

    fn compare(&mut self) {
        self.world.assert_ports_add_up();
        self.model.book.expire_reservations(self.world.now.at);
        self.model.check_closings(self.world.now);
        if self.model.has_late_ones(self.world.now) {
            self.tally.count("over but open");
        }
        let halves = self.model.allocations.iter().flat_map(|a| &a.halves);
        assert_eq!(self.world.open_ports(), halves.map(|h| h.internal).collect());
        assert_eq!(self.world.sockets.len(), self.world.open_ports().len());
        assert_eq!(self.world.ledger.port_use().used, self.model.book.used());
        let (live, pending) = (self.model.allocations.len(), self.model.pending.len());
        assert_eq!(self.world.ledger.allocations() as usize, live);
        assert_eq!(self.world.server.allocations(), live + pending);
        for subject in ["alice", "bob", "carol", "mallory"] {
            assert_eq!(self.world.ledger.allocations_of(subject), self.model.held_by(subject), "{subject}");
        }
        let counters = self.world.server.counters();
        let open = Family::ALL.map(|family| {
            let started = counters.value(allocations_started(Transport::Udp, family));
            (started - counters.value(allocations_ended(Transport::Udp, family))) as usize
        });
        assert_eq!(open[0] + open[1], self.world.sockets.len());
    }

    fn finish(&mut self) {
        self.apply(Action::Refuse(None));
        self.apply(Action::Hold(false));
        self.compare();
        self.apply(Action::Pass(Duration::from_secs(7200)));
        self.compare();
        assert_eq!(self.model.allocations.len(), 0);
        assert_eq!((self.world.server.allocations(), self.world.ledger.allocations()), (0, 0));
        assert_eq!(self.world.ledger.port_use().used, 0);
        assert_eq!(self.world.server.next_deadline(), None);
    }

    fn answer(&mut self, from: ClientAddr, out: &[Out]) -> Answer {
        let [Out::ToClient { to, .. }] = out else { panic!("expected one answer: {out:?}") };
        assert_eq!(*to, from.remote);
        let answer = Answer::only(out);
        self.tally.count_code(answer.code);
        if let Some(nonce) = &answer.nonce {
            let issued = Some((from.remote, self.world.now.unix.0));
            self.chooser.nonces.push(Nonce { bytes: nonce.clone(), issued });
        }
        answer
    }
}

/// Without rates: those have tests of their own.
fn settings(config: &Config) -> Settings {
    Settings {
        max_lifetime: Duration::from_secs(u64::from(config.max_lifetime_s)),
        legacy_channels: config.legacy_channels,
        strict_expiry: config.strict_expiry,
        permissions_max: config.permissions_max,
        channels_max: config.channels_max,
        new_peers_per_second: None,
        ..Settings::default()
    }
}

/// Two of them share a source and differ in the address that they talk to; two come over IPv6.
fn clients() -> Vec<Client> {
    let mut clients: Vec<Client> = (0..6).map(|n| Client::new(n, "")).collect();
    let other = SocketAddr::new([192, 31, 196, 11].into(), SERVER_V4.port());
    clients.push(Client { address: ClientAddr { local: other, ..clients[0].address }, ..clients[0].clone() });
    clients.extend((1..3).map(|n| Client::at(format!("[2001:db8::{n}]:20000").parse().unwrap(), "")));
    clients
}

fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|n| n as u8).collect()
}
