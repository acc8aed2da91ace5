//! The state of one session.

use super::{Carrier, Control, End, Output, Settings};
use crate::base::Timestamp;
use crate::wire::engine_io::{Data, PROBE, Packet, Reject};
use std::time::Duration;

/// How long a GET waits that comes while a WebSocket is about to take over. The client may not have read `3probe` yet
/// and come again at once; answered without delay it would do nothing else until it has.
const NOOP_DELAY: Duration = Duration::from_millis(100);

/// How late a timer is that works as it should.
const TIMER_LAG_MAX: Duration = Duration::from_millis(50);

/// One session, in 40 bytes. It keeps no message, no socket and no `sid`.
#[derive(Debug)]
pub struct Engine {
    life: Life,
    socket: Socket,
    /// A GET waits for its answer.
    poll_waits: bool,
    /// A POST is being read.
    post_runs: bool,
    owed: Owed,
    /// The last ping has no pong yet; `heartbeat_at` is when it is too late.
    awaits_pong: bool,
    /// The next ping, or the end.
    heartbeat_at: Timestamp,
    /// In a closing session when it ends; before, when a candidate must have taken over.
    patience_ends: Timestamp,
    /// While a WebSocket is probed: when a GET that waits is ended. `ZERO`: now.
    noop_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Open,
    /// The driver closed it; the client has not heard so yet.
    Closing,
    Ended(End),
    /// And the driver knows.
    Over(End),
}

/// The WebSocket: never more than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Socket {
    None,
    /// Open, and has said nothing.
    Candidate,
    /// It has said `2probe`.
    Probed,
    /// It carries the session.
    Carrier,
}

/// Control packets that wait for their carrier, and a socket that is to be closed.
#[derive(Clone, Copy, Debug, Default)]
struct Owed {
    open: bool,
    ping: bool,
    probe_answer: bool,
    close_socket: bool,
}

impl Engine {
    /// A session that begins with a GET, which waits now.
    pub fn by_polling(now: Timestamp, settings: &Settings) -> Self {
        Self { poll_waits: true, ..Self::new(now, settings, Socket::None) }
    }

    /// A session that begins with a WebSocket, which is open now.
    pub fn by_websocket(now: Timestamp, settings: &Settings) -> Self {
        Self::new(now, settings, Socket::Carrier)
    }

    fn new(now: Timestamp, settings: &Settings, socket: Socket) -> Self {
        Self {
            life: Life::Open,
            socket,
            poll_waits: false,
            post_runs: false,
            owed: Owed { open: true, ..Owed::default() },
            awaits_pong: false,
            heartbeat_at: now.after(settings.ping_interval),
            patience_ends: Timestamp::ZERO,
            noop_at: Timestamp::ZERO,
        }
    }

    /// A GET with this `sid` came. When it is accepted, it waits until [`Output::AnswerPoll`], or until the driver
    /// has answered it with messages ([`Self::on_poll_answered`]).
    ///
    /// # Errors
    /// `BadRequest` when a WebSocket has taken over, which changes nothing, and when another GET waits, which ends the
    /// session; `UnknownSid` when it is over.
    pub fn on_poll(&mut self, now: Timestamp, settings: &Settings) -> Result<(), Reject> {
        self.expect_polling(now, settings)?;
        if self.poll_waits {
            self.end(End::Overlap);
            return Err(Reject::BadRequest);
        }
        self.poll_waits = true;
        self.noop_at = now.after(NOOP_DELAY);
        Ok(())
    }

    /// The driver has answered the GET with messages.
    pub fn on_poll_answered(&mut self) {
        self.poll_waits = false;
    }

    /// An answer did not reach the client: what was in it is lost, so the session ends.
    pub fn on_answer_lost(&mut self) {
        self.end(End::Lost);
    }

    /// The GET was broken off before it was answered: what was on its way may be lost, so the session ends.
    pub fn on_poll_lost(&mut self) {
        if std::mem::take(&mut self.poll_waits) {
            self.end(End::Lost);
        }
    }

    /// A POST with this `sid` begins. [`Self::on_post_end`] follows, and between the two the packets.
    ///
    /// # Errors
    /// As for [`Self::on_poll`].
    pub fn on_post(&mut self, now: Timestamp, settings: &Settings) -> Result<(), Reject> {
        self.expect_polling(now, settings)?;
        if self.post_runs {
            self.end(End::Overlap);
            return Err(Reject::BadRequest);
        }
        self.post_runs = true;
        Ok(())
    }

    /// All packets of the POST were handled. It is answered with status 200 and `ok`.
    ///
    /// # Errors
    /// `BadRequest` when one of them broke the protocol, or another POST came meanwhile.
    pub fn on_post_end(&mut self) -> Result<(), Reject> {
        self.post_runs = false;
        match self.life {
            Life::Ended(end) | Life::Over(end) if matches!(end, End::Protocol | End::Overlap) => {
                Err(Reject::BadRequest)
            }
            _ => Ok(()),
        }
    }

    /// A POST was broken off: what it held is lost.
    pub fn on_post_lost(&mut self) {
        if std::mem::take(&mut self.post_runs) {
            self.end(End::Lost);
        }
    }

    /// A WebSocket with this `sid` would like to take over. One that is refused the driver closes, and reports nothing
    /// of it.
    ///
    /// # Errors
    /// `BadRequest` when there is one already, candidate or carrier, which goes on unharmed; `UnknownSid` when the
    /// session is over.
    pub fn on_socket(&mut self, now: Timestamp, settings: &Settings) -> Result<(), Reject> {
        self.on_deadline(now, settings);
        match (self.life, self.socket) {
            (Life::Open, Socket::None) if !self.owed.close_socket => {
                self.socket = Socket::Candidate;
                self.patience_ends = now.after(settings.upgrade_timeout);
                Ok(())
            }
            (Life::Open | Life::Closing, _) => Err(Reject::BadRequest),
            (Life::Ended(_) | Life::Over(_), _) => Err(Reject::UnknownSid),
        }
    }

    /// The WebSocket was closed or broke. A candidate leaves the session as it was.
    pub fn on_socket_lost(&mut self) {
        match std::mem::replace(&mut self.socket, Socket::None) {
            Socket::None => {}
            Socket::Candidate | Socket::Probed => self.owed.probe_answer = false,
            Socket::Carrier => self.end(End::Lost),
        }
    }

    /// A packet came, in a POST (`Carrier::Poll`) or on the WebSocket. Returns what is for the protocol above.
    pub fn on_packet<'a>(
        &mut self,
        now: Timestamp,
        settings: &Settings,
        from: Carrier,
        packet: Packet<'a>,
    ) -> Option<Data<'a>> {
        if matches!(self.life, Life::Ended(_) | Life::Over(_)) {
            return None;
        }
        match (from, self.socket) {
            (Carrier::Socket, Socket::Carrier) | (Carrier::Poll, _) => {
                self.on_carried_packet(now, settings, packet)
            }
            (Carrier::Socket, Socket::Candidate | Socket::Probed) => {
                self.on_candidate_packet(&packet);
                None
            }
            // What was on its way when the driver was told to close it.
            (Carrier::Socket, Socket::None) => None,
        }
    }

    /// Something came that is no packet: the session ends, but not for the sake of a candidate.
    pub fn on_malformed(&mut self, from: Carrier) {
        match (from, self.socket) {
            (Carrier::Socket, Socket::Candidate | Socket::Probed) => self.drop_candidate(),
            (Carrier::Socket, Socket::None) => {}
            _ => self.end(End::Protocol),
        }
    }

    /// Closes the session in order: messages that wait go first, if a carrier comes for them in time.
    ///
    /// The driver drains its messages to [`Self::carrier`] before it calls this; what is left for a GET goes in front
    /// of [`Control::Close`].
    pub fn close(&mut self, now: Timestamp, settings: &Settings) {
        if self.life == Life::Open {
            self.life = Life::Closing;
            self.patience_ends = now.after(settings.ping_timeout);
        }
    }

    /// Time has passed; to be called at [`Self::next_deadline`] or later.
    pub fn on_deadline(&mut self, now: Timestamp, settings: &Settings) {
        match self.life {
            Life::Open => {
                if self.is_candidate() && now >= self.patience_ends {
                    self.drop_candidate();
                }
                if self.poll_to_be_ended() && now >= self.noop_at {
                    self.noop_at = Timestamp::ZERO;
                }
                if now >= self.heartbeat_at {
                    self.beat(now, settings);
                }
            }
            Life::Closing if now >= self.patience_ends => self.end(End::ByServer),
            Life::Closing | Life::Ended(_) | Life::Over(_) => {}
        }
    }

    /// When [`Self::on_deadline`] is due. `None` when the session is over.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        match self.life {
            Life::Open => {
                let upgrade = self.is_candidate().then_some(self.patience_ends);
                let noop = self.poll_to_be_ended().then_some(self.noop_at);
                [Some(self.heartbeat_at), upgrade, noop].into_iter().flatten().min()
            }
            Life::Closing => Some(self.patience_ends),
            Life::Ended(_) | Life::Over(_) => None,
        }
    }

    /// What takes messages now. To be asked when there is no output left.
    pub fn carrier(&self) -> Option<Carrier> {
        match (self.life, self.socket) {
            (Life::Ended(_) | Life::Over(_), _) => None,
            (_, Socket::Carrier) => Some(Carrier::Socket),
            _ => self.poll_waits.then_some(Carrier::Poll),
        }
    }

    /// Whether a WebSocket carries the session and there is no output: so it is nearly always.
    pub fn is_settled(&self) -> bool {
        let Owed { open, ping, probe_answer, close_socket } = self.owed;
        let owes = open || ping || probe_answer || close_socket;
        self.life == Life::Open && self.socket == Socket::Carrier && !self.poll_waits && !owes
    }

    /// The next thing to do; drained by the driver after each input, since a carrier has room for one thing at a time.
    pub fn next_output(&mut self) -> Option<Output> {
        if std::mem::take(&mut self.owed.close_socket) {
            return Some(Output::CloseSocket);
        }
        if std::mem::take(&mut self.owed.probe_answer) {
            return Some(Output::Send(Control::ProbeAnswer));
        }
        match self.life {
            Life::Open => self.next_control(),
            Life::Closing => self.next_of_closing(),
            Life::Ended(end) => Some(self.next_of_ended(end)),
            Life::Over(_) => None,
        }
    }

    fn next_control(&mut self) -> Option<Output> {
        let control = if self.carrier().is_some() { self.take_owed() } else { None };
        if self.socket == Socket::Carrier {
            return control.map(Output::Send).or_else(|| self.answer_poll(Control::Noop));
        }
        let noop = (self.poll_to_be_ended() && self.noop_at == Timestamp::ZERO).then_some(Control::Noop);
        control.or(noop).and_then(|control| self.answer_poll(control))
    }

    fn take_owed(&mut self) -> Option<Control> {
        if std::mem::take(&mut self.owed.open) {
            Some(Control::Open { may_upgrade: self.socket != Socket::Carrier })
        } else {
            std::mem::take(&mut self.owed.ping).then_some(Control::Ping)
        }
    }

    /// The client hears of its end over the first carrier that there is. A session that closes before its client has
    /// heard of its beginning still says so first.
    fn next_of_closing(&mut self) -> Option<Output> {
        if self.owed.open {
            return self.next_control();
        }
        let carrier = self.carrier()?;
        self.end(End::ByServer);
        match carrier {
            Carrier::Poll => self.answer_poll(Control::Close),
            Carrier::Socket => self.next_output(),
        }
    }

    /// What is left of the carriers goes with the session. To a client that ended it, `Close` would be news.
    fn next_of_ended(&mut self, end: End) -> Output {
        let farewell = if end == End::ByClient { Control::Noop } else { Control::Close };
        if let Some(output) = self.answer_poll(farewell) {
            return output;
        }
        self.life = Life::Over(end);
        Output::Ended(end)
    }

    fn answer_poll(&mut self, control: Control) -> Option<Output> {
        std::mem::take(&mut self.poll_waits).then_some(Output::AnswerPoll(control))
    }

    /// What is over by the clock is over, even if the driver's timer lags behind.
    fn expect_polling(&mut self, now: Timestamp, settings: &Settings) -> Result<(), Reject> {
        self.on_deadline(now, settings);
        match (self.life, self.socket) {
            (Life::Ended(_) | Life::Over(_), _) => Err(Reject::UnknownSid),
            (_, Socket::Carrier) => Err(Reject::BadRequest),
            _ => Ok(()),
        }
    }

    fn on_carried_packet<'a>(
        &mut self,
        now: Timestamp,
        settings: &Settings,
        packet: Packet<'a>,
    ) -> Option<Data<'a>> {
        match packet {
            // A session that is being closed hears nothing any more.
            Packet::Message(data) => return (self.life == Life::Open).then_some(data),
            Packet::Pong(_) => self.on_pong(now, settings),
            Packet::Close => self.end(End::ByClient),
            Packet::Noop => {}
            // Pings are the server's; the other two have had their moment.
            Packet::Ping(_) | Packet::Open(_) | Packet::Upgrade => self.end(End::Protocol),
        }
        None
    }

    fn on_candidate_packet(&mut self, packet: &Packet<'_>) {
        match (packet, self.socket) {
            (Packet::Ping(PROBE), _) => {
                self.socket = Socket::Probed;
                self.owed.probe_answer = true;
                // A GET that waits already goes at once; a later one sets its own time.
                self.noop_at = Timestamp::ZERO;
            }
            (Packet::Upgrade, Socket::Probed) => self.socket = Socket::Carrier,
            _ => self.drop_candidate(),
        }
    }

    fn on_pong(&mut self, now: Timestamp, settings: &Settings) {
        if std::mem::take(&mut self.awaits_pong) {
            self.heartbeat_at = now.after(settings.ping_interval);
        }
    }

    /// The ping counts from when it is due: a client that has no GET waiting then is late by its own doing.
    fn beat(&mut self, now: Timestamp, settings: &Settings) {
        if self.awaits_pong {
            self.end(End::PingTimeout);
        } else {
            self.awaits_pong = true;
            self.owed.ping = true;
            // A timer is a step late and gives nobody more time; a thread that was held up for long does.
            let due = self.heartbeat_at;
            let from = if now.since(due) <= TIMER_LAG_MAX { due } else { now };
            self.heartbeat_at = from.after(settings.ping_timeout);
        }
    }

    fn end(&mut self, end: End) {
        if matches!(self.life, Life::Ended(_) | Life::Over(_)) {
            return;
        }
        self.life = Life::Ended(end);
        self.drop_candidate();
    }

    /// Has the WebSocket closed, whatever it is; without one there is nothing to do.
    fn drop_candidate(&mut self) {
        self.owed.close_socket |= std::mem::replace(&mut self.socket, Socket::None) != Socket::None;
        self.owed.probe_answer = false;
    }

    fn is_candidate(&self) -> bool {
        matches!(self.socket, Socket::Candidate | Socket::Probed)
    }

    fn poll_to_be_ended(&self) -> bool {
        self.poll_waits && self.socket == Socket::Probed
    }
}
