//! Why the store did not do what it was asked for.

use std::fmt;
use std::sync::Arc;

/// Why nothing was written, or read. None of them stops relaying or signaling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// There is no store: it could not be opened, or the config has none. The sentence says why.
    Closed(Arc<str>),
    /// A flush failed, so nothing is believed to be on the disk any more; what is there can be read.
    Poisoned(Arc<str>),
    /// The disk is nearly full, and nothing was tried. It takes writes again once there is room.
    Full(Arc<str>),
    /// Its thread has given no sign of life lately, so that everything waits: a disk or a file system that hangs.
    Stalled,
    /// More waits than the store takes.
    Busy,
    /// One record is not what was written.
    Damaged,
    /// A view of the store ended, because too much was written while it was read.
    Overtaken,
}

impl StoreError {
    /// A word for machines.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Closed(_) => "store_closed",
            Self::Poisoned(_) => "store_poisoned",
            Self::Full(_) => "store_full",
            Self::Stalled => "store_stalled",
            Self::Busy => "store_busy",
            Self::Damaged => "record_damaged",
            Self::Overtaken => "view_overtaken",
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(why) => write!(f, "there is no storage: {why}"),
            Self::Poisoned(why) => write!(f, "storage takes no more writes: {why}"),
            Self::Full(why) => write!(f, "storage takes no writes until there is room: {why}"),
            Self::Stalled => f.write_str("storage makes no progress: look at its disk"),
            Self::Busy => f.write_str("storage has too much to do"),
            Self::Damaged => f.write_str("a record is damaged; see `turnstone status`"),
            Self::Overtaken => {
                f.write_str("too much was written meanwhile; read faster, or at a quieter time")
            }
        }
    }
}

impl std::error::Error for StoreError {}
