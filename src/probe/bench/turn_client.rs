//! A client of the `turn` crate: it allocates, makes the permission, binds the channel, and refreshes all that.

use super::line::{Heard, Line, Refusal};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use stun::message::METHOD_CHANNEL_BIND;
use tokio::sync::watch;
use tokio::time::timeout;
use turn::client::{Client, ClientConfig};
use webrtc_util::Conn;

/// How long one step may take. The crate sends a request seven times within 8 s.
const STEP_MAX: Duration = Duration::from_secs(10);

/// How long the end of an allocation may take; it ends by itself some minutes later.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// One client with its allocation.
pub(super) struct TurnClient {
    client: Client,
    relay: Arc<dyn Conn + Send + Sync>,
    heard: watch::Receiver<Heard>,
    /// Where its peer sends to.
    pub(super) relayed: SocketAddr,
    /// Of its channel; 0 when none was to be bound.
    pub(super) channel: u16,
}

/// Who comes, and whom it wants to reach.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) username: String,
    pub(super) password: String,
    pub(super) peer: SocketAddr,
}

/// What a client did not get.
#[derive(Clone, Debug)]
pub(super) struct SetUpFailed {
    /// In words: "allocate".
    pub(super) step: &'static str,
    /// It failed on this machine, whatever the server does.
    pub(super) is_here: bool,
    /// Whether any answer came.
    pub(super) was_answered: bool,
    /// The server's own answer, if that was the reason.
    pub(super) refusal: Option<Refusal>,
    /// What the crate made of it.
    pub(super) words: String,
}

impl TurnClient {
    /// Does all that comes before the first packet.
    pub(super) async fn set_up(line: Arc<Line>, wish: Wish) -> Result<Self, SetUpFailed> {
        let (mut heard, binds) = (line.heard.subscribe(), line.binds);
        let server = line.server.to_string();
        let client = Client::new(ClientConfig {
            stun_serv_addr: server.clone(),
            turn_serv_addr: server,
            username: wish.username,
            password: wish.password,
            realm: String::new(),
            software: String::new(),
            rto_in_ms: 0,
            conn: line,
            vnet: None,
        });
        let client = step("make a client", &heard, client).await?;
        step("listen", &heard, client.listen()).await?;
        let relay = step("allocate", &heard, client.allocate()).await?;
        let relay: Arc<dyn Conn + Send + Sync> = Arc::new(relay);
        let relayed = relay.local_addr().map_err(|error| failed("allocate", &heard, &error))?;
        // The first packet makes the permission, and then the channel in the background.
        step("make a permission", &heard, relay.send_to(&[0], wish.peer)).await?;
        if binds {
            let refused = |heard: &Heard| {
                heard.refusal.as_ref().is_some_and(|error| error.method == METHOD_CHANNEL_BIND)
            };
            let over = heard.wait_for(|heard| heard.is_bound || refused(heard));
            let is_bound = matches!(timeout(STEP_MAX, over).await, Ok(Ok(heard)) if heard.is_bound);
            if !is_bound {
                return Err(failed("bind a channel", &heard, &"no answer in time"));
            }
        }
        let channel = if binds { heard.borrow().channel } else { 0 };
        Ok(Self { client, relay, heard, relayed, channel })
    }

    /// Ends the allocation by a Refresh of lifetime 0, within 2 s.
    pub(super) async fn close(self) {
        let _over_or_too_long = timeout(CLOSE_MAX, self.end()).await;
    }

    async fn end(mut self) {
        let before = self.heard.borrow().refreshes;
        let _sent = self.relay.close().await;
        drop(self.heard.wait_for(|heard| heard.refreshes > before).await);
        let _closed = self.client.close().await;
    }
}

impl SetUpFailed {
    /// No fault of the server's.
    pub(super) fn here(error: &dyn std::fmt::Display) -> Self {
        Self { step: "start", is_here: true, was_answered: false, refusal: None, words: error.to_string() }
    }
}

async fn step<T, E: std::fmt::Display>(
    name: &'static str,
    heard: &watch::Receiver<Heard>,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, SetUpFailed> {
    match timeout(STEP_MAX, work).await {
        Ok(result) => result.map_err(|error| failed(name, heard, &error)),
        Err(_) => Err(failed(name, heard, &"no answer in time")),
    }
}

fn failed(step: &'static str, heard: &watch::Receiver<Heard>, words: &dyn std::fmt::Display) -> SetUpFailed {
    let heard = heard.borrow();
    SetUpFailed {
        step,
        is_here: false,
        was_answered: heard.answers > 0,
        refusal: heard.refusal.clone(),
        words: words.to_string(),
    }
}
