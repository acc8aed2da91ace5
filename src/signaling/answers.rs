//! Answers: those that come over the bus, and how a client hears that its event came to nothing.

use super::bus::Request;
use super::json::Object;
use super::{Class, Hub, Refusal, SessionId};
use crate::base::Now;
use crate::metrics::{Label, SignalingError, signaling_errors};
use slab::Slab;
use std::borrow::Cow;
use std::time::Duration;

/// Answers that are awaited from the bus; a local one answers at once.
const AWAITED_MAX: usize = 1 << 16;

/// All answers that are awaited from the bus.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    slab: Slab<Pending>,
    /// Tells those apart that had the same place.
    serial: u32,
}

/// An answer that is awaited from the bus.
#[derive(Debug)]
struct Pending {
    serial: u32,
    session: SessionId,
    /// The transport that asked.
    transport: u32,
    ack: Option<u64>,
    event: Cow<'static, str>,
}

impl Hub {
    /// Notes that an answer is awaited from the bus.
    pub(super) fn expect(
        &mut self,
        session: SessionId,
        ack: Option<u64>,
        event: impl Into<Cow<'static, str>>,
    ) -> Result<Request, Refusal> {
        if self.awaited.slab.len() >= AWAITED_MAX {
            return Err(super::limits::wait("the server is busy", Duration::from_secs(1)));
        }
        let transport = self.town.sessions.get(session).map_or(0, |session| session.transport);
        self.awaited.serial = self.awaited.serial.wrapping_add(1);
        let serial = self.awaited.serial;
        let place =
            self.awaited.slab.insert(Pending { serial, session, transport, ack, event: event.into() });
        Ok(Request { node: self.node, number: u64::from(serial) << 32 | place as u64 })
    }

    /// An answer that came over the bus goes to whoever waits for it, if the transport that asked is still there.
    pub(super) fn on_answer(&mut self, now: Now, request: Request, result: Result<Box<str>, Refusal>) {
        let place = (request.number & u64::from(u32::MAX)) as usize;
        let is_known = self
            .awaited
            .slab
            .get(place)
            .is_some_and(|pending| u64::from(pending.serial) == request.number >> 32);
        if request.node != self.node || !is_known {
            return;
        }
        let Pending { session, transport, ack, event, .. } = self.awaited.slab.remove(place);
        if self.town.sessions.get(session).is_none_or(|session| session.transport != transport) {
            return;
        }
        match (result, ack) {
            (Ok(answer), Some(ack)) => self.answer(session, ack, Ok(answer)),
            (Ok(_), None) => {}
            (Err(refusal), ack) => self.refuse(now, session, ack, &event, None, refusal),
        }
    }

    /// Tells a client that its event came to nothing: as the answer that it waits for, else as an event.
    pub(super) fn refuse(
        &mut self,
        now: Now,
        session: SessionId,
        ack: Option<u64>,
        event: &str,
        call_id: Option<&str>,
        refusal: Refusal,
    ) {
        self.counters.increment(signaling_errors(refusal.code));
        let is_flood = refusal.code == SignalingError::RateLimited;
        if let Some(ack) = ack {
            self.answer(session, ack, Err(refusal));
        } else {
            let is_call = event.starts_with("call:") || event.starts_with("webrtc:");
            let name = if is_call { "call:error" } else { "error" };
            let data = error_object(event, call_id, &refusal);
            let class = if is_call && !is_flood { Class::Reliable } else { Class::Droppable };
            self.tell(now, session, name, data, class);
        }
        self.strike(now, session);
    }
}

fn error_object(event: &str, call_id: Option<&str>, refusal: &Refusal) -> Box<str> {
    let shown: &str = &event[..event.floor_char_boundary(64)];
    let object = Object::new()
        .text("event", shown)
        .maybe_text("call_id", call_id)
        .text("code", SignalingError::VALUES[refusal.code.index()])
        .text("message", &refusal.message);
    match refusal.retry_after_ms {
        Some(ms) => object.number("retry_after_ms", ms).finish(),
        None => object.finish(),
    }
}
