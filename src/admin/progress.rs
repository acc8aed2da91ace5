//! A line on a terminal that tells how far long work has come, and is gone when it is done.

use std::io::{self, IsTerminal, Write};

/// The line; where standard error is no terminal there is none.
#[derive(Debug)]
pub(super) struct Progress {
    is_terminal: bool,
    is_shown: bool,
}

impl Progress {
    pub(super) fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), is_shown: false }
    }

    /// Replaces what it says.
    pub(super) fn show(&mut self, text: &str) {
        if self.is_terminal {
            self.is_shown = true;
            self.write(text);
        }
    }

    fn write(&self, text: &str) {
        // To the start of the line, and clear what is behind.
        let _nobody_looks = write!(io::stderr(), "\r{text}\x1b[K").and_then(|()| io::stderr().flush());
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            self.write("");
        }
    }
}
