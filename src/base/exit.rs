//! How the process ends.

/// What a verb of the command line came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It did what it was asked.
    Ok,
    /// It could not.
    Failure,
    /// Wrong arguments, or a config that is refused.
    Usage,
    /// The daemon could not be reached.
    Unreachable,
}

impl Exit {
    /// The exit code that scripts rely on.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
        }
    }
}
