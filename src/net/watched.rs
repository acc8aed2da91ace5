//! A UDP socket that a task waits for.

use super::udp::{RecvBatch, UdpSocket};
use std::io;
use std::ops::Deref;
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A relay socket in a tokio runtime.
#[derive(Debug)]
pub struct WatchedSocket(AsyncFd<UdpSocket>);

impl WatchedSocket {
    /// Watches `socket`, whose error queue counts as something to read. Needs a tokio runtime.
    ///
    /// # Errors
    /// The kernel has no room for another watch; the socket is closed.
    pub fn new(socket: UdpSocket) -> io::Result<Self> {
        socket.tell_errors_as_priority()?;
        let interest = Interest::READABLE | Interest::PRIORITY;
        // SAFETY: a `UdpSocket` owns its descriptor and keeps it until it is dropped, which the `AsyncFd` that owns
        // it does after it stopped watching; `as_raw_fd` has no other descriptor to return.
        let watched = unsafe { AsyncFd::register_with_interest(socket, interest) };
        watched.map(Self).map_err(io::Error::from)
    }

    /// Replaces the content of `batch` by what is ready, in up to `slots_max` slots, and otherwise has the task woken later.
    /// Returns how many datagrams it holds; 0 means that there may be errors to read (`recv_error`), and that the next call waits.
    pub fn poll_recv(&self, cx: &mut Context<'_>, batch: &mut RecvBatch, slots_max: usize) -> Poll<usize> {
        // An error means that the runtime ends, and this socket with it.
        let Ok(mut ready) = ready!(self.0.poll_read_ready(cx)) else { return Poll::Pending };
        let count = ready.get_inner().recv_slots(batch, slots_max).unwrap_or(0);
        if !batch.is_full() {
            // What came after the guard was taken makes a new edge, which this does not clear.
            ready.clear_ready();
        }
        Poll::Ready(count)
    }
}

impl Deref for WatchedSocket {
    type Target = UdpSocket;

    fn deref(&self) -> &UdpSocket {
        self.0.get_ref()
    }
}
