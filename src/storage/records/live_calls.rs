//! Calls that live.

use super::super::{Key, Record, Table};
use crate::signaling::LiveCall;

impl Record for LiveCall {
    const TABLE: Table = Table::LiveCalls;

    fn key(&self) -> Key {
        live_call_key(&self.id)
    }
}

/// Where the live call of this id is.
pub fn live_call_key(id: &str) -> Key {
    Key::of(Table::LiveCalls).text(id)
}
