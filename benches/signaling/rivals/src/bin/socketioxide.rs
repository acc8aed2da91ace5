//! A relay of events to the user that each one names, on socketioxide: what an application of a few lines does.
//!
//! `socketioxide-server PORT one|many`: on a tokio runtime of the current thread, or on its default one.

use axum::Router;
use axum::serve::ListenerExt as _;
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde::{Deserialize, Serialize};
use socketioxide::extract::{Data, SocketRef};
use socketioxide::{SocketIo, TransportType};
use std::error::Error;
use std::net::Ipv4Addr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::runtime::Builder;

#[derive(Deserialize)]
struct Auth {
    token: String,
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
}

#[derive(Deserialize)]
struct Relay {
    to: String,
    candidate: Candidate,
}

#[derive(Serialize)]
struct Relayed<'a> {
    from: &'a str,
    candidate: &'a Candidate,
}

/// Typed, which costs it less than any JSON value does.
#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Candidate {
    candidate: String,
    sdp_mid: String,
    sdp_m_line_index: u16,
}

fn main() -> Result<(), Box<dyn Error>> {
    let usage = "socketioxide-server PORT one|many";
    let mut arguments = std::env::args().skip(1);
    let port = arguments.next().ok_or(usage)?.parse()?;
    let runtime = match arguments.next().as_deref() {
        Some("one") => Builder::new_current_thread().enable_all().build()?,
        Some("many") => Builder::new_multi_thread().enable_all().build()?,
        _ => return Err(usage.into()),
    };
    runtime.block_on(serve(port))
}

async fn serve(port: u16) -> Result<(), Box<dyn Error>> {
    let (layer, io) = SocketIo::builder().transports([TransportType::Websocket]).build_layer();
    io.ns("/", on_connect);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let listener = listener.tap_io(|stream| stream.set_nodelay(true).expect("an open socket"));
    Ok(axum::serve(listener, Router::new().layer(layer)).await?)
}

async fn on_connect(socket: SocketRef, Data(auth): Data<Auth>) {
    let Some(user) = subject(&auth.token) else { return };
    socket.join(user.clone());
    let user: Arc<str> = user.into();
    socket.on("relay", async move |io: SocketIo, Data(relay): Data<Relay>| {
        let relayed = Relayed { from: &user, candidate: &relay.candidate };
        let _its_receiver_is_gone = io.to(relay.to).emit("relay", &relayed).await;
    });
}

/// The token's signature is not checked: that is for Turnstone alone to pay.
fn subject(token: &str) -> Option<String> {
    let claims = BASE64_URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
    serde_json::from_slice::<Claims>(&claims).ok().map(|claims| claims.sub)
}
