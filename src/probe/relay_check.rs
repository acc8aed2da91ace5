//! Relays a few datagrams through a server with a client that shares no code with it: the `turn` crate.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UdpSocket;
use turn::client::{Client, ClientConfig};
use webrtc_util::Conn;

/// How long each step may take.
const STEP_TIMEOUT: Duration = Duration::from_secs(5);

/// Datagrams sent each way.
const ROUNDS: usize = 5;

/// What worked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// Relayed addresses of the two clients.
    pub addresses: [SocketAddr; 2],
    /// Datagrams that went from one to the other and back.
    pub round_trips: usize,
    /// The slowest of them.
    pub slowest: Duration,
}

/// Which step failed, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckFailed {
    step: &'static str,
    why: String,
}

impl fmt::Display for CheckFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.step, self.why)
    }
}

impl std::error::Error for CheckFailed {}

/// Allocates twice on `server` and sends from one relayed address to the other and back.
///
/// # Errors
/// The first step that failed.
pub async fn check_relay(
    server: SocketAddr,
    realm: &str,
    username: &str,
    password: &str,
) -> Result<Relayed, CheckFailed> {
    let clients = [
        connect(server, realm, username, password).await?,
        connect(server, realm, username, password).await?,
    ];
    let relays = [allocate(&clients[0]).await?, allocate(&clients[1]).await?];
    let addresses = [address(&*relays[0])?, address(&*relays[1])?];
    let result = ping_pong(&relays, addresses).await;
    for relay in &relays {
        // The allocation ends by a Refresh with lifetime zero, or by itself ten minutes later.
        let _ended = relay.close().await;
    }
    for client in &clients {
        let _closed = client.close().await;
    }
    let slowest = result?;
    Ok(Relayed { addresses, round_trips: ROUNDS, slowest })
}

type Relay = Arc<dyn Conn + Send + Sync>;

async fn connect(
    server: SocketAddr,
    realm: &str,
    username: &str,
    password: &str,
) -> Result<Client, CheckFailed> {
    let bind = SocketAddr::new(if server.ip().is_loopback() { server.ip() } else { unspecified(server) }, 0);
    let socket = UdpSocket::bind(bind).await.map_err(|error| failed("open a socket", error))?;
    let client = Client::new(ClientConfig {
        stun_serv_addr: server.to_string(),
        turn_serv_addr: server.to_string(),
        username: username.into(),
        password: password.into(),
        realm: realm.into(),
        software: String::new(),
        rto_in_ms: 0,
        conn: Arc::new(socket),
        vnet: None,
    });
    let client = client.await.map_err(|error| failed("make a client", error))?;
    client.listen().await.map_err(|error| failed("listen", error))?;
    Ok(client)
}

async fn allocate(client: &Client) -> Result<Relay, CheckFailed> {
    let relay = in_time("allocate", client.allocate()).await?.map_err(|error| failed("allocate", error))?;
    Ok(Arc::new(relay))
}

fn address(relay: &dyn Conn) -> Result<SocketAddr, CheckFailed> {
    relay.local_addr().map_err(|error| failed("read the relayed address", error))
}

/// Each side sends first once without being heard: that is what makes its permission.
async fn ping_pong(relays: &[Relay; 2], addresses: [SocketAddr; 2]) -> Result<Duration, CheckFailed> {
    const STEP: &str = "relay a datagram";
    let mut buffer = [0; 64];
    let permit = relays[1].send_to(b"open", addresses[0]);
    in_time("make a permission", permit).await?.map_err(|error| failed("make a permission", error))?;
    let mut slowest = Duration::ZERO;
    for round in 0..ROUNDS {
        let ping = format!("turnstone relay check {round}");
        let started = Instant::now();
        for (from, to) in [(0, 1), (1, 0)] {
            let send = relays[from].send_to(ping.as_bytes(), addresses[to]);
            in_time(STEP, send).await?.map_err(|error| failed(STEP, error))?;
            loop {
                let received = in_time(STEP, relays[to].recv_from(&mut buffer)).await?;
                let (length, sender) = received.map_err(|error| failed(STEP, error))?;
                // The opening datagram may have come through as well.
                if sender == addresses[from] && buffer[..length] == *ping.as_bytes() {
                    break;
                }
            }
        }
        slowest = slowest.max(started.elapsed());
    }
    Ok(slowest)
}

async fn in_time<T>(step: &'static str, work: impl Future<Output = T>) -> Result<T, CheckFailed> {
    tokio::time::timeout(STEP_TIMEOUT, work).await.map_err(|_| failed(step, "no answer within 5 s"))
}

fn failed(step: &'static str, why: impl fmt::Display) -> CheckFailed {
    CheckFailed { step, why: why.to_string() }
}

fn unspecified(like: SocketAddr) -> std::net::IpAddr {
    match like {
        SocketAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    }
}
