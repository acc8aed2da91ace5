//! The server of the `turn` crate: one UDP listener, one user, relay ports of the same address, peers anywhere.
//!
//! `turn-crate-server IPV4-ADDRESS PORT USERNAME PASSWORD`

use std::error::Error;
use std::future::pending;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use turn::auth::{AuthHandler, generate_auth_key};
use turn::relay::relay_static::RelayAddressGeneratorStatic;
use turn::server::Server;
use turn::server::config::{ConnConfig, ServerConfig};
use webrtc_util::vnet::net::Net;

const REALM: &str = "turn";

/// The one user, with the long-term key.
struct OneUser {
    username: String,
    key: Vec<u8>,
}

impl AuthHandler for OneUser {
    fn auth_handle(&self, username: &str, _realm: &str, _from: SocketAddr) -> Result<Vec<u8>, turn::Error> {
        match username == self.username {
            true => Ok(self.key.clone()),
            false => Err(turn::Error::ErrNoSuchUser),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let usage = "turn-crate-server IPV4-ADDRESS PORT USERNAME PASSWORD";
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [ip, port, username, password] = arguments.try_into().map_err(|_| usage)?;
    // The crate's users have this runtime; on one core it is one worker.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(ip.parse()?, port.parse()?, username, &password))
}

/// Serves until the process ends.
async fn serve(ip: IpAddr, port: u16, username: String, password: &str) -> Result<(), Box<dyn Error>> {
    let key = generate_auth_key(&username, REALM, password);
    let listener = ConnConfig {
        conn: Arc::new(UdpSocket::bind((ip, port)).await?),
        relay_addr_generator: Box::new(RelayAddressGeneratorStatic {
            relay_address: ip,
            address: ip.to_string(),
            net: Arc::new(Net::new(None)),
        }),
    };
    let _server = Server::new(ServerConfig {
        conn_configs: vec![listener],
        realm: REALM.to_owned(),
        auth_handler: Arc::new(OneUser { username, key }),
        channel_bind_timeout: Duration::ZERO,
        alloc_close_notify: None,
    })
    .await?;
    pending().await
}
