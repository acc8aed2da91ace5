//! How fast clients may go: buckets for the session, the user and the source of each event.

use super::settings::{KindRates, Rates};
use super::{Closing, Hub, Refusal, SessionId};
use crate::base::{BudgetTable, Now, Random, Rate};
use crate::metrics::SignalingError;
use std::borrow::Cow;
use std::time::Duration;

/// Buckets for the sources of each kind: 64 KiB, whatever comes.
const SOURCE_BUCKETS: usize = 1 << 12;

/// Conversations that one user may begin in storage: 20 after a rest, then one in 3 s. Each stays for as long as messages
/// are kept, so they are fewer than messages.
const CONVERSATIONS: Rate = Rate { per_second: 1, burst: 60 };
const CONVERSATION_COST: u32 = 3;

/// Kinds of events that have a rate of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    CallStart,
    Chat,
    Media,
    Other,
}

impl Kind {
    const ALL: [Self; 4] = [Self::CallStart, Self::Chat, Self::Media, Self::Other];

    pub(super) fn of(event: &str) -> Self {
        match event {
            "call:start" => Self::CallStart,
            "message:send" => Self::Chat,
            _ if event.starts_with("webrtc:") || event.starts_with("call:") => Self::Media,
            _ => Self::Other,
        }
    }
}

impl KindRates {
    fn of(&self, kind: Kind) -> Rate {
        match kind {
            Kind::CallStart => self.call_start,
            Kind::Chat => self.chat,
            Kind::Media => self.media,
            Kind::Other => self.other,
        }
    }
}

/// The budgets of all sources, in memory that never grows.
#[derive(Debug)]
pub(super) struct SourceBudgets([BudgetTable; 4]);

impl SourceBudgets {
    pub(super) fn new(rates: &Rates, random: &mut Random) -> Self {
        let hasher = hasher(random);
        Self(Kind::ALL.map(|kind| BudgetTable::new(SOURCE_BUCKETS, rates.source.of(kind), hasher.clone())))
    }
}

/// A hasher that strangers cannot foresee.
pub(super) fn hasher(random: &mut Random) -> ahash::RandomState {
    ahash::RandomState::with_seeds(random.next_u64(), random.next_u64(), random.next_u64(), random.next_u64())
}

impl Hub {
    /// Takes `cost` from the budgets of an event of this kind.
    pub(super) fn spend(&mut self, now: Now, id: SessionId, kind: Kind, cost: u32) -> Result<(), Refusal> {
        let rates = &self.settings.rates;
        let Some(session) = self.town.sessions.get_mut(id) else { return Ok(()) };
        let rate = rates.session.of(kind);
        if !session.budgets[kind as usize].take(now.at, rate, cost.min(rate.burst)) {
            return Err(rate_limited(rate));
        }
        let rate = rates.user.of(kind);
        if let Some(user) = self.town.people.at_mut(session.user)
            && !user.budgets[kind as usize].take(now.at, rate, cost.min(rate.burst))
        {
            return Err(rate_limited(rate));
        }
        if let Some(source) = session.source
            && !self.source_budgets.0[kind as usize].take(now.at, source)
        {
            return Err(rate_limited(rates.source.of(kind)));
        }
        Ok(())
    }

    /// Takes a conversation from what a user may begin in storage. Only those who are here are counted.
    pub(super) fn spend_conversation(&mut self, now: Now, user: &str) -> Result<(), Refusal> {
        let Some(user) = self.town.people.find_mut(user) else { return Ok(()) };
        if user.conversations.take(now.at, CONVERSATIONS, CONVERSATION_COST) {
            return Ok(());
        }
        let span = Duration::from_secs(1) * CONVERSATION_COST / CONVERSATIONS.per_second;
        Err(wait("too many new conversations", span))
    }

    /// Counts a refused event; a session that goes on regardless loses its transport, and its user waits.
    pub(super) fn strike(&mut self, now: Now, id: SessionId) {
        let rates = self.settings.rates;
        let Some(session) = self.town.sessions.get_mut(id) else { return };
        if session.refusals.take(now.at, rates.refusals, 1) || session.is_closing {
            return;
        }
        if let Some(user) = self.town.people.at_mut(session.user) {
            user.cool_until = now.at.after(rates.cool_down);
        }
        self.close(id, Closing::CoolDown);
    }

    /// Whether the user may open a session, or go on with one.
    pub(super) fn spend_connect(&mut self, now: Now, user: u32) -> Result<(), Refusal> {
        let rate = self.settings.rates.connects;
        let Some(user) = self.town.people.at_mut(user) else { return Ok(()) };
        if user.cool_until > now.at {
            return Err(wait("too many events were refused; wait a little", user.cool_until.since(now.at)));
        }
        if !user.connects.take(now.at, rate, 1) {
            return Err(rate_limited(rate));
        }
        Ok(())
    }
}

pub(super) fn rate_limited(rate: Rate) -> Refusal {
    wait("too many events of this kind", Duration::from_secs(1) / rate.per_second.max(1))
}

/// A refusal that says when to try again.
pub(super) fn wait(message: &'static str, span: Duration) -> Refusal {
    let retry_after_ms = Some((span.as_micros().div_ceil(1000) as u64).max(1));
    Refusal { code: SignalingError::RateLimited, message: Cow::Borrowed(message), retry_after_ms }
}
