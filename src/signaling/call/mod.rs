//! The calls of this daemon: the server, not a client, decides who rings, who won and when it is over.
//!
//! [`Calls`] takes commands of clients, what becomes of their devices, and the time; it answers with [`Output`]s, to
//! be drained after each input. States and their order are in `phase`, what each state knows in `pair`.
//!
//! After [`Output::Ended`] nothing of that call comes out, and a message for it is answered with `ended`.

mod answering;
mod calling;
mod command;
mod devices;
mod ending;
mod endpoint;
mod fields;
mod group;
mod hold;
mod live;
mod meeting;
mod output;
mod pair;
mod past;
mod phase;
mod relaying;
mod settings;
mod snapshot;
mod table;
mod timers;

pub use command::{Command, Media};
pub use live::{LiveCall, LiveParty, LiveStep, Stand};
pub use output::{CallRecord, Callee, Output, Recipients};
pub use settings::{BusyPolicy, CallSettings, GROUP_MEMBERS_HARD_MAX, RejectScope};

/// Bytes that one sender may have waiting in a call.
pub(super) const SENDER_KEPT_BYTES_MAX: u64 = hold::KEPT_BYTES_MAX as u64;

/// Bytes of what one device says of its media.
pub(super) const DIGEST_BYTES_MAX: u64 = command::DATA_BYTES_MAX as u64;

use super::json::Object;
use super::{Party, Refusal};
use crate::base::{Now, Random, Timestamp, UnixTime, Wheel};
use crate::metrics::SignalingError;
use command::{Target, Verb};
use output::Outbox;
use past::Past;
use std::sync::Arc;
use table::{CallKey, Found, Scope, Table};
use ulid::{ULID_LEN, Ulid};

/// 8 ms: fine enough for what people notice.
const TICK_NANOS: u64 = 1 << 23;

/// What the calls need to know of the rest of the hub, and must not change.
pub trait World {
    /// The devices of `user` that have a session now, resumable ones included; each once, in a stable order.
    fn devices(&self, user: &str) -> Vec<Arc<str>>;
    /// What the programs of this device said that they can do.
    fn abilities(&self, party: &Party) -> Abilities;
    /// The display name in the token of this device.
    fn display_name(&self, party: &Party) -> Option<Arc<str>>;
    /// Whether `caller` may start a call to `callee`: blocks, claims and the budget of starts.
    ///
    /// # Errors
    /// The refusal that the caller gets.
    fn may_call(&self, caller: &Party, callee: &str) -> Result<(), Refusal>;
    /// Whether this device is in `room` now.
    fn is_in_room(&self, party: &Party, room: &str) -> bool;
    /// A `iceServers` array (JSON) with credentials of this user for this call, good for `ttl_s` seconds; `None` while
    /// no relay is offered.
    fn ice_servers(&self, now: Now, user: &str, call_id: &str, ttl_s: u64) -> Option<Box<str>>;
}

/// What a client declared (`caps` of its hello).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// `"glare"`: it takes the winning call of a glare by itself.
    pub glare: bool,
    /// `"report"`: it sends `call:connected`.
    pub report: bool,
    /// `"explicit_accept"`: as a callee it always sends `call:accepted`, so that nothing is shown to it before.
    pub explicit_accept: bool,
}

/// What became of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceChange {
    /// Its first session began.
    Online,
    /// Its last connected session lost its transport, and may be resumed.
    Lost,
    /// It has a connected session again.
    Back,
    /// Its last session is over.
    Gone,
}

/// How many entries the tables have; all zero once every call is over and forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Live calls.
    pub calls: usize,
    /// Users, pairs and rooms by which live calls are found.
    pub indexed: usize,
    /// Timers.
    pub timers: usize,
    /// Calls that ended lately.
    pub ended: usize,
    /// `client_ref`s that still name a call.
    pub client_refs: usize,
}

/// What a command comes to: a JSON object without `ok`, or why not.
type Reply = Result<Box<str>, Refusal>;

/// All calls of which this node is the owner.
#[derive(Debug)]
pub struct Calls {
    settings: CallSettings,
    random: Random,
    clock: Clock,
    table: Table,
    past: Past,
    wheel: Wheel<CallKey, TICK_NANOS>,
    out: Outbox,
    /// Somebody keeps live calls for the next start.
    keeps: bool,
    /// The daemon ran until then before, at least.
    ran_until: Option<UnixTime>,
}

impl Calls {
    /// No calls yet.
    pub fn new(settings: CallSettings, mut random: Random, now: Timestamp) -> Self {
        let (table, past) = (Table::new(&mut random), Past::new(&mut random));
        let (clock, wheel, out) = (Clock::default(), Wheel::new(now), Outbox::default());
        Self { settings, random, clock, table, past, wheel, out, keeps: false, ran_until: None }
    }

    /// New settings, for what begins from now on.
    pub fn reload(&mut self, settings: CallSettings) {
        self.settings = settings;
    }

    /// Does what a client asks for. `request`: the hub's number for the answer; exactly one [`Output::Answer`] comes
    /// of it, in front of what else the command causes.
    pub fn on_command(&mut self, now: Now, from: &Party, request: u64, command: Command, world: &dyn World) {
        let place = self.out.promise(request);
        let reply = self.obey(now, from, command.0, world);
        self.out.keep(place, reply);
    }

    /// The next thing to do; call until `None`.
    pub fn next_output(&mut self) -> Option<Output> {
        self.out.next()
    }

    /// Sizes of the tables.
    pub fn census(&self) -> Census {
        let (ended, client_refs) = self.past.len();
        let (calls, indexed) = (self.table.len(), self.table.index_entries());
        Census { calls, indexed, timers: self.wheel.len(), ended, client_refs }
    }

    fn obey(&mut self, now: Now, from: &Party, verb: Verb, world: &dyn World) -> Reply {
        match verb {
            Verb::Candidates(candidates) => self.candidates(now, from, candidates),
            Verb::Describe(description) => self.describe(now, from, *description, world),
            Verb::Start(start) => self.start(now, from, *start, world),
            Verb::Accept(target) => self.on_accept(now, from, &target, world),
            Verb::Reject(target, decline) => self.on_reject(now, from, &target, decline),
            Verb::Connected(target) => self.on_connected(from, &target),
            Verb::Stats(target, digest) => self.on_stats(from, &target, digest),
            Verb::Restart(target) => self.on_restart(now, from, &target, world),
            Verb::End(target, reason) => self.on_end(now, from, &target, reason),
            Verb::Join(target, room) => self.on_join(now, from, &target, room.as_deref(), world),
            Verb::Leave(target) => self.on_leave(now, from, &target),
            Verb::Sync => Ok(self.snapshot(from)),
        }
    }

    /// The live call that a message means, if the sender's device takes part in it.
    ///
    /// # Errors
    /// `no_call`, the same for a foreign call and for none; `ended`; `answered_elsewhere`; `call_id_required`.
    fn locate(&self, from: &Party, target: &Target) -> Result<CallKey, Refusal> {
        self.locate_in(from, target, Scope::Peers)
    }

    /// The same, where `to` may also be a member of a group.
    fn locate_in(&self, from: &Party, target: &Target, scope: Scope) -> Result<CallKey, Refusal> {
        let to = target.to.as_deref();
        match target.call_id {
            Some(id) => {
                let Some(key) = self.table.by_id(id) else {
                    return Err(self.past.by_id(id, &from.user).map_or_else(no_call, |_| ended()));
                };
                let call = self.table.get(key).ok_or_else(no_call)?;
                if call.has_device(from) { Ok(key) } else { Err(self.not_this_device(key, from)) }
            }
            None => match self.table.find(from, to, scope) {
                Found::Live(key) => Ok(key),
                Found::Elsewhere(key) => Err(self.not_this_device(key, from)),
                Found::Several => {
                    Err(Refusal::new(SignalingError::CallIdRequired, "more than one call fits: say call_id"))
                }
                Found::None => Err(self.past.latest(&from.user, to).map_or_else(no_call, |_| ended())),
            },
        }
    }

    /// Schedules the call's timer anew where something is due earlier than it.
    fn rearm(&mut self, now: Timestamp, key: CallKey) {
        let Some(call) = self.table.get_mut(key) else { return };
        let Some(deadline) = call.deadline() else { return };
        match call.armed {
            // A timer that comes too early finds nothing due and is set again then.
            Some((at, _)) if at <= deadline => return,
            Some((_, timer)) => drop(self.wheel.cancel(timer)),
            None => {}
        }
        // Never in the tick that fires now, which would have no end.
        let deadline = deadline.max(Timestamp::from_nanos(now.as_nanos().saturating_add(1)));
        call.armed = Some((deadline, self.wheel.schedule(deadline, key)));
    }

    fn new_id(&mut self, now: Now) -> Ulid {
        let random = u128::from_le_bytes(self.random.bytes());
        Ulid::from_parts(self.clock.unix_ms(now), random)
    }

    /// Adds `ice_servers` and `ice_ttl` for one user and one call.
    fn with_ice(&self, object: Object, now: Now, user: &str, call: Ulid, world: &dyn World) -> Object {
        let ttl_s = self.settings.credential_ttl().as_secs();
        let servers = world.ice_servers(now, user, call.array_to_str(&mut [0; ULID_LEN]), ttl_s);
        object.raw("ice_servers", servers.as_deref().unwrap_or("[]")).number("ice_ttl", ttl_s)
    }
}

/// Milliseconds since 1970 that run evenly within each second of the wall clock.
#[derive(Debug, Default)]
struct Clock {
    /// A moment of the monotonic clock, and what it was in milliseconds since 1970.
    origin: (Timestamp, u64),
}

impl Clock {
    fn unix_ms(&mut self, now: Now) -> u64 {
        let whole = now.unix.0.saturating_mul(1000);
        let even = self.origin.1.saturating_add(endpoint::millis(now.at.since(self.origin.0)));
        if even < whole || even >= whole.saturating_add(1000) {
            self.origin = (now.at, whole);
            return whole;
        }
        even
    }
}

fn no_call() -> Refusal {
    Refusal::new(SignalingError::NoCall, "there is no such call of yours")
}

fn ended() -> Refusal {
    Refusal::new(SignalingError::Ended, "the call is over")
}

fn wrong_state(message: &'static str) -> Refusal {
    Refusal::new(SignalingError::WrongState, message)
}

fn answered_elsewhere() -> Refusal {
    Refusal::new(SignalingError::AnsweredElsewhere, "another device of yours has the call")
}
