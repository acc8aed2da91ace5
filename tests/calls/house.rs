//! The rest of the hub as the calls see it: a few people with their devices, told by name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use turnstone::base::Now;
use turnstone::metrics::SignalingError;
use turnstone::signaling::{Abilities, Party, Refusal, World};

/// Device "a1" is one of user "a".
pub(crate) fn party(device: &str) -> Party {
    Party { user: Arc::from(&device[..1]), device: Arc::from(device) }
}

/// Who is there, who may what.
#[derive(Debug, Default)]
pub(crate) struct House {
    /// Devices with a session, lost ones included.
    pub(crate) present: BTreeSet<String>,
    pub(crate) abilities: BTreeMap<String, Abilities>,
    /// Callees that take no calls.
    pub(crate) blocking: BTreeSet<String>,
    /// Members of rooms: room, device.
    pub(crate) rooms: BTreeSet<(String, String)>,
    pub(crate) has_no_relay: bool,
}

impl World for House {
    fn devices(&self, user: &str) -> Vec<Arc<str>> {
        self.present.iter().filter(|device| device[..1] == *user).map(|device| Arc::from(&**device)).collect()
    }

    fn abilities(&self, party: &Party) -> Abilities {
        self.abilities.get(&*party.device).copied().unwrap_or_default()
    }

    fn display_name(&self, party: &Party) -> Option<Arc<str>> {
        Some(Arc::from(format!("Name of \"{}\"", party.user)))
    }

    fn may_call(&self, _: &Party, callee: &str) -> Result<(), Refusal> {
        if self.blocking.contains(callee) {
            return Err(Refusal::new(SignalingError::Blocked, "not you"));
        }
        Ok(())
    }

    fn is_in_room(&self, party: &Party, room: &str) -> bool {
        self.rooms.contains(&(room.to_owned(), party.device.to_string()))
    }

    fn ice_servers(&self, now: Now, user: &str, call_id: &str, ttl_s: u64) -> Option<Box<str>> {
        if self.has_no_relay {
            return None;
        }
        let expiry = now.unix.0 + ttl_s;
        Some(
            format!(r#"[{{"urls":["turn:t"],"username":"{expiry}:{user};c={call_id}","credential":"x"}}]"#)
                .into(),
        )
    }
}
