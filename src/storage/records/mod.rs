//! What the tables hold, one file each.

mod api_key;
mod calls;
mod live_calls;
mod messages;
mod revocation;
mod usage;
mod user;

pub use api_key::ApiKeyRecord;
pub use calls::{CallParty, CallRow, PartyStats, PartyTraffic};
pub use live_calls::live_call_key;
pub use messages::{
    ConversationRecord, CursorRecord, MessageRecord, Place, SentRecord, ThreadRecord, batch_of,
};
pub use revocation::RevocationRecord;
pub use usage::{DayPage, GapRow, HourPage, MinutePage, RunRow, put_page, usage_range};
pub use user::UserRecord;

/// Two digits a byte.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of [`hex`]; `None` for any other text or length.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}
