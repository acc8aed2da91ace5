//! How a connection ends: closed, or handed to whoever goes on with it.

use super::connection::{Connection, Seat};
use super::pipe;
use crate::metrics::{Closed, Direction, relay_bytes};
use crate::net::tcp;
use crate::net::tls::HandedOver;
use crate::relay::parked::Parked;
use std::io;
use std::rc::Rc;
use tokio::net::TcpStream;

impl Connection {
    pub(super) fn close(mut self, reason: Closed) {
        self.seat.reason = reason;
        if let Some(tls) = &mut self.tls {
            let mut farewell = Vec::new();
            tls.close(&mut farewell);
            let _gone_anyway = self.push(&farewell);
        }
        if !matches!(reason, Closed::Client | Closed::Idle) || !self.queue.is_empty() {
            // Who broke the rules, or does not read, leaves nothing behind here and learns nothing.
            tcp::reset_on_close(&self.stream);
        }
    }

    pub(super) fn hand_over(self) {
        let http = self.shared.http.clone();
        let Ok((connection, mut seat)) = self.leave() else { return };
        seat.reason = match http.try_send(connection) {
            Ok(()) => Closed::Http,
            Err(_) => Closed::HttpBusy,
        };
    }

    /// The connection with all that was read and is not written yet. It stays admitted for as long as it is open.
    fn leave(mut self) -> io::Result<(HandedOver, Seat)> {
        self.seat.reason = Closed::Client;
        let (remote, local) = (self.seat.from.remote, self.seat.from.local);
        let socket = self.stream.into_std()?;
        let (tls, incoming, plain) = (self.tls, self.partial, self.partial_plain);
        let (unsent, held) = (self.queue.into_bytes(), Box::new(self.admitted));
        Ok((HandedOver { socket, tls, incoming, plain, unsent, remote, local, held }, self.seat))
    }

    /// Carries bytes between the client and a peer, until both have ended or the allocation has.
    pub(super) async fn carry(self, parked: Parked) {
        let (shared, transport) = (Rc::clone(&self.shared), self.seat.from.transport);
        let Parked { stream, meter, throttle, mut tether, place: _place, .. } = parked;
        let Ok((client, mut seat)) = self.leave() else { return };
        let (Ok(client), Ok(peer)) = (client.open(), TcpStream::from_std(stream)) else { return };
        let count = |way: Direction, bytes: usize, waited: bool| {
            meter.count(way, bytes);
            let core = &mut *shared.core.borrow_mut();
            core.server.counters().add(relay_bytes(way, transport), bytes as u64);
            if matches!(way, Direction::FromClient | Direction::FromPeer) && core.server.is_limited(&throttle)
            {
                core.server.have_read(core.clock.now(), &throttle, bytes, waited);
            }
            shared.wake_if_asleep();
        };
        let may_read = |bytes: usize| {
            let core = &mut *shared.core.borrow_mut();
            // Without limits nobody asks for the time.
            !core.server.is_limited(&throttle) || core.server.may_read(core.clock.now(), &throttle, bytes)
        };
        seat.reason = tokio::select! {
            biased;
            () = tether.ended() => Closed::Allocation,
            _ended_or_broken = pipe::carry(client, peer, &count, &may_read) => Closed::Client,
        };
    }
}
