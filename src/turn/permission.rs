//! Permissions of one allocation (RFC 8656 section 9): by peer address, five minutes each.

use super::error::Reject;
use super::peer_path::PeerPath;
use super::request::Request;
use super::respond::Body;
use super::server::Server;
use super::settings::Settings;
use super::verdict::OpenedRelay;
use crate::base::{Family, Now, Timestamp};
use crate::metrics::peer_denied;
use crate::wire::stun::{AttributeType, attribute};
use std::net::{IpAddr, SocketAddr};

/// Sorted by address, so that a lookup halves; entries that are over stay until room is needed.
#[derive(Debug, Default)]
pub(super) struct Permissions(Vec<Permission>);

/// What one permission takes.
pub(super) const PERMISSION_BYTES: usize = size_of::<Permission>();

#[derive(Clone, Copy, Debug)]
struct Permission {
    peer: IpAddr,
    expires: Timestamp,
}

impl Permissions {
    /// Until when datagrams of `peer` may pass, if they may now.
    pub(super) fn until(&self, now: Timestamp, peer: IpAddr) -> Option<Timestamp> {
        let at = self.0.binary_search_by(|p| p.peer.cmp(&peer)).ok()?;
        Some(self.0[at].expires).filter(|expires| *expires > now)
    }

    /// Makes or renews the permission of `peer`.
    pub(super) fn install(&mut self, peer: IpAddr, expires: Timestamp) {
        match self.0.binary_search_by(|p| p.peer.cmp(&peer)) {
            Ok(at) => self.0[at].expires = expires,
            Err(at) => self.0.insert(at, Permission { peer, expires }),
        }
    }

    /// Forgets what is over.
    pub(super) fn sweep(&mut self, now: Timestamp) {
        self.0.retain(|p| p.expires > now);
    }

    /// Forgets the peers that `denied` names.
    pub(super) fn revoke(&mut self, denied: impl Fn(IpAddr) -> bool) {
        self.0.retain(|p| !denied(p.peer));
    }

    /// Those that may send now.
    pub(super) fn peers(&self, now: Timestamp) -> impl Iterator<Item = IpAddr> {
        self.0.iter().filter(move |p| p.expires > now).map(|p| p.peer)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

impl Server {
    /// CreatePermission (RFC 8656 section 10.2): all peers or none.
    pub(super) fn create_permission(
        &mut self,
        now: Now,
        index: usize,
        request: &Request<'_>,
    ) -> Result<Body, Reject> {
        let mut peers = Vec::new();
        for attribute in request.message.attributes() {
            if attribute.kind == AttributeType::XOR_PEER_ADDRESS {
                let peer = attribute::decode_xor_address(attribute.value, request.message.transaction_id())
                    .map_err(|_| Reject::BadRequest)?;
                peers.push(peer);
            }
        }
        if peers.is_empty() {
            return Err(Reject::BadRequest);
        }
        for peer in &peers {
            self.check_family(now, index, peer.ip())?;
            self.check_peer(PeerPath::CreatePermission, *peer)?;
        }
        let mut peers: Vec<_> = peers.iter().map(SocketAddr::ip).collect();
        peers.sort_unstable();
        peers.dedup();
        self.permit(now, index, &peers)?;
        Ok(Body::Done)
    }

    /// Installs permissions for all of `peers` (without repeats), or none when there is no room or
    /// the subject adds peers too fast.
    pub(super) fn permit(&mut self, now: Now, index: usize, peers: &[IpAddr]) -> Result<(), Reject> {
        let allocation = self.allocations[index].live_mut();
        let new = peers.iter().filter(|p| allocation.permissions.until(now.at, **p).is_none()).count();
        if new > 0 {
            allocation.permissions.sweep(now.at);
            if allocation.permissions.len() + new > self.settings.permissions_max
                || !self.subjects.take_peers(now, &self.settings, allocation.subject, new as u32)
            {
                return Err(Reject::InsufficientCapacity);
            }
        }
        let expires = now.at.after(Settings::PERMISSION_LIFETIME);
        for peer in peers {
            allocation.permissions.install(*peer, expires);
            allocation.channels.permit(*peer, expires);
        }
        Ok(())
    }

    /// The relayed address that reaches `peer`. RFC 8656 sections 10.2 and 12.2: 443 when the allocation
    /// has none of that family.
    pub(super) fn check_family(&self, now: Now, index: usize, peer: IpAddr) -> Result<OpenedRelay, Reject> {
        let relay = self.allocations[index].live().relay(now.at, Family::of(peer));
        relay.map(|relay| relay.address).ok_or(Reject::PeerFamilyMismatch)
    }

    /// Counts a denial and turns it into 403.
    pub(super) fn check_peer(&mut self, path: PeerPath, peer: SocketAddr) -> Result<(), Reject> {
        self.policy.admit(path, peer).map_err(|rule| {
            self.counters.increment(peer_denied(rule));
            Reject::Forbidden
        })
    }
}

/// The one peer of a ChannelBind or Connect.
pub(super) fn single_peer(request: &Request<'_>) -> Result<SocketAddr, Reject> {
    let value = request.peer.ok_or(Reject::BadRequest)?;
    attribute::decode_xor_address(value, request.message.transaction_id()).map_err(|_| Reject::BadRequest)
}
