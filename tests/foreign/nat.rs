//! Two clients behind symmetric NATs on a virtual network: they cannot reach each other directly, and
//! can through our core. The clients, the NATs and the network are not ours.

use crate::daemon::PATIENCE;
use crate::world::{self, Options, Out, RELAY_V4, SERVER_V4, World};
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;
use turn::client::{Client, ClientConfig};
use turnstone::base::Transport;
use turnstone::turn::{ClientAddr, RelayAddress};
use turnstone::wire::stun::{Class, Method, TransactionId};
use webrtc_util::Conn;
use webrtc_util::vnet::nat::{EndpointDependencyType, NatType};
use webrtc_util::vnet::net::{Net, NetConfig};
use webrtc_util::vnet::router::{Nic, Router, RouterConfig};

type Socket = Arc<dyn Conn + Send + Sync>;

/// How long a datagram that a NAT drops is waited for; what passes takes about a millisecond.
const NOTHING_FOR: Duration = Duration::from_millis(500);

const NAT_ADDRESSES: [&str; 2] = ["198.51.100.1", "203.0.113.1"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_behind_symmetric_nats_meet_over_the_relay_and_not_directly() {
    let lans = network(EndpointDependencyType::EndpointAddrPortDependent).await;
    assert_eq!(punched_through(&lans).await, None, "symmetric NATs were passed directly");

    let (alice, bob) = (connect(&lans[0], "alice").await, connect(&lans[1], "bob").await);
    let (of_alice, of_bob) = (allocate(&alice).await, allocate(&bob).await);
    let (at_alice, at_bob) = (of_alice.local_addr().unwrap(), of_bob.local_addr().unwrap());
    assert_eq!((at_alice.ip(), at_bob.ip()), (RELAY_V4.into(), RELAY_V4.into()));
    // The first datagram of each side makes its permission; Bob's goes before Alice permits him.
    timeout(PATIENCE, of_bob.send_to(b"open", at_alice)).await.unwrap().unwrap();
    for round in 0..20u8 {
        assert_passes(&of_alice, &of_bob, &[b'a', round]).await;
        assert_passes(&of_bob, &of_alice, &[b'b', round]).await;
    }
    of_alice.close().await.unwrap();
    of_bob.close().await.unwrap();
    alice.close().await.unwrap();
    bob.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_behind_endpoint_independent_nats_need_no_relay() {
    let lans = network(EndpointDependencyType::EndpointIndependent).await;
    assert!(punched_through(&lans).await.is_some(), "the check of the other test can never fail");
}

async fn assert_passes(from: &Socket, to: &Socket, payload: &[u8]) {
    let mut buffer = [0; 100];
    timeout(PATIENCE, from.send_to(payload, to.local_addr().unwrap())).await.unwrap().unwrap();
    loop {
        let (length, sender) = timeout(PATIENCE, to.recv_from(&mut buffer)).await.unwrap().unwrap();
        assert_eq!(sender, from.local_addr().unwrap());
        // The datagram that made the permission may have come through.
        if &buffer[..length] != b"open" {
            assert_eq!(&buffer[..length], payload);
            return;
        }
    }
}

/// Each side sends to the address that the server saw of the other, as hole punching does. Returns who
/// heard the other first. A symmetric NAT maps each destination anew, so neither meets a mapping.
async fn punched_through(lans: &[Arc<Net>; 2]) -> Option<&'static str> {
    let sockets = [bind_any(&lans[0]).await, bind_any(&lans[1]).await];
    let mapped = [mapped(&sockets[0]).await, mapped(&sockets[1]).await];
    for (address, nat) in mapped.iter().zip(NAT_ADDRESSES) {
        assert_eq!(address.ip().to_string(), nat, "the NAT rewrites the source");
    }
    for _ in 0..3 {
        sockets[0].send_to(b"direct", mapped[1]).await.unwrap();
        sockets[1].send_to(b"direct", mapped[0]).await.unwrap();
    }
    let (mut at_alice, mut at_bob) = ([0; 100], [0; 100]);
    let heard = async {
        tokio::select! {
            _ = sockets[0].recv_from(&mut at_alice) => "alice",
            _ = sockets[1].recv_from(&mut at_bob) => "bob",
        }
    };
    timeout(NOTHING_FOR, heard).await.ok()
}

/// What our server sees as the source of a socket.
async fn mapped(socket: &Socket) -> SocketAddr {
    let request = world::bare(TransactionId([9; 12]), Class::Request, Method::BINDING, &[]);
    socket.send_to(&request, SERVER_V4).await.unwrap();
    let mut buffer = [0; 500];
    let (length, _) = timeout(PATIENCE, socket.recv_from(&mut buffer)).await.unwrap().unwrap();
    world::Answer::read(&buffer[..length]).mapped.unwrap()
}

async fn bind_any(lan: &Arc<Net>) -> Socket {
    lan.bind(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0)).await.unwrap()
}

async fn connect(lan: &Arc<Net>, username: &str) -> Client {
    let client = Client::new(ClientConfig {
        stun_serv_addr: SERVER_V4.to_string(),
        turn_serv_addr: SERVER_V4.to_string(),
        username: username.into(),
        password: format!("{username}-password"),
        realm: "turn".into(),
        software: String::new(),
        rto_in_ms: 0,
        conn: bind_any(lan).await,
        vnet: Some(Arc::clone(lan)),
    });
    let client = client.await.unwrap();
    client.listen().await.unwrap();
    client
}

async fn allocate(client: &Client) -> Socket {
    Arc::new(timeout(PATIENCE, client.allocate()).await.unwrap().unwrap())
}

/// Our server on a wide network, and two hosts, each behind a NAT of this kind.
async fn network(nat: EndpointDependencyType) -> [Arc<Net>; 2] {
    let wan = RouterConfig { cidr: "0.0.0.0/0".into(), ..RouterConfig::default() };
    let wan = Arc::new(Mutex::new(Router::new(wan).unwrap()));
    let lans = [behind_nat(&wan, NAT_ADDRESSES[0], nat).await, behind_nat(&wan, NAT_ADDRESSES[1], nat).await];
    let server = host(&wan, &RELAY_V4.to_string()).await;
    wan.lock().await.start().await.unwrap();
    tokio::spawn(Driver::start(server).await.run());
    lans
}

async fn behind_nat(wan: &Arc<Mutex<Router>>, external: &str, kind: EndpointDependencyType) -> Arc<Net> {
    let nat = NatType { mapping_behavior: kind, filtering_behavior: kind, ..NatType::default() };
    let lan = RouterConfig {
        static_ip: external.into(),
        cidr: "192.168.0.0/24".into(),
        nat_type: Some(nat),
        ..RouterConfig::default()
    };
    let lan = Arc::new(Mutex::new(Router::new(lan).unwrap()));
    let inside = Arc::new(Net::new(Some(NetConfig::default())));
    let nic = inside.get_nic().unwrap();
    lan.lock().await.add_net(Arc::clone(&nic)).await.unwrap();
    nic.lock().await.set_router(Arc::clone(&lan)).await.unwrap();
    wan.lock().await.add_router(Arc::clone(&lan)).await.unwrap();
    lan.lock().await.set_router(Arc::clone(wan)).await.unwrap();
    inside
}

/// A host on the wide network.
async fn host(wan: &Arc<Mutex<Router>>, address: &str) -> Arc<Net> {
    let net = Arc::new(Net::new(Some(NetConfig { static_ip: address.into(), ..NetConfig::default() })));
    let nic = net.get_nic().unwrap();
    wan.lock().await.add_net(Arc::clone(&nic)).await.unwrap();
    nic.lock().await.set_router(Arc::clone(wan)).await.unwrap();
    net
}

/// A datagram that arrived: on which of our sockets, from where, and what.
type Arrived = (SocketAddr, SocketAddr, Vec<u8>);

/// Does for the core on the virtual network what a shard does on a real one.
struct Driver {
    world: World,
    net: Arc<Net>,
    door: Socket,
    relays: HashMap<SocketAddr, Socket>,
    arrived: mpsc::Receiver<Arrived>,
    arrivals: mpsc::Sender<Arrived>,
}

impl Driver {
    async fn start(net: Arc<Net>) -> Self {
        let (arrivals, arrived) = mpsc::channel(1024);
        let relay = RelayAddress { internal: RELAY_V4.into(), external: RELAY_V4.into() };
        let world = World::with(1, Options { addresses: vec![relay], ..Options::default() });
        let door = net.bind(SERVER_V4).await.unwrap();
        listen(SERVER_V4, Arc::clone(&door), arrivals.clone());
        Self { world, net, door, relays: HashMap::new(), arrived, arrivals }
    }

    async fn run(mut self) {
        while let Some((at, from, bytes)) = self.arrived.recv().await {
            let out = match at == SERVER_V4 {
                true => {
                    let client =
                        ClientAddr { remote: from, local: SERVER_V4, transport: Transport::Udp, door: 0 };
                    self.world.datagram(client, &bytes)
                }
                false => self.world.from_peer(at, from, &bytes),
            };
            // Ports are open before the client hears of them.
            self.follow_ports().await;
            for one in out {
                self.emit(one).await;
            }
        }
    }

    async fn follow_ports(&mut self) {
        let open = self.world.open_ports();
        self.relays.retain(|port, _| open.contains(port));
        for port in open {
            if !self.relays.contains_key(&port) {
                let socket = self.net.bind(port).await.unwrap();
                listen(port, Arc::clone(&socket), self.arrivals.clone());
                self.relays.insert(port, socket);
            }
        }
    }

    async fn emit(&self, out: Out) {
        match out {
            Out::ToClient { to, bytes } => {
                self.door.send_to(&bytes, to).await.unwrap();
            }
            Out::ToPeer { from, peer, payload, .. } => {
                self.relays[&from].send_to(&payload, peer).await.unwrap();
            }
            Out::Connecting { .. } => unreachable!("nobody relays TCP here"),
            Out::Dropped(_) => {}
        }
    }
}

fn listen(at: SocketAddr, socket: Socket, arrivals: mpsc::Sender<Arrived>) {
    tokio::spawn(async move {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            if arrivals.send((at, from, buffer[..length].to_vec())).await.is_err() {
                return;
            }
        }
    });
}
