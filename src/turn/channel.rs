//! Channels of one allocation (RFC 8656 section 12): a number for a peer, ten minutes each.

use super::error::Reject;
use super::peer_path::PeerPath;
use super::permission::single_peer;
use super::request::Request;
use super::respond::Body;
use super::server::Server;
use super::settings::Settings;
use crate::base::{Now, Timestamp};
use crate::wire::channel_data::ChannelNumber;
use crate::wire::stun::attribute;
use std::net::{IpAddr, SocketAddr};

/// One binding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Channel {
    pub(super) number: ChannelNumber,
    /// As the client named it.
    pub(super) peer: SocketAddr,
    expires: Timestamp,
    /// Copy of the permission's end, so that a datagram needs one lookup.
    permitted_until: Timestamp,
    /// The peer is an own relay address: each datagram asks whether its port is live, and where it is.
    pub(super) moving: bool,
}

impl Channel {
    /// Whether datagrams may pass: bound, and permitted (section 12: a bound channel with a lapsed
    /// permission relays in neither direction).
    pub(super) fn passes(&self, now: Timestamp) -> bool {
        self.expires > now && self.permitted_until > now
    }

    pub(super) fn is_bound(&self, now: Timestamp) -> bool {
        self.expires > now
    }
}

/// What one channel takes.
pub(super) const CHANNEL_BYTES: usize = size_of::<Channel>() + size_of::<(SocketAddr, ChannelNumber)>();

/// Bindings sorted by number, and their peers sorted for the way back.
#[derive(Debug, Default)]
pub(super) struct Channels {
    by_number: Vec<Channel>,
    by_peer: Vec<(SocketAddr, ChannelNumber)>,
}

impl Channels {
    pub(super) fn by_number(&self, number: ChannelNumber) -> Option<&Channel> {
        let at = self.by_number.binary_search_by_key(&number, |c| c.number).ok()?;
        Some(&self.by_number[at])
    }

    pub(super) fn by_peer(&self, peer: SocketAddr) -> Option<&Channel> {
        let at = self.by_peer.binary_search_by_key(&peer, |(peer, _)| *peer).ok()?;
        self.by_number(self.by_peer[at].1)
    }

    /// Whether `number` and `peer` belong together or are both free (section 12.2), where an expired
    /// binding keeps others away for five minutes more.
    fn is_consistent(&self, number: ChannelNumber, peer: SocketAddr) -> bool {
        let same = |c: &Channel| c.number == number && c.peer == peer;
        self.by_number(number).is_none_or(same) && self.by_peer(peer).is_none_or(same)
    }

    fn bind(&mut self, channel: Channel) {
        match self.by_number.binary_search_by_key(&channel.number, |c| c.number) {
            Ok(at) => self.by_number[at] = channel,
            Err(at) => {
                self.by_number.insert(at, channel);
                if let Err(at) = self.by_peer.binary_search_by_key(&channel.peer, |(peer, _)| *peer) {
                    self.by_peer.insert(at, (channel.peer, channel.number));
                }
            }
        }
    }

    /// A permission was made or renewed.
    pub(super) fn permit(&mut self, peer: IpAddr, until: Timestamp) {
        for channel in self.by_number.iter_mut().filter(|c| c.peer.ip() == peer) {
            channel.permitted_until = until;
        }
    }

    /// Unbinds the peers that `denied` names.
    pub(super) fn revoke(&mut self, denied: impl Fn(SocketAddr) -> bool) {
        self.by_number.retain(|c| !denied(c.peer));
        self.by_peer.retain(|(peer, _)| !denied(*peer));
    }

    /// Forgets bindings whose quarantine is over.
    fn sweep(&mut self, now: Timestamp) {
        self.by_number.retain(|c| c.expires.after(Settings::CHANNEL_QUARANTINE) > now);
        let by_number = &self.by_number;
        self.by_peer.retain(|(_, number)| by_number.binary_search_by_key(number, |c| c.number).is_ok());
    }

    pub(super) fn len(&self) -> usize {
        self.by_number.len()
    }
}

impl Server {
    /// ChannelBind (RFC 8656 section 12.2); also makes or renews the peer's permission.
    pub(super) fn channel_bind(
        &mut self,
        now: Now,
        index: usize,
        request: &Request<'_>,
    ) -> Result<Body, Reject> {
        let number = request.channel_number.ok_or(Reject::BadRequest)?;
        let number = attribute::decode_channel_number(number).ok().flatten().ok_or(Reject::BadRequest)?;
        if number.is_legacy() && !self.settings.legacy_channels {
            return Err(Reject::BadRequest);
        }
        let peer = single_peer(request)?;
        // RFC 6062 has connections in place of channels.
        if self.allocations[index].live().tcp.is_some() {
            return Err(Reject::Forbidden);
        }
        self.check_family(now, index, peer.ip())?;
        self.check_peer(PeerPath::ChannelBind, peer)?;

        let channels = &mut self.allocations[index].live_mut().channels;
        channels.sweep(now.at);
        if !channels.is_consistent(number, peer) {
            return Err(Reject::BadRequest);
        }
        if channels.by_number(number).is_none() && channels.len() >= self.settings.channels_max {
            return Err(Reject::InsufficientCapacity);
        }
        self.permit(now, index, &[peer.ip()])?;
        let channel = Channel {
            number,
            peer,
            expires: now.at.after(Settings::CHANNEL_LIFETIME),
            permitted_until: now.at.after(Settings::PERMISSION_LIFETIME),
            moving: self.policy.has_moving_ports(peer.ip()),
        };
        self.allocations[index].live_mut().channels.bind(channel);
        Ok(Body::Done)
    }
}
