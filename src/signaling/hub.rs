//! The hub: who calls what.

use super::answers::Awaited;
use super::bus::{Deliver, Message, Origin, To};
use super::call::{CallRecord, Calls, LiveCall};
use super::clock::Clock;
use super::json::Object;
use super::keep::{Deed, SentBefore, UnderWay};
use super::limits::{SourceBudgets, hasher};
use super::pairs::Pairs;
use super::people::People;
use super::reading::Cursors;
use super::rooms::Rooms;
use super::session::Sessions;
use super::shelves::Shelves;
use super::town::Town;
use super::{Class, Push, SessionId, Settings};
use crate::auth::MintTimes;
use crate::base::{Now, Random, Timestamp, TokenBucket, UnixTime, Wheel};
use crate::metrics::CounterSet;
use ahash::RandomState;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// 8 ms: fine enough for cursors.
const TICK_NANOS: u64 = 1 << 23;
/// Every so often a part of the sessions gives up what it need not keep any more.
pub(super) const SWEEP_EVERY: Duration = Duration::from_secs(5);

/// Sessions, presence, rooms, messages and calls of one node. See the module.
#[derive(Debug)]
pub struct Hub {
    pub(super) settings: Settings,
    pub(super) random: Random,
    pub(super) clock: Clock,
    /// What this node is called on the bus, and what its sequence numbers belong to.
    pub(super) node: u64,
    epoch: Box<str>,
    pub(super) seq: u64,
    /// For slots and timers that need a name within a session.
    pub(super) next_number: u32,
    pub(super) town: Town,
    pub(super) pairs: Pairs,
    /// Bytes of all messages that are kept.
    pub(super) talk_bytes: usize,
    pub(super) calls: Calls,
    /// There is a storage.
    pub(super) keeps: bool,
    pub(super) shelves: Shelves,
    pub(super) cursors: Cursors,
    pub(super) under_way: UnderWay,
    /// Answers of messages that were stored shortly before the start, by user and `client_ref`.
    pub(super) sent_earlier: HashMap<(Arc<str>, Box<str>), Box<str>, RandomState>,
    pub(super) source_budgets: SourceBudgets,
    /// What the application's back end may say.
    pub(super) back_end: TokenBucket,
    pub(super) timers: Wheel<Timer, TICK_NANOS>,
    pub(super) effects: VecDeque<Effect>,
    pub(super) awaited: Awaited,
    pub(super) counters: CounterSet,
    /// Receivers of the event at hand; empty between two.
    pub(super) scratch: Vec<SessionId>,
    pub(super) sweep_part: usize,
    pub(super) is_stopping: bool,
}

/// What the driver has to do.
#[derive(Debug)]
pub enum Effect {
    /// [`Hub::next_outgoing`] has something for this session; said once until it was drained empty.
    Ready(SessionId),
    /// Close the transport (never by a packet that tells the client to stay away), after writing what is queued as far
    /// as the connection takes it; then [`Hub::on_lost`].
    Close {
        /// Whose.
        session: SessionId,
        /// Why. The session can be resumed, [`Closing::Replaced`] aside.
        why: Closing,
    },
    /// Verify this token and call [`Hub::on_verified`].
    Verify {
        /// Who sent it.
        session: SessionId,
        /// What to answer.
        ack: Option<u64>,
        /// At most 8 KiB.
        token: Box<str>,
    },
    /// Put it on the bus; with one node, hand it to [`Hub::on_bus`] before anything else.
    Publish(Message),
    /// Have storage do this, and call [`Hub::on_stored`] under its number.
    Store {
        /// Names the deed.
        number: u64,
        /// What to do.
        deed: Deed,
    },
    /// How a live call stands now; only of a hub that keeps ([`Hub::keep`]), and never after its end.
    CallLive(Box<LiveCall>),
    /// A call is over.
    CallEnded(Box<CallRecord>),
}

/// Why a transport is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// The client does not read what there is for it.
    Overflow,
    /// The token ended and was not renewed.
    TokenExpired,
    /// Too many events were refused.
    CoolDown,
    /// The daemon stops.
    Shutdown,
    /// The same client came back with a new session.
    Replaced,
}

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The end of a session that is away.
    Window(SessionId),
    /// The end of a token, or a minute before it.
    Token(SessionId),
    /// Grace and memory of a user.
    User(u32),
    /// The shortest time between two updates of a user.
    Quiet(u32),
    /// A room may be idle.
    Room(u32),
    /// A pair may be idle.
    Pair(u32),
    /// A conversation may be idle.
    Shelf(u32),
    /// Messages of before the start are no more sent again.
    SentEarlier,
    /// Somebody stopped typing without saying so.
    Typing(SessionId, u32),
    /// The interval of coalescing events.
    Slot(SessionId, u32),
    /// A part of the sessions gives up what is old.
    Sweep,
}

/// What a verb leads to.
pub(super) enum Reply {
    /// This answer.
    Now(Box<str>),
    /// An answer that comes over the bus.
    Later,
}

impl Hub {
    /// A hub without sessions.
    pub fn new(settings: Settings, mut random: Random, now: Now) -> Self {
        let mut timers = Wheel::new(now.at);
        timers.schedule(now.at.after(SWEEP_EVERY), Timer::Sweep);
        let hasher = hasher(&mut random);
        let town = Town {
            sessions: Sessions::new(&hasher),
            people: People::new(&hasher),
            rooms: Rooms::new(&hasher),
            relay: settings.relay.clone(),
            mint_times: MintTimes::default(),
        };
        Self {
            clock: Clock::new(now),
            node: random.next_u64(),
            epoch: URL_SAFE_NO_PAD.encode(random.bytes::<6>()).into(),
            seq: 0,
            next_number: 0,
            town,
            pairs: Pairs::new(&hasher),
            keeps: false,
            shelves: Shelves::new(&hasher),
            cursors: Cursors::new(),
            under_way: UnderWay::default(),
            sent_earlier: HashMap::with_hasher(hasher.clone()),
            talk_bytes: 0,
            calls: Calls::new(settings.calls.clone(), random.fork(), now.at),
            source_budgets: SourceBudgets::new(&settings.rates, &mut random),
            back_end: TokenBucket::default(),
            timers,
            effects: VecDeque::new(),
            awaited: Awaited::default(),
            counters: CounterSet::default(),
            scratch: Vec::new(),
            sweep_part: 0,
            is_stopping: false,
            settings,
            random,
        }
    }

    /// There is a storage: what is to outlive the daemon leaves as effects from now on.
    pub fn keep(&mut self) {
        self.keeps = true;
        self.calls.keep_live_calls();
    }

    /// The daemon ran until then before, at least; to be said before [`Hub::restore`].
    pub fn ran_until(&mut self, time: UnixTime) {
        self.calls.ran_until(time);
    }

    /// Takes over what was kept when the daemon ended; before the first client comes.
    ///
    /// `sent`: messages that were stored within the time of [`super::MessageSettings::client_ref`].
    pub fn restore(&mut self, now: Now, calls: Vec<LiveCall>, sent: Vec<SentBefore>) {
        for message in sent {
            let SentBefore { user, client_ref, id, seq, at_ms } = message;
            let answer = Object::new().text("id", &id).number("seq", seq).number("at", at_ms).finish();
            self.sent_earlier.insert((Arc::from(user), client_ref), answer);
        }
        self.timers.schedule(now.at.after(self.settings.messages.client_ref), Timer::SentEarlier);
        self.calls.restore(now, calls);
        self.take_outputs();
    }

    /// Goes by other settings from now on.
    pub fn reload(&mut self, settings: Settings) {
        if settings.rates.source != self.settings.rates.source {
            self.source_budgets = SourceBudgets::new(&settings.rates, &mut self.random);
        }
        self.calls.reload(settings.calls.clone());
        self.town.relay = settings.relay.clone();
        self.settings = settings;
    }

    /// Credentials for calls are minted by these from now on; a user who is banned gets none. Those that are older than the
    /// last ones change nothing.
    pub fn mint_by(&mut self, times: MintTimes) {
        self.town.mint_times.renew(times);
    }

    /// When [`Hub::on_deadline`] has something to do; never late, sometimes early.
    pub fn next_deadline(&self) -> Option<Timestamp> {
        let own = self.timers.next_deadline();
        let calls = self.calls.next_deadline();
        own.into_iter().chain(calls).min()
    }

    /// The next thing for the driver to do; to be drained after each input.
    pub fn next_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// Where a client that has seen `push` goes on: `<epoch>.<number>`.
    pub fn offset(&self, push: &Push) -> String {
        format!("{}.{}", self.epoch, push.seq)
    }

    /// The number in an offset of this node; `None` for any other text.
    pub(super) fn parse_offset(&self, offset: &str) -> Option<u64> {
        let (epoch, number) = offset.split_once('.')?;
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let is_plain = is_number && (number == "0" || !number.starts_with('0'));
        (epoch == &*self.epoch && is_plain).then(|| number.parse().ok()).flatten()
    }

    /// What is counted here.
    pub fn counters(&mut self) -> &mut CounterSet {
        &mut self.counters
    }

    pub(super) fn publish(&mut self, message: Message) {
        self.effects.push_back(Effect::Publish(message));
    }

    pub(super) fn publish_to(
        &mut self,
        to: To,
        except: Option<Origin>,
        event: &'static str,
        data: Box<str>,
        class: Class,
    ) {
        let event = Cow::Borrowed(event);
        self.publish(Message::Deliver(Deliver { to, except, event, data, attachments: Vec::new(), class }));
    }

    pub(super) fn publish_to_room(
        &mut self,
        room: Arc<str>,
        except: Option<Origin>,
        event: &'static str,
        data: Box<str>,
    ) {
        self.publish_to(To::Room(room), except, event, data, Class::Reliable);
    }

    pub(super) fn origin(&self, session: SessionId) -> Origin {
        Origin { node: self.node, session }
    }
}
