//! The socket that a client of the `turn` crate believes to have.
//!
//! What it sends waits in a queue for the thread that owns the real sockets, which in turn hands over what is for
//! the client. So the same thread drives packets and requests, over whatever transport, and the client goes on refreshing
//! what it has. On the way the line notes what the server said, since the crate reports an error as one of many texts.

use crate::net::Waker;
use async_trait::async_trait;
use crossbeam_channel::Sender;
use std::any::Any;
use std::io;
use std::net::SocketAddr;
use stun::error_code::{CODE_FORBIDDEN, ErrorCodeAttribute};
use stun::message::{
    CLASS_ERROR_RESPONSE, CLASS_REQUEST, CLASS_SUCCESS_RESPONSE, Getter, METHOD_CHANNEL_BIND, METHOD_REFRESH,
    Message, MessageType, Method,
};
use tokio::sync::{Mutex, mpsc, watch};
use turn::proto::channum::ChannelNumber;
use webrtc_util::{Conn, Error};

/// What a client wants to be sent: its number, and a whole message.
pub(super) type Request = (usize, Vec<u8>);

pub(super) struct Line {
    pub(super) client: usize,
    pub(super) local: SocketAddr,
    pub(super) server: SocketAddr,
    pub(super) requests: Sender<Request>,
    /// Ends the wait of the thread that owns the sockets.
    pub(super) waker: Waker,
    pub(super) inbox: Mutex<mpsc::Receiver<Vec<u8>>>,
    /// The other end of it.
    pub(super) answers: mpsc::Sender<Vec<u8>>,
    /// Whether the client may bind a channel: it does so by itself for each peer, also where Send is to be measured.
    pub(super) binds: bool,
    pub(super) heard: watch::Sender<Heard>,
}

/// What the server has said so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) answers: u32,
    /// The last error response.
    pub(super) refusal: Option<Refusal>,
    /// The channel that was asked for, and whether it is bound.
    pub(super) channel: u16,
    pub(super) is_bound: bool,
    /// Answers to a Refresh.
    pub(super) refreshes: u32,
}

/// An error response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) method: Method,
    pub(super) code: u16,
    pub(super) reason: String,
}

impl Line {
    /// Reads what the client sends. Returns whether it may leave.
    fn note_request(&self, bytes: &[u8]) -> bool {
        let Some(message) = decode(bytes) else { return true };
        if message.typ.method != METHOD_CHANNEL_BIND || message.typ.class != CLASS_REQUEST {
            return true;
        }
        let mut number = ChannelNumber::default();
        if number.get_from(&message).is_ok() {
            self.heard.send_modify(|heard| heard.channel = number.0);
        }
        if !self.binds {
            // Unanswered, it would hold up all that the client does for seconds.
            let _full_then = refuse(&message).map(|refusal| self.answers.try_send(refusal));
        }
        self.binds
    }

    fn note_answer(&self, bytes: &[u8]) {
        let Some(message) = decode(bytes) else { return };
        let (method, class) = (message.typ.method, message.typ.class);
        self.heard.send_modify(|heard| {
            heard.answers += 1;
            heard.refreshes += u32::from(method == METHOD_REFRESH);
            if class == CLASS_SUCCESS_RESPONSE {
                heard.is_bound |= method == METHOD_CHANNEL_BIND;
            } else if class == CLASS_ERROR_RESPONSE {
                let mut error = ErrorCodeAttribute::default();
                let _code_zero_then = error.get_from(&message);
                let reason = String::from_utf8_lossy(&error.reason).into_owned();
                heard.refusal = Some(Refusal { method, code: error.code.0, reason });
            }
        });
    }
}

/// An error response to a request, as a server would give it.
fn refuse(request: &Message) -> Result<Vec<u8>, stun::Error> {
    let kind = MessageType::new(request.typ.method, CLASS_ERROR_RESPONSE);
    let mut response = Message::new();
    response.build(&[Box::new(request.transaction_id), Box::new(kind), Box::new(CODE_FORBIDDEN)])?;
    Ok(response.raw)
}

fn decode(bytes: &[u8]) -> Option<Message> {
    let mut message = Message::new();
    message.unmarshal_binary(bytes).ok().map(|()| message)
}

#[async_trait]
impl Conn for Line {
    async fn connect(&self, _: SocketAddr) -> Result<(), Error> {
        Ok(())
    }

    async fn recv(&self, buffer: &mut [u8]) -> Result<usize, Error> {
        self.recv_from(buffer).await.map(|(length, _)| length)
    }

    async fn recv_from(&self, buffer: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        let message = self.inbox.lock().await.recv().await;
        let message = message.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionAborted))?;
        self.note_answer(&message);
        let length = message.len().min(buffer.len());
        buffer[..length].copy_from_slice(&message[..length]);
        Ok((length, self.server))
    }

    async fn send(&self, bytes: &[u8]) -> Result<usize, Error> {
        self.send_to(bytes, self.server).await
    }

    async fn send_to(&self, bytes: &[u8], _: SocketAddr) -> Result<usize, Error> {
        // A full queue loses it like a network would; it is sent again.
        if self.note_request(bytes) && self.requests.try_send((self.client, bytes.to_vec())).is_ok() {
            self.waker.wake();
        }
        Ok(bytes.len())
    }

    fn local_addr(&self) -> Result<SocketAddr, Error> {
        Ok(self.local)
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        Some(self.server)
    }

    async fn close(&self) -> Result<(), Error> {
        Ok(())
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}
