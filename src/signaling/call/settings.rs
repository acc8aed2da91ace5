//! What an operator decides about calls.

use std::time::Duration;

/// A mesh of more members is refused whatever the settings say: upstream grows with each of them.
pub const GROUP_MEMBERS_HARD_MAX: usize = 12;

/// Timers, policies and bounds of all calls. A reload changes what begins after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallSettings {
    /// How long a call rings when its caller does not say.
    pub ring: Duration,
    /// The shortest and the longest time that a caller may ask for.
    pub ring_bounds: (Duration, Duration),
    /// From accept to the first answer.
    pub connect: Duration,
    /// From the answer to `call:connected`, where a client declared that it reports.
    pub media_confirm: Duration,
    /// How long a caller may be away, or the callee be without device, while it rings.
    pub grace_ringing: Duration,
    /// How long a side may be away after the accept: media flows without signaling.
    pub grace_call: Duration,
    /// How long an ended call is remembered, so that late messages hear of it.
    pub tombstone: Duration,
    /// How long a `client_ref` names the call that it started.
    pub client_ref: Duration,
    /// How long a candidate waits for its description.
    pub candidate_hold: Duration,
    /// The longest time from accept to end.
    pub max_duration: Option<Duration>,
    /// Credentials are good for `ring + connect +` this long, and renewed at half of it all.
    pub credential_extra: Duration,
    /// What a caller meets when the callee is in another call.
    pub busy: BusyPolicy,
    /// What one device's "no" means for the others.
    pub reject_scope: RejectScope,
    /// Offers reach a callee only after `call:accepted`; for every client, not only those that declared it.
    pub explicit_accept: bool,
    /// Live calls on this node.
    pub calls_total: usize,
    /// Live calls that a user takes part in, ringing ones included.
    pub calls_per_user: usize,
    /// Live calls that a device takes part in, ringing ones included.
    pub calls_per_device: usize,
    /// Members of a group call: 2 to [`GROUP_MEMBERS_HARD_MAX`].
    pub group_members: usize,
}

/// What a caller meets when the callee is in another call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BusyPolicy {
    /// The user is busy as soon as one device has a call.
    #[default]
    Reject,
    /// Devices without a call ring.
    Device,
    /// All devices ring, and are told that it is a second call.
    Waiting,
}

/// What one device's "no" means for the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RejectScope {
    /// The call is over.
    #[default]
    User,
    /// The others go on ringing.
    Device,
}

impl Default for CallSettings {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self {
            ring: secs(45),
            ring_bounds: (secs(5), secs(120)),
            connect: secs(30),
            media_confirm: secs(20),
            grace_ringing: secs(10),
            grace_call: secs(60),
            tombstone: secs(60),
            client_ref: secs(60),
            candidate_hold: secs(5),
            max_duration: None,
            credential_extra: secs(600),
            busy: BusyPolicy::Reject,
            reject_scope: RejectScope::User,
            explicit_accept: false,
            calls_total: 100_000,
            calls_per_user: 16,
            calls_per_device: 8,
            group_members: 6,
        }
    }
}

impl CallSettings {
    /// How long a call rings whose caller asked for `wanted_ms`.
    pub(super) fn ring_for(&self, wanted_ms: Option<u64>) -> Duration {
        let (shortest, longest) = self.ring_bounds;
        wanted_ms.map_or(self.ring, |ms| Duration::from_millis(ms).min(longest).max(shortest))
    }

    /// How long credentials for a call are good.
    pub(super) fn credential_ttl(&self) -> Duration {
        self.ring + self.connect + self.credential_extra
    }

    /// How many members a group call takes.
    pub(in crate::signaling) fn group_limit(&self) -> usize {
        self.group_members.clamp(2, GROUP_MEMBERS_HARD_MAX)
    }
}
