//! `[signaling]` from the namespaces on: rules, and the settings of the hub and of the thread that drives it.

use super::checked::{Accept, Busy, Calls, Config, PresenceScope, RejectScope, SessionLimits, Signaling};
use super::report::Report;
use super::text::{Refusal, TextSetting};
use super::units::EventRate;
use crate::base::Rate;
use crate::http::signaling::{DriverSettings, Namespace, Retention};
use crate::signaling::{
    self, BusyPolicy, CallSettings, GROUP_MEMBERS_HARD_MAX, KindRates, LogSettings, PresenceSettings, Rates,
    RoomSettings, Scope, Settings,
};
use std::ops::RangeInclusive;
use std::time::Duration;

/// More namespaces than this are no application's.
const NAMESPACES_MAX: usize = 16;

/// Bytes of the name of a namespace.
const NAME_BYTES_MAX: usize = 128;

/// The name of a namespace of Socket.IO, with the slash that it begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceName(String);

impl NamespaceName {
    /// The name as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for NamespaceName {
    /// The one that clients are in who name none.
    fn default() -> Self {
        Self("/".to_owned())
    }
}

impl TextSetting for NamespaceName {
    const WHAT: &'static str = "a namespace";
    const EXAMPLE: &'static str = "/chat";

    fn from_text(text: &str) -> Result<Self, Refusal> {
        // A comma ends the name on the wire, and a query is not part of it.
        let is_plain = |c: char| c.is_ascii_graphic() && !",?#\"\\".contains(c);
        let meant = format!("/{}", text.trim_start_matches('/'));
        let is_good = meant.len() <= NAME_BYTES_MAX && meant.chars().all(is_plain);
        if is_good && meant == text {
            return Ok(Self(meant));
        }
        let help = match is_good {
            true => format!("it begins with one slash: \"{meant}\""),
            false => format!(
                "write up to {NAME_BYTES_MAX} printable ASCII characters without comma, query, quote and backslash: \"{}\"",
                Self::EXAMPLE
            ),
        };
        Err(Refusal::new(format!("\"{}\" is not the name of a namespace", text.escape_debug()), help))
    }

    fn to_text(&self) -> String {
        self.0.clone()
    }
}

/// Reports every broken rule.
pub(super) fn check(config: &Config, report: &mut Report) {
    let signaling = &config.signaling;
    namespaces(signaling, report);
    durations(signaling, report);
    numbers(signaling, report);
    keys(config, report);
}

fn namespaces(signaling: &Signaling, report: &mut Report) {
    const KEY: &str = "signaling.namespaces";
    const WITHOUT: &str = "signaling.namespaces_without_recovery";
    if report.has_error(KEY) {
        return;
    }
    let count = signaling.namespaces.len();
    if count == 0 {
        report.error_at(KEY, format!("`{KEY}` is empty"), "write [\"/\"], where clients are that name none");
    }
    if count > NAMESPACES_MAX {
        report.error_at(KEY, format!("`{KEY}` has {count} names"), format!("{NAMESPACES_MAX} at most"));
    }
    for (key, names) in [(KEY, &signaling.namespaces), (WITHOUT, &signaling.namespaces_without_recovery)] {
        for (i, name) in names.iter().enumerate().filter(|(i, name)| names[..*i].contains(name)) {
            let key = format!("{key}[{i}]");
            let message = format!("`{key}`: {} is there twice", name.as_str());
            report.error_at(&key, message, "delete one of them");
        }
    }
    for (i, name) in signaling.namespaces_without_recovery.iter().enumerate() {
        if !signaling.namespaces.contains(name) {
            let key = format!("{WITHOUT}[{i}]");
            let message = format!("`{key}`: there is no namespace {}", name.as_str());
            report.error_at(&key, message, format!("add it to {KEY}, or delete it here"));
        }
    }
}

fn durations(signaling: &Signaling, report: &mut Report) {
    let secs = Duration::from_secs;
    let mut within = |key: &str, value: Duration, range: RangeInclusive<Duration>, words: &str| {
        if !range.contains(&value) && !report.has_error(key) {
            report.error_at(key, format!("`{key}` is out of range"), format!("write {words}"));
        }
    };
    let Calls { ring, connect, grace, max_duration, .. } = &signaling.calls;
    let window = secs(1)..=secs(3600);
    within("signaling.recovery_window", signaling.recovery_window, window, "\"1s\" to \"1h\"");
    let kept = secs(3600)..=secs(3650 * 86_400);
    within("signaling.message_retention", signaling.message_retention, kept, "\"1h\" to \"3650d\"");
    // A long poll is answered with a ping at the latest, and public HTTP waits for answers only so long.
    within("signaling.ping_interval", signaling.ping_interval, secs(1)..=secs(50), "\"1s\" to \"50s\"");
    within("signaling.ping_timeout", signaling.ping_timeout, secs(1)..=secs(120), "\"1s\" to \"2m\"");
    let (shortest, longest) = CallSettings::default().ring_bounds;
    within("signaling.calls.ring", *ring, shortest..=longest, "\"5s\" to \"2m\"");
    within("signaling.calls.connect", *connect, secs(5)..=secs(300), "\"5s\" to \"5m\"");
    within("signaling.calls.grace", *grace, secs(0)..=secs(600), "\"0s\" to \"10m\"");
    if let Some(longest) = max_duration.0 {
        let (minute, week) = (secs(60), secs(7 * 86_400));
        within("signaling.calls.max_duration", longest, minute..=week, "\"1m\" to \"7d\", or \"off\"");
    }
}

fn numbers(signaling: &Signaling, report: &mut Report) {
    let mut within = |key: &str, value: u32, range: RangeInclusive<u32>| {
        if !range.contains(&value) && !report.has_error(key) {
            let help = format!("write {} to {}", range.start(), range.end());
            report.error_at(key, format!("`{key}` is out of range"), help);
        }
    };
    let limits = &signaling.limits;
    within("signaling.calls.group_max", signaling.calls.group_max, 2..=GROUP_MEMBERS_HARD_MAX as u32);
    within("signaling.limits.sessions_total", limits.sessions_total, 1..=10_000_000);
    within("signaling.limits.sessions_per_user", limits.sessions_per_user, 1..=10_000);
    within("signaling.limits.sessions_per_source", limits.sessions_per_source, 1..=10_000_000);
    within("signaling.limits.calls_per_user", limits.calls_per_user, 1..=10_000);
    let rates = [
        ("events_per_session", limits.events_per_session),
        ("candidates_per_session", limits.candidates_per_session),
        ("messages_per_user", limits.messages_per_user),
    ];
    for (key, EventRate { per_s }) in rates {
        let key = format!("signaling.limits.{key}");
        if per_s > RATE_MAX {
            let help = format!("write \"1/s\" to \"{RATE_MAX}/s\"");
            report.error_at(&key, format!("`{key}` is out of range"), help);
        }
    }
}

/// Faster than one thread is.
const RATE_MAX: u32 = 1_000_000;

/// Who writes into `[signaling]` wants somebody to get in.
fn keys(config: &Config, report: &mut Report) {
    const KEY: &str = "signaling";
    let is_written = report.is_given("signaling.enabled") || config.signaling != Signaling::default();
    let is_wanted = config.signaling.enabled && is_written;
    if is_wanted && !config.auth.jwt.names_a_key() && !report.has_error("auth.jwt") {
        let message = "nobody gets in to signaling: `[auth.jwt]` names no key to judge tokens by";
        let help = "add secret, public_key_file or jwks_url to [auth.jwt], or set enabled = false here";
        report.warn_at(KEY, message, help);
    }
}

/// How clients are spoken to.
pub(super) fn driver(signaling: &Signaling) -> DriverSettings {
    let namespace = |name: &NamespaceName| Namespace {
        recovers: !signaling.namespaces_without_recovery.contains(name),
        name: name.as_str().into(),
    };
    DriverSettings {
        ping_interval: signaling.ping_interval,
        ping_timeout: signaling.ping_timeout,
        message_bytes_max: u32::try_from(signaling.max_message.0).unwrap_or(u32::MAX),
        namespaces: signaling.namespaces.iter().map(namespace).collect(),
        retention: Retention { age: signaling.message_retention, ..Retention::default() },
        ..DriverSettings::default()
    }
}

/// What clients may do; the plan adds the relay.
pub(super) fn settings(signaling: &Signaling) -> Settings {
    let scope = match signaling.presence {
        PresenceScope::Rooms => Scope::Rooms,
        PresenceScope::All => Scope::All,
    };
    Settings {
        log: LogSettings { window: signaling.recovery_window, ..LogSettings::default() },
        sessions_total: signaling.limits.sessions_total as usize,
        sessions_per_user: signaling.limits.sessions_per_user as usize,
        sessions_per_source: signaling.limits.sessions_per_source as usize,
        rates: rates(&signaling.limits),
        presence: PresenceSettings { scope, ..PresenceSettings::default() },
        rooms: RoomSettings { open: signaling.open_rooms, ..RoomSettings::default() },
        calls: calls(&signaling.calls, signaling.limits.calls_per_user as usize),
        ..Settings::default()
    }
}

fn calls(calls: &Calls, calls_per_user: usize) -> CallSettings {
    let defaults = CallSettings::default();
    CallSettings {
        ring: calls.ring,
        connect: calls.connect,
        grace_call: calls.grace,
        max_duration: calls.max_duration.0,
        busy: match calls.busy {
            Busy::Reject => BusyPolicy::Reject,
            Busy::Device => BusyPolicy::Device,
            Busy::Waiting => BusyPolicy::Waiting,
        },
        reject_scope: match calls.reject_scope {
            RejectScope::Call => signaling::RejectScope::User,
            RejectScope::Device => signaling::RejectScope::Device,
        },
        explicit_accept: calls.accept == Accept::Explicit,
        group_members: calls.group_max as usize,
        calls_per_user,
        calls_per_device: defaults.calls_per_device.min(calls_per_user),
        ..defaults
    }
}

/// The rates that nobody should have to think of follow from those that are written: a user has as much as two busy
/// sessions, a source as much as some dozens, and each may go some seconds' worth ahead.
fn rates(limits: &SessionLimits) -> Rates {
    let rate = |per_s: EventRate, times: u32, seconds: u32| {
        let per_second = per_s.per_s.saturating_mul(times);
        Rate { per_second, burst: per_second.saturating_mul(seconds) }
    };
    let (events, media, chat) =
        (limits.events_per_session, limits.candidates_per_session, limits.messages_per_user);
    let defaults = Rates::default();
    let of =
        |kinds: KindRates, chat: Rate, media: Rate, other: Rate| KindRates { chat, media, other, ..kinds };
    Rates {
        session: of(defaults.session, rate(chat, 1, 1), rate(media, 1, 5), rate(events, 1, 4)),
        user: of(defaults.user, rate(chat, 1, 1), rate(media, 2, 5), rate(events, 2, 4)),
        source: of(defaults.source, rate(chat, 50, 2), rate(media, 25, 4), rate(events, 20, 5)),
        ..defaults
    }
}
