//! Rank 3: the books: who relayed how much, by minute, hour and day.
//!
//! [`Books`] take what was relayed since the last time and the wall clock, and give [`Page`]s to be written. A page
//! only ever grows, and its key is never used again by a later opening of the same minute: what is on the disk is added
//! up, never corrected. So neither a clock that is set back, nor a process that ended in between, nor a batch that was
//! written twice loses or doubles a byte.
//!
//! ```text
//! deltas, each sample --> open minute -+                  the minute is over
//!                         open hour   -+-- changed pages ---------------------> waiting --> store
//!                         open day    -+
//! ```
//!
//! Each delta is in one minute, one hour and one day, so that a [`Report`] may take whole days for the middle of its
//! range and hours and minutes for its ends.
#![forbid(unsafe_code)]

mod books;
mod calls;
mod page;
mod period;
mod report;
mod sheet;

pub use books::{Books, BooksSettings};
pub use calls::{CallTotals, CallUse};
pub use page::{Gap, Page, PageKey, Row};
pub use period::{Period, Span, spans};
pub use report::{By, Line, Report, TooManyLines};
pub use sheet::{Account, PAGE_ROWS};
