//! Which state may follow which.

use super::super::Refusal;
use crate::metrics::SignalingError;
use std::borrow::Cow;
use std::fmt;

/// Where a call stands.
///
/// ```text
/// ringing ----> connecting ----> active
///    |              |              |
///    +--------------+--------------+----> ended
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Devices of the callee ring.
    Ringing,
    /// One device of the callee is bound; descriptions are under way.
    Connecting,
    /// Media is assumed to flow. A group call is in this state from its first member on.
    Active,
    /// Over, for good.
    Ended,
}

impl Phase {
    /// Every state, in order.
    #[cfg(test)]
    pub(super) const ALL: [Self; 4] = [Self::Ringing, Self::Connecting, Self::Active, Self::Ended];

    /// The whole table.
    pub(super) const fn may_become(self, to: Self) -> bool {
        matches!(
            (self, to),
            (Self::Ringing, Self::Connecting | Self::Ended)
                | (Self::Connecting, Self::Active | Self::Ended)
                | (Self::Active, Self::Ended)
        )
    }

    /// Its name on the wire.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ringing => "ringing",
            Self::Connecting => "connecting",
            Self::Active => "active",
            Self::Ended => "ended",
        }
    }
}

/// A step that [`Phase::may_become`] does not allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IllegalTransition {
    pub(super) from: Phase,
    pub(super) to: Phase,
}

impl fmt::Display for IllegalTransition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a call that is {} cannot become {}", self.from.as_str(), self.to.as_str())
    }
}

impl From<IllegalTransition> for Refusal {
    fn from(step: IllegalTransition) -> Self {
        let message = Cow::Owned(step.to_string());
        Self { code: SignalingError::WrongState, message, retry_after_ms: None }
    }
}
