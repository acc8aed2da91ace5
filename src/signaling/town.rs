//! What the calls see of the rest of the hub.

use super::call::{Abilities, World};
use super::ice_servers::{ice_servers, stun_servers};
use super::people::People;
use super::rooms::Rooms;
use super::session::{Session, Sessions};
use super::settings::RelayOffer;
use super::{Party, Refusal};
use crate::auth::{MintRequest, MintTimes, mint};
use crate::base::Now;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// Sessions, users and rooms.
#[derive(Debug)]
pub(super) struct Town {
    pub(super) sessions: Sessions,
    pub(super) people: People,
    pub(super) rooms: Rooms,
    pub(super) relay: Option<RelayOffer>,
    /// What keeps credentials clear of revocations.
    pub(super) mint_times: MintTimes,
}

impl Town {
    /// The sessions of one device, those with a transport last.
    fn sessions_of(&self, party: &Party) -> impl Iterator<Item = &Session> {
        let device = self.people.device(party);
        let ids = device.map_or(&[][..], |device| &device.sessions[..]).iter();
        ids.filter_map(|id| self.sessions.get(*id))
    }
}

impl World for Town {
    fn devices(&self, user: &str) -> Vec<Arc<str>> {
        let user = self.people.find(user);
        user.map_or_else(Vec::new, |user| user.devices.iter().map(|device| Arc::clone(&device.id)).collect())
    }

    fn abilities(&self, party: &Party) -> Abilities {
        // Several sessions of one device are one program: the one that was heard last tells best what it can do.
        let latest = self.sessions_of(party).max_by_key(|session| (session.is_attached, session.heard_at));
        latest.map_or_else(Abilities::default, |session| session.abilities)
    }

    fn display_name(&self, party: &Party) -> Option<Arc<str>> {
        self.sessions_of(party).find_map(|session| session.identity.name.clone())
    }

    /// The budget of starts is spent before a command is made; tokens say nothing about who may call whom.
    fn may_call(&self, _caller: &Party, _callee: &str) -> Result<(), Refusal> {
        Ok(())
    }

    fn is_in_room(&self, party: &Party, room: &str) -> bool {
        let Some(place) = self.rooms.place(room) else { return false };
        self.sessions_of(party).any(|session| session.rooms.contains(&place))
    }

    fn ice_servers(&self, now: Now, user: &str, call_id: &str, ttl_s: u64) -> Option<Box<str>> {
        let relay = self.relay.as_ref()?;
        // Who is banned hears where STUN is, and no more.
        let Some(minted_at) = self.mint_times.next(now.unix, user, None) else {
            return Some(Value::from(stun_servers(&relay.doors)).to_string().into_boxed_str());
        };
        let ttl = Duration::from_secs(ttl_s);
        let new = MintRequest::new(now.unix, ttl, user);
        let request = MintRequest { call_id: Some(call_id), minted_at, ..new };
        // The only failure is a name that does not fit; such a call goes on without the relay.
        let credential = mint(&relay.secret, relay.variant, &request).ok()?;
        let block = ice_servers(&relay.doors, &credential.username, credential.password.expose());
        Some(block.to_string().into_boxed_str())
    }
}
