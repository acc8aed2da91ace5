//! Why a request is refused.

use crate::metrics::{AllocationFailure, ResponseCode};

/// Why a request gets an error response: one variant, one code, one counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reject {
    /// 400: malformed, contradictory, or a channel bound otherwise.
    BadRequest,
    /// 401: no or wrong credentials; comes with realm and nonce.
    Unauthorized,
    /// 403: the peer policy or the administrator forbids it.
    Forbidden,
    /// 420: attributes that must be understood and are not; the request names them.
    UnknownAttribute,
    /// 437: no allocation, or another one, on this 5-tuple.
    AllocationMismatch,
    /// 438: the nonce is over or another's; comes with a fresh one.
    StaleNonce,
    /// 440: no relayed address of this family here.
    FamilyNotSupported,
    /// 441: another user's allocation.
    WrongCredentials,
    /// 442: a transport towards the peer that is neither UDP nor, where it is on, TCP.
    UnsupportedTransport,
    /// 443: the allocation has no relayed address of the peer's family.
    PeerFamilyMismatch,
    /// 446: this peer has a connection already (RFC 6062 section 5.2).
    ConnectionExists,
    /// 447: the connection to the peer could not be made (RFC 6062 section 5.2).
    ConnectionFailed,
    /// 486: the subject has as many allocations as it may have, or relays as much as it may.
    QuotaReached,
    /// 508: no port, no room for a permission, channel or connection, no bandwidth left, or draining.
    InsufficientCapacity,
}

impl Reject {
    /// The code on the wire (RFC 8489 section 14.8, RFC 8656 section 19).
    pub const fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::UnknownAttribute => 420,
            Self::AllocationMismatch => 437,
            Self::StaleNonce => 438,
            Self::FamilyNotSupported => 440,
            Self::WrongCredentials => 441,
            Self::UnsupportedTransport => 442,
            Self::PeerFamilyMismatch => 443,
            Self::ConnectionExists => 446,
            Self::ConnectionFailed => 447,
            Self::QuotaReached => 486,
            Self::InsufficientCapacity => 508,
        }
    }

    pub(super) const fn label(self) -> ResponseCode {
        match self {
            Self::BadRequest => ResponseCode::C400,
            Self::Unauthorized => ResponseCode::C401,
            Self::Forbidden => ResponseCode::C403,
            Self::UnknownAttribute => ResponseCode::C420,
            Self::AllocationMismatch => ResponseCode::C437,
            Self::StaleNonce => ResponseCode::C438,
            Self::FamilyNotSupported => ResponseCode::C440,
            Self::WrongCredentials => ResponseCode::C441,
            Self::UnsupportedTransport => ResponseCode::C442,
            Self::PeerFamilyMismatch => ResponseCode::C443,
            Self::ConnectionExists => ResponseCode::C446,
            Self::ConnectionFailed => ResponseCode::C447,
            Self::QuotaReached => ResponseCode::C486,
            Self::InsufficientCapacity => ResponseCode::C508,
        }
    }
}

/// Why no relay could be opened for a sound and authenticated Allocate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The subject's quota is reached.
    Quota,
    /// `limits.allocations_total` is reached.
    Total,
    /// All ports are in use, or none could be bound.
    NoPort,
    /// No relay address of the family is configured.
    Family,
    /// The reservation token is unknown or over.
    Token,
    /// The daemon takes no new allocations.
    Draining,
    /// The subject wants to relay more than it may already.
    UserBandwidth,
    /// All together want to relay more than they may already.
    TotalBandwidth,
}

impl OpenError {
    /// The answer to the client (RFC 8656 section 7.2).
    pub const fn reject(self) -> Reject {
        match self {
            Self::Quota | Self::UserBandwidth => Reject::QuotaReached,
            Self::Family => Reject::FamilyNotSupported,
            Self::Total | Self::NoPort | Self::Token | Self::Draining | Self::TotalBandwidth => {
                Reject::InsufficientCapacity
            }
        }
    }

    pub(super) const fn label(self) -> AllocationFailure {
        match self {
            Self::Quota => AllocationFailure::Quota,
            Self::Total => AllocationFailure::Total,
            Self::NoPort => AllocationFailure::NoPort,
            Self::Family => AllocationFailure::Family,
            Self::Token => AllocationFailure::Token,
            Self::Draining => AllocationFailure::Draining,
            Self::UserBandwidth => AllocationFailure::UserBandwidth,
            Self::TotalBandwidth => AllocationFailure::TotalBandwidth,
        }
    }
}
