//! NAT behaviour discovery: four doors that answer for each other (RFC 5780).
//!
//! Two addresses and two ports make four doors. A place is one of them as a number: bit 1 says which
//! address, bit 0 which port, so CHANGE-REQUEST is an exclusive or.

use super::address::ClientAddr;
use super::error::Reject;
use super::request::Request;
use super::respond::Body;
use super::server::Server;
use super::verdict::{Reply, Verdict};
use crate::base::{Now, Transport};
use crate::wire::stun::AttributeType;
use crate::wire::stun::attribute::{ChangeRequest, decode_change_request, decode_response_port};
use std::net::{IpAddr, SocketAddr};

/// Four UDP doors of one driver: the same two ports on two addresses of one family (section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// The driver's numbers of the doors (A1, P1), (A1, P2), (A2, P1), (A2, P2).
    pub doors: [u32; 4],
    /// A1 and A2 as they are bound.
    pub bound: [IpAddr; 2],
    /// A1 and A2 as clients see them: others behind 1:1 NAT, else the same.
    pub external: [IpAddr; 2],
    /// P1 and P2.
    pub ports: [u16; 2],
}

/// The door of a discovery that a request came by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    discovery: Discovery,
    at: usize,
}

/// A Binding success of such a door.
#[derive(Clone, Copy, Debug)]
pub(super) struct Discovered {
    pub(super) mapped: SocketAddr,
    pub(super) origin: SocketAddr,
    pub(super) other: SocketAddr,
    /// PADDING that fills the response up to this many bytes, FINGERPRINT included.
    pub(super) pad_to: Option<usize>,
}

/// Whether only a Binding request at such a door understands this attribute.
pub(super) const fn is_of_discovery(kind: AttributeType) -> bool {
    matches!(kind, AttributeType::CHANGE_REQUEST | AttributeType::PADDING | AttributeType::RESPONSE_PORT)
}

impl Place {
    /// Where `from` came in. `None` for a door of no discovery and for connections, which cannot answer
    /// from elsewhere.
    pub(super) fn of(all: &[Discovery], from: &ClientAddr) -> Option<Self> {
        if from.transport != Transport::Udp {
            return None;
        }
        let at = |discovery: &Discovery| discovery.doors.iter().position(|door| *door == from.door);
        all.iter().find_map(|discovery| Some(Self { discovery: *discovery, at: at(discovery)? }))
    }

    /// Section 6.1, table 1.
    fn changed(self, change: ChangeRequest) -> Self {
        Self { at: self.at ^ (usize::from(change.ip) << 1 | usize::from(change.port)), ..self }
    }

    fn other(self) -> Self {
        self.changed(ChangeRequest { ip: true, port: true })
    }

    fn door(self) -> u32 {
        self.discovery.doors[self.at]
    }

    fn bound(self) -> SocketAddr {
        self.address(&self.discovery.bound)
    }

    fn external(self) -> SocketAddr {
        self.address(&self.discovery.external)
    }

    fn address(self, ips: &[IpAddr; 2]) -> SocketAddr {
        SocketAddr::new(ips[self.at >> 1], self.discovery.ports[self.at & 1])
    }
}

impl Server {
    /// A Binding request at the door `place` (section 6.1). The answer leaves from the door and goes to
    /// the port that it asks for.
    ///
    /// RESPONSE-PORT reaches another port of the sender's own address and no other host, which a
    /// forged source port could do as well; it costs the budget of that address like any answer.
    pub(super) fn discover(
        &mut self,
        now: Now,
        from: &ClientAddr,
        place: Place,
        request: &Request<'_>,
        reply: &mut [u8],
    ) -> Verdict {
        let answered = match answerer(from, place, request) {
            Ok((client, discovered)) => {
                (client, self.answer(now, from, request, &Body::Discovered(discovered), None, reply))
            }
            Err(reject) => (*from, self.answer(now, from, request, &Body::Rejected(reject), None, reply)),
        };
        match answered {
            (client, Verdict::Reply { length }) if client != *from => {
                Verdict::ReplyVia(Reply { client, length })
            }
            (_, verdict) => verdict,
        }
    }
}

/// Who shall get the answer and by which door, and what it says.
fn answerer(
    from: &ClientAddr,
    place: Place,
    request: &Request<'_>,
) -> Result<(ClientAddr, Discovered), Reject> {
    if !request.unknown.is_empty() {
        return Err(Reject::UnknownAttribute);
    }
    // Section 7.5: never both, or a stranger would aim large answers.
    if request.padding.is_some() && request.response_port.is_some() {
        return Err(Reject::BadRequest);
    }
    let change = match request.change_request {
        Some(value) => decode_change_request(value).map_err(|_| Reject::BadRequest)?,
        None => ChangeRequest::default(),
    };
    let origin = place.changed(change);
    let mut client = ClientAddr { local: origin.bound(), door: origin.door(), ..*from };
    if let Some(value) = request.response_port {
        let port = decode_response_port(value).map_err(|_| Reject::BadRequest)?;
        client.remote.set_port(port.get());
    }
    let discovered = Discovered {
        mapped: from.remote,
        origin: origin.external(),
        other: place.other().external(),
        // Section 6.1 would like the MTU here. As long as the request is enough to be cut into fragments
        // when that was, and amplifies nothing.
        pad_to: request.padding.map(|_| request.message.bytes().len()),
    };
    Ok((client, discovered))
}
