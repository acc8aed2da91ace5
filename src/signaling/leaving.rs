//! Sessions are lost, and end.

use super::bus::Message;
use super::hub::Timer;
use super::{Hub, SessionId};
use crate::base::Now;
use crate::metrics::{EndReason, sessions_closed};
use std::sync::Arc;

impl Hub {
    /// The transport is gone; the session may be resumed.
    pub fn on_lost(&mut self, now: Now, session: SessionId) {
        let window = now.at.after(self.settings.log.window);
        let Some(lost) = self.town.sessions.get_mut(session).filter(|session| session.is_attached) else {
            return;
        };
        (lost.is_attached, lost.is_closing, lost.is_ready) = (false, false, false);
        (lost.greeting, lost.lost_at) = (None, now.at);
        lost.log.detach();
        lost.window = Some(self.timers.schedule(window, Timer::Window(session)));
        if let Some(expiry) = lost.expiry.take() {
            self.timers.cancel(expiry);
        }
        self.detached(now, session);
    }

    /// The client said goodbye: the session is over for good.
    pub fn on_left(&mut self, now: Now, session: SessionId) {
        self.end(now, session);
    }

    pub(super) fn on_window_over(&mut self, now: Now, session: SessionId) {
        if let Some(known) = self.town.sessions.get_mut(session) {
            known.window = None;
            self.end(now, session);
        }
    }

    /// Ends a session, with a transport or without.
    pub(super) fn end(&mut self, now: Now, id: SessionId) {
        let Some(session) = self.town.sessions.get(id) else { return };
        let (rooms, party, was_attached, has_expired) =
            (session.rooms.clone(), session.party(), session.is_attached, session.has_expired);
        if let Some(user) = self.town.people.at_mut(session.user)
            && user.attached == u32::from(was_attached)
        {
            let names = rooms
                .iter()
                .filter_map(|place| self.town.rooms.at(*place).map(|room| Arc::clone(&room.name)));
            user.last_rooms.extend(names);
            user.last_rooms.sort_unstable();
            user.last_rooms.dedup();
        }
        self.stop_all_typing(id);
        for place in rooms {
            self.leave_room(id, place);
        }
        if was_attached {
            if let Some(session) = self.town.sessions.get_mut(id) {
                session.is_attached = false;
            }
            self.detached(now, id);
        }
        let Some(session) = self.town.sessions.remove(id) else { return };
        self.flush_slots(session.slots);
        for timer in [session.window, session.expiry].into_iter().flatten() {
            self.timers.cancel(timer);
        }
        for user in &session.watched {
            self.town.people.unwatch(user, id);
        }
        self.counters.increment(sessions_closed());
        let change = self.town.people.at_mut(session.user).and_then(|user| user.end(&party.device, id));
        if let Some(change) = change {
            if has_expired {
                self.calls.end_user(now, &party, EndReason::Expired);
                self.take_outputs();
            }
            self.publish(Message::Device { party, change });
        }
    }

    /// A session got a transport: its device and its user are here.
    pub(super) fn attached(&mut self, now: Now, id: SessionId) {
        let Some(session) = self.town.sessions.get(id) else { return };
        let (place, party) = (session.user, session.party());
        let change = self.town.people.at_mut(place).and_then(|user| user.attach(&party.device, id));
        if let Some(change) = change {
            self.publish(Message::Device { party, change });
        }
        self.on_user_attached(now, place);
    }

    /// A session lost its transport: its device and its user may be away.
    fn detached(&mut self, now: Now, id: SessionId) {
        let Some(session) = self.town.sessions.get(id) else { return };
        let (place, party) = (session.user, session.party());
        let change = self.town.people.at_mut(place).and_then(|user| user.detach(&party.device));
        if let Some(change) = change {
            self.publish(Message::Device { party, change });
        }
        self.on_user_detached(now, place);
    }
}
