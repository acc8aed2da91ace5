//! The closed sets of label values. No label is ever taken from a remote party's bytes.

/// A label whose values are known when the daemon is built.
pub trait Label: Copy {
    /// The label's name.
    const NAME: &'static str;
    /// Its values, in the order of [`Label::index`].
    const VALUES: &'static [&'static str];
    /// Position of this value.
    fn index(self) -> usize;
}

macro_rules! label {
    ($(#[$doc:meta])* $name:ident as $label:literal { $($(#[$value_doc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$value_doc])* $variant,)* }
        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];
        }
        impl Label for $name {
            const NAME: &'static str = $label;
            const VALUES: &'static [&'static str] = &[$($text),*];
            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

impl Label for crate::base::Transport {
    const NAME: &'static str = "transport";
    const VALUES: &'static [&'static str] = &["udp", "tcp", "tls", "dtls"];
    fn index(self) -> usize {
        self as usize
    }
}

impl Label for crate::base::Family {
    const NAME: &'static str = "family";
    const VALUES: &'static [&'static str] = &["ipv4", "ipv6"];
    fn index(self) -> usize {
        self as usize
    }
}

label! {
    /// Which way relayed payload moved, seen from the daemon.
    Direction as "direction" {
        /// Received from a client for a peer.
        FromClient = "from_client",
        /// Sent to a client.
        ToClient = "to_client",
        /// Received from a peer for a client.
        FromPeer = "from_peer",
        /// Sent to a peer.
        ToPeer = "to_peer",
    }
}

label! {
    /// Why a datagram was dropped without an answer: one counter per variant, never a log line.
    Dropped as "reason" {
        /// No live permission for the peer (RFC 8656 section 9).
        NoPermission = "no_permission",
        /// The channel is not bound (RFC 8656 section 12.6).
        NoChannel = "no_channel",
        /// ChannelData, an indication or a peer's datagram without an allocation.
        NoAllocation = "no_allocation",
        /// `limits.packets_per_user`, or one of the limits of bandwidth.
        RateLimit = "rate_limit",
        /// The send buffer of a socket was full.
        SendBufferFull = "tx_full",
        /// No message of the protocol, or one with broken lengths.
        Malformed = "malformed",
        /// The first byte belongs to no protocol of the door.
        UnknownProtocol = "unknown_protocol",
        /// A channel number that RFC 8656 reserves, without `relay.legacy_channels`.
        ReservedChannel = "reserved_channel",
        /// A STUN method that nobody answers here, or a response that nobody asked for.
        UnknownMethod = "unknown_method",
        /// An indication without its attributes, or with one that must be understood and is not.
        BadIndication = "bad_indication",
        /// Does not fit a datagram together with its header, or a request of absurd size.
        TooBig = "too_big",
        /// The kernel refused to send it.
        Socket = "socket",
        /// The peer policy forbids this address or port.
        PeerDenied = "peer_denied",
        /// The budget of replies to strangers is spent.
        ReplyBudget = "reply_budget",
        /// A source that can not be answered: port zero.
        BadSource = "bad_source",
        /// The same request is being carried out.
        Pending = "pending",
        /// A Send indication or ChannelData for an allocation that relays TCP (RFC 6062).
        NoDatagrams = "no_datagrams",
        /// A record of DTLS without a session, or a hello that cannot begin one.
        NoSession = "no_session",
    }
}

label! {
    /// Why a connection of a TCP, TLS or DTLS door ended: one counter per variant, never a log line.
    Closed as "reason" {
        /// The client closed it, or its network did.
        Client = "client",
        /// It was tied to a peer (RFC 6062), and the allocation of that connection has ended.
        Allocation = "allocation",
        /// It was handed over to HTTP.
        Http = "http",
        /// HTTP takes no more connections.
        HttpBusy = "http_busy",
        /// No whole first message in time, or a message of a client without an allocation took too long.
        MessageTimeout = "message_timeout",
        /// The TLS or DTLS handshake took too long.
        HandshakeTimeout = "handshake_timeout",
        /// Nothing was said for a while, and there was no allocation to wait for.
        Idle = "idle",
        /// The handshake failed, or a record was broken.
        Tls = "tls",
        /// The first bytes belong to no protocol of the door.
        UnknownProtocol = "unknown_protocol",
        /// A PROXY header from a source that is not configured to send one.
        ProxyStranger = "proxy_stranger",
        /// No PROXY header, or a broken one, from a source that must send one.
        ProxyHeader = "proxy_header",
        /// What follows a message is none, or is longer than it may be.
        Framing = "framing",
        /// Its task broke: a defect of this program.
        Failed = "failed",
        /// `limits.connections_per_source`.
        SourceLimit = "source_limit",
        /// `limits.connections_total`, or descriptors are used up.
        TotalLimit = "total_limit",
    }
}

label! {
    /// Method of a request.
    MethodLabel as "method" {
        /// Binding.
        Binding = "binding",
        /// Allocate.
        Allocate = "allocate",
        /// Refresh.
        Refresh = "refresh",
        /// CreatePermission.
        CreatePermission = "create_permission",
        /// ChannelBind.
        ChannelBind = "channel_bind",
        /// Connect (RFC 6062).
        Connect = "connect",
        /// ConnectionBind (RFC 6062).
        ConnectionBind = "connection_bind",
    }
}

label! {
    /// Outcome of a request.
    ResponseCode as "code" {
        /// Success response.
        Success = "success",
        /// Bad Request.
        C400 = "400",
        /// Unauthenticated.
        C401 = "401",
        /// Forbidden.
        C403 = "403",
        /// Unknown Attribute.
        C420 = "420",
        /// Allocation Mismatch.
        C437 = "437",
        /// Stale Nonce.
        C438 = "438",
        /// Address Family not Supported.
        C440 = "440",
        /// Wrong Credentials.
        C441 = "441",
        /// Unsupported Transport Protocol.
        C442 = "442",
        /// Peer Address Family Mismatch.
        C443 = "443",
        /// Connection Already Exists (RFC 6062).
        C446 = "446",
        /// Connection Timeout or Failure (RFC 6062).
        C447 = "447",
        /// Allocation Quota Reached.
        C486 = "486",
        /// Insufficient Capacity.
        C508 = "508",
    }
}

label! {
    /// Why an Allocate of an authenticated client failed.
    AllocationFailure as "reason" {
        /// The subject's quota is reached and no predecessor was idle.
        Quota = "quota",
        /// `limits.allocations_total`.
        Total = "total",
        /// No relay port is free, or none could be bound.
        NoPort = "no_port",
        /// The 5-tuple has an allocation already.
        Mismatch = "mismatch",
        /// The daemon is draining.
        Draining = "draining",
        /// No relay address of the wanted family.
        Family = "family",
        /// A RESERVATION-TOKEN that is unknown or over.
        Token = "token",
        /// A malformed or contradictory request.
        BadRequest = "bad_request",
        /// The subject exceeds `limits.bandwidth_per_user`, and `limits.over_total` is "refuse".
        UserBandwidth = "user_bandwidth",
        /// `limits.bandwidth_total` is exceeded, and `limits.over_total` is "refuse".
        TotalBandwidth = "total_bandwidth",
    }
}

label! {
    /// Whose limit of bandwidth.
    LimitScope as "scope" {
        /// `limits.bandwidth_per_allocation`, or the credential's own.
        Allocation = "allocation",
        /// `limits.bandwidth_per_user`.
        User = "user",
        /// `limits.bandwidth_total`.
        Total = "total",
    }
}

label! {
    /// Why credentials were refused; the client is told 401 or 438 and nothing more.
    AuthFailed as "reason" {
        /// Wrong password, or a changed message.
        BadIntegrity = "bad_integrity",
        /// Right, but over.
        Expired = "expired",
        /// No such user.
        UnknownUser = "unknown_user",
        /// The nonce is old, foreign or from another address.
        StaleNonce = "stale_nonce",
        /// Too many wrong guesses from this source for this user.
        Guessing = "guessing",
        /// Another user than the allocation's (441).
        OtherUser = "other_user",
        /// Right, and revoked.
        Revoked = "revoked",
    }
}

label! {
    /// Which rule of the peer policy denied a peer.
    DenyRule as "rule" {
        /// Own listeners, admin and metrics endpoints, configured back ends.
        OwnEndpoint = "own_endpoint",
        /// Cloud metadata services.
        Metadata = "metadata",
        /// "This network" and the unspecified address.
        Zero = "zero",
        /// Multicast.
        Multicast = "multicast",
        /// Limited broadcast.
        Broadcast = "broadcast",
        /// Teredo and 6to4.
        Tunnel = "tunnel",
        /// An own address without a live relay port.
        OwnAddress = "own_address",
        /// The recommended set: private, loopback, link-local and the like.
        Recommended = "recommended",
        /// `relay.peers.deny`.
        Configured = "configured",
        /// `relay.peers.min_port`.
        MinPort = "min_port",
    }
}

label! {
    /// What became of a TCP connection between a relayed address and a peer (RFC 6062).
    PeerConnection as "result" {
        /// The client asked for it and it stands.
        Connected = "connected",
        /// The client asked for it and it could not be made, for whatever reason.
        Failed = "failed",
        /// The peer made it and the client was told.
        Accepted = "accepted",
        /// The peer made it without a permission, or against the policy: closed at once.
        Refused = "refused",
        /// One of the caps on connections is reached.
        Full = "full",
        /// The client did not come for it in time.
        Unbound = "unbound",
    }
}

label! {
    /// Direction of a batch.
    BatchOp as "op" {
        /// recvmmsg
        Receive = "recv",
        /// sendmmsg or sendmsg
        Send = "send",
    }
}

label! {
    /// What carries a signaling connection.
    Carrier as "carrier" {
        /// Engine.IO over long polling.
        Polling = "polling",
        /// Engine.IO over WebSocket.
        WebSocket = "websocket",
        /// The plain wire, `turnstone.v1.json`.
        Plain = "plain",
    }
}

label! {
    /// Which way a signaling message went, seen from the daemon.
    MessageDirection as "direction" {
        /// From a client.
        Received = "received",
        /// To a client.
        Sent = "sent",
    }
}

label! {
    /// Why a signaling event was refused; its value is the `code` that the client reads.
    SignalingError as "reason" {
        /// No token, or none that is good.
        Unauthorized = "unauthorized",
        /// The token's time is over.
        TokenExpired = "token_expired",
        /// The claims do not allow it.
        Forbidden = "forbidden",
        /// An unknown event, or a payload of the wrong shape.
        BadRequest = "bad_request",
        /// Over a limit in bytes or in number.
        TooLarge = "too_large",
        /// Too many in too short a time.
        RateLimited = "rate_limited",
        /// It does not exist, or is not theirs to know of.
        NotFound = "not_found",
        /// The callee has no device here.
        Offline = "offline",
        /// The callee is in another call.
        Busy = "busy",
        /// The callee does not take calls of this user.
        Blocked = "blocked",
        /// There is no call between the two.
        NoCall = "no_call",
        /// More than one call fits.
        CallIdRequired = "call_id_required",
        /// The call is in a state that does not allow it.
        WrongState = "wrong_state",
        /// Another device of the user has it.
        AnsweredElsewhere = "answered_elsewhere",
        /// The call is over.
        Ended = "ended",
        /// The reverse call was first.
        Glare = "glare",
        /// Done already.
        Duplicate = "duplicate",
        /// A group call has no place left.
        RoomFull = "room_full",
        /// Storage takes nothing now.
        Unavailable = "unavailable",
        /// Our own fault.
        Internal = "internal",
    }
}

label! {
    /// Why a call ended; its value is the `reason` that clients read.
    EndReason as "reason" {
        /// One side hung up.
        Hangup = "hangup",
        /// The caller gave up while it rang.
        Cancelled = "cancelled",
        /// The callee declined.
        Rejected = "rejected",
        /// The callee was in another call.
        Busy = "busy",
        /// Nobody answered in time.
        NoAnswer = "no_answer",
        /// The callee had no device, or lost its last one.
        Offline = "offline",
        /// Another device of the user answered.
        AnsweredElsewhere = "answered_elsewhere",
        /// Another device of the user declined.
        RejectedElsewhere = "rejected_elsewhere",
        /// A client reported that ICE failed.
        IceFailed = "ice_failed",
        /// Accepted, and then no description came in time.
        IceTimeout = "ice_timeout",
        /// A client reported that it has no media.
        MediaFailed = "media_failed",
        /// A side was away for longer than the grace.
        Lost = "lost",
        /// Two calls between the same two users became one.
        GlareMerged = "glare_merged",
        /// The callee does not take calls of this user.
        Blocked = "blocked",
        /// The token of a party ended and was not renewed.
        Expired = "expired",
        /// The longest time a call may take is over.
        MaxDuration = "max_duration",
        /// The daemon stops.
        ServerShutdown = "server_shutdown",
        /// Our own fault.
        Error = "error",
    }
}

label! {
    /// Where a live call stands (reference: the call state machine).
    CallState as "state" {
        /// Created; devices ring.
        Ringing = "ringing",
        /// One device has it; descriptions are under way.
        Connecting = "connecting",
        /// Media is assumed to flow.
        Active = "active",
    }
}

label! {
    /// What became of an attempt to go on with a session.
    Recovery as "outcome" {
        /// Every missed event was sent again.
        Recovered = "recovered",
        /// More was missed than is kept: a snapshot instead.
        Gap = "gap",
        /// The session is unknown, its window is over, or it is somebody else's.
        Unknown = "unknown",
    }
}

label! {
    /// What a full outbound queue cost.
    Overflow as "class" {
        /// A droppable event was not sent.
        Droppable = "droppable",
        /// A coalescing event gave way.
        Coalescing = "coalescing",
        /// A reliable event did not fit, so the transport was closed; the session can be resumed.
        Reliable = "reliable",
    }
}

label! {
    /// Why the token of a signaling client was refused.
    TokenFailure as "reason" {
        /// There was none.
        Missing = "missing",
        /// Not a token, or over a limit.
        Malformed = "malformed",
        /// Its algorithm or header is not what the key is for.
        Algorithm = "algorithm",
        /// No key of ours signed it.
        UnknownKey = "unknown_key",
        /// The signature is wrong.
        Signature = "signature",
        /// Over, or not begun.
        Time = "time",
        /// A claim is missing, of the wrong type, or for somebody else.
        Claims = "claims",
    }
}
