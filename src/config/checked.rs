//! Every section of the file: its keys, their types, their defaults. This list is the file format.

use super::addresses::{DenyRule, HttpDoor, PortRange, RelayAddress, Workers};
use super::admin_key::AdminKeyFile;
use super::hub::NamespaceName;
use super::public_address::PublicAddress;
use super::secrets::SecretsFile;
use super::section::section;
use super::signaling::WebOrigin;
use super::text::{FreeTable, WebUrl, words};
use super::tokens::{CookieName, PublicKeyFile};
use super::units::{BitRate, ByteSize, EventRate, Limit};
use crate::auth::Secret;
use crate::http::KeySetUrl;
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

section! {
    /// The whole configuration, checked. It cannot hold nonsense and does not change.
    Config {
        /// `[server]`
        server: Server = Server::default();
        /// `[[listen]]`, never empty.
        listen: Vec<Listen> = Listen::defaults();
        /// `[relay]`
        relay: Relay = Relay::default();
        /// `[tls]`
        tls: Tls = Tls::default();
        /// `[auth]`
        auth: Auth = Auth::default();
        /// `[http]`
        http: Http = Http::default();
        /// `[signaling]`
        signaling: Signaling = Signaling::default();
        /// `[hooks]`
        hooks: Hooks = Hooks::default();
        /// `[limits]`
        limits: Limits = Limits::default();
        /// `[storage]`
        storage: Storage = Storage::default();
        /// `[admin]`
        admin: Admin = Admin::default();
        /// `[log]`
        log: Log = Log::default();
        /// `[usage]`
        usage: Usage = Usage::default();
        /// `[cluster]`
        cluster: Cluster = Cluster::default();
    }
}

section! {
    /// `[server]`: what the daemon calls itself.
    Server {
        /// Host in URLs and certificates; the public address when unset.
        name: Option<String> = None;
        /// REALM of challenges, after OpaqueString; at most 127 characters (RFC 8489 section 14.9).
        realm: String = "turn".to_owned();
        /// The addresses that clients see.
        public_address: PublicAddress = PublicAddress::Auto;
        /// How long a stop waits for sessions to end.
        drain_timeout: Duration = Duration::from_secs(30);
    }
}

section! {
    /// One `[[listen]]`: an address and the transports that it serves.
    Listen {
        /// Address and port, never port 0. `[::]` serves IPv4 too, unless its port has an IPv4 listener.
        address: SocketAddr = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 3478));
        /// Not empty, none twice.
        transports: Vec<Transport> = vec![Transport::Udp, Transport::Tcp];
        /// Sources whose connections must begin with a PROXY protocol header, which is believed.
        proxy_protocol_from: Vec<IpNet> = Vec::new();
        /// Second address and port for NAT discovery (RFC 5780); both ports are then open on both addresses.
        alternate: Option<SocketAddr> = None;
    }
}

impl Listen {
    /// UDP and TCP on port 3478 of every address.
    fn defaults() -> Vec<Self> {
        let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 3478));
        vec![Self { address, ..Self::default() }, Self::default()]
    }

    /// Whether one of its transports is a stream.
    pub fn takes_connections(&self) -> bool {
        self.transports.iter().any(|kind| matches!(kind, Transport::Tcp | Transport::Tls))
    }
}

words! {
    /// How clients reach the daemon.
    Transport("a transport") {
        /// UDP datagrams.
        Udp = "udp",
        /// A TCP stream.
        Tcp = "tcp",
        /// A TLS stream, shared with HTTPS and WebSocket.
        Tls = "tls",
        /// DTLS over UDP.
        Dtls = "dtls",
    }
}

section! {
    /// `[relay]`: where relay ports come from.
    Relay {
        /// Either `Auto` alone or addresses of this host; not empty.
        addresses: Vec<RelayAddress> = vec![RelayAddress::Auto];
        /// Ports of the pool.
        ports: PortRange = PortRange::DYNAMIC;
        /// Longest LIFETIME granted: 10 minutes to 1 hour.
        max_lifetime: Duration = Duration::from_secs(3_600);
        /// How many shards.
        workers: Workers = Workers::Auto;
        /// Keep each shard on a core of its own.
        pin_workers: bool = false;
        /// Coalescing and cutting of datagrams by the kernel.
        offload: Offload = Offload::Auto;
        /// Accept channel numbers 0x5000 to 0x7FFF (RFC 5766) too.
        legacy_channels: bool = false;
        /// TCP relaying (RFC 6062).
        tcp: bool = false;
        /// How long a released port rests before its next owner.
        port_quarantine: Duration = Duration::from_secs(30);
        /// SO_RCVBUF of each relay socket.
        receive_buffer: ByteSize = ByteSize(256 << 10);
        /// SO_SNDBUF of each relay socket.
        send_buffer: ByteSize = ByteSize(256 << 10);
        /// SO_RCVBUF and SO_SNDBUF of each listener, each.
        listener_buffer: ByteSize = ByteSize(4 << 20);
        /// `[relay.peers]`
        peers: Peers = Peers::default();
    }
}

words! {
    /// Whether the kernel may hand over and take several datagrams of one sender in one go (UDP_GRO, UDP_SEGMENT).
    Offload("a use of offloads") {
        /// Where it can.
        Auto = "auto",
        /// Never.
        Off = "off",
    }
}

section! {
    /// `[relay.peers]`: whom a client may reach through the relay.
    Peers {
        /// Refused networks; the recommended set is always in, unless the list has `Nothing`.
        deny: Vec<DenyRule> = vec![DenyRule::Recommended];
        /// Exceptions from `deny`; they win.
        allow: Vec<IpNet> = Vec::new();
        /// Peers below this port are refused.
        min_port: NonZeroU16 = NonZeroU16::MIN;
    }
}

impl Peers {
    /// Whether the recommended set is refused: always, unless `deny` has "none".
    pub fn denies_recommended(&self) -> bool {
        !self.deny.contains(&DenyRule::Nothing)
    }

    /// The networks that `deny` names itself.
    pub fn denied_networks(&self) -> impl Iterator<Item = IpNet> + '_ {
        self.deny.iter().filter_map(|rule| match rule {
            DenyRule::Network(net) => Some(*net),
            DenyRule::Recommended | DenyRule::Nothing => None,
        })
    }
}

section! {
    /// `[tls]`: the certificate of every `tls` and `dtls` transport.
    Tls {
        /// Where the certificate comes from.
        mode: TlsMode = TlsMode::Off;
        /// Certificate chain, PEM; given when the mode is `Files`.
        cert: Option<PathBuf> = None;
        /// Private key, PEM; given when the mode is `Files`.
        key: Option<PathBuf> = None;
        /// `acme = { .. }`
        acme: Acme = Acme::default();
        /// Further certificates, chosen by server name.
        extra: Vec<TlsExtra> = Vec::new();
    }
}

words! {
    /// Where the certificate comes from.
    TlsMode("a TLS mode") {
        /// No TLS.
        Off = "off",
        /// From files.
        Files = "files",
        /// Made at start.
        SelfSigned = "self-signed",
        /// From an ACME authority.
        Acme = "acme",
    }
}

section! {
    /// `tls.acme`: the account at a certificate authority.
    Acme {
        /// Contact of the account.
        email: Option<String> = None;
        /// "letsencrypt", "letsencrypt-staging" or the URL of a directory.
        directory: String = "letsencrypt".to_owned();
    }
}

section! {
    /// One `[[tls.extra]]`; both paths are given.
    TlsExtra {
        /// Certificate chain, PEM.
        cert: PathBuf = PathBuf::new();
        /// Private key, PEM.
        key: PathBuf = PathBuf::new();
    }
}

section! {
    /// `[auth]`: who may have a relay.
    Auth {
        /// Shared secrets of time-limited credentials, newest first; empty with `secrets_file`.
        secrets: Vec<Secret> = Vec::new();
        /// File with the same, one per line.
        secrets_file: Option<SecretsFile> = None;
        /// Offer SHA-256 keys and integrity, and USERHASH where all users are static; challenges grow.
        modern: bool = false;
        /// Expiry ends live sessions.
        strict_expiry: bool = false;
        /// Lifetime of minted credentials.
        ttl: Duration = Duration::from_secs(3_600);
        /// Longest lifetime of minted credentials; at least `ttl`.
        max_ttl: Duration = Duration::from_secs(86_400);
        /// Static users and passwords, both after OpaqueString (RFC 8265).
        users: BTreeMap<String, Secret> = BTreeMap::new();
        /// `[auth.jwt]`
        jwt: Jwt = Jwt::default();
    }
}

section! {
    /// `[auth.jwt]`: who signs the tokens of signaling clients. At most one of the first three is given.
    Jwt {
        /// Key of HS256, HS384 and HS512, at least 32 bytes.
        secret: Option<Secret> = None;
        /// Public key or certificate, PEM, of RS*, ES* or EdDSA.
        public_key_file: Option<PublicKeyFile> = None;
        /// Key set of the issuer.
        jwks_url: Option<KeySetUrl> = None;
        /// Wanted `iss`.
        issuer: Option<String> = None;
        /// Wanted `aud`.
        audience: Option<String> = None;
        /// Accept a token in the query of the URL, too.
        query: bool = false;
        /// The cookie that may hold one; only with `signaling.origins`.
        cookie: CookieName = CookieName(None);
    }
}

section! {
    /// `[http]`: the plain HTTP listeners.
    Http {
        /// API, WebSocket and test page.
        public: HttpDoor = HttpDoor(Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))));
        /// Health, metrics and dashboard.
        admin: HttpDoor = HttpDoor(Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 9640))));
        /// Serve the test page at `/test`.
        test_page: bool = false;
        /// Proxies whose `Forwarded` and `X-Forwarded-For` are believed.
        trusted_proxies: Vec<IpNet> = Vec::new();
    }
}

section! {
    /// `[signaling]`: calls and rooms over WebSocket and Socket.IO.
    Signaling {
        /// Serve it at all.
        enabled: bool = true;
        /// Mount paths of Socket.IO.
        socketio_paths: Vec<String> = vec!["/socket.io/".to_owned()];
        /// Web origins that may connect; empty for the server's own.
        origins: Vec<WebOrigin> = Vec::new();
        /// Longest message.
        max_message: ByteSize = ByteSize(64 << 10);
        /// Namespaces of Socket.IO that there are; plain clients are in the first.
        namespaces: Vec<NamespaceName> = vec![NamespaceName::default()];
        /// Those of them whose Socket.IO clients get events without an offset, and no recovery.
        namespaces_without_recovery: Vec<NamespaceName> = Vec::new();
        /// Who is told about the presence of a user without asking.
        presence: PresenceScope = PresenceScope::Rooms;
        /// Tokens without a claim `rooms` open every room.
        open_rooms: bool = true;
        /// How long a session waits for its client to come back.
        recovery_window: Duration = Duration::from_secs(120);
        /// How long stored messages are kept.
        message_retention: Duration = Duration::from_secs(365 * 86_400);
        /// How often a client is asked whether it is there.
        ping_interval: Duration = Duration::from_secs(25);
        /// How long it may take to answer.
        ping_timeout: Duration = Duration::from_secs(20);
        /// Sets of event names.
        profiles: Vec<String> = Vec::new();
        /// `[[signaling.rule]]`: event relay rules.
        rule: Vec<FreeTable> = Vec::new();
        /// `[signaling.calls]`
        calls: Calls = Calls::default();
        /// `[signaling.limits]`
        limits: SessionLimits = SessionLimits::default();
    }
}

words! {
    /// Who is told about the presence of a user without asking.
    PresenceScope("a scope of presence") {
        /// Those who share a room with the user.
        Rooms = "rooms",
        /// Everybody.
        All = "all",
    }
}

section! {
    /// `[signaling.calls]`: how long calls take, and who decides.
    Calls {
        /// How long a call rings when its caller does not say.
        ring: Duration = Duration::from_secs(45);
        /// From accept to the first answer.
        connect: Duration = Duration::from_secs(30);
        /// How long a side may be away from an accepted call.
        grace: Duration = Duration::from_secs(60);
        /// Longest time from accept to end.
        max_duration: Limit<Duration> = Limit(None);
        /// What a caller meets when the callee is in another call.
        busy: Busy = Busy::Reject;
        /// What accepts a call.
        accept: Accept = Accept::Implicit;
        /// What one device's "no" means for the others.
        reject_scope: RejectScope = RejectScope::Call;
        /// Members of a group call.
        group_max: u32 = 6;
    }
}

words! {
    /// What a caller meets when the callee is in another call.
    Busy("an answer to a second call") {
        /// The callee is busy.
        Reject = "reject",
        /// Devices without a call ring.
        Device = "device",
        /// All devices ring, and are told that it is a second call.
        Waiting = "waiting",
    }
}

words! {
    /// What accepts a call.
    Accept("a way to accept") {
        /// `call:accepted`, or the first answer to an offer, which ringing devices get.
        Implicit = "implicit",
        /// `call:accepted` alone; only the device that sent it gets the offer.
        Explicit = "explicit",
    }
}

words! {
    /// What one device's "no" means for the others.
    RejectScope("a scope of a refusal") {
        /// The call is over.
        Call = "call",
        /// The others go on ringing.
        Device = "device",
    }
}

section! {
    /// `[signaling.limits]`: what one client, one user and all of them may use of signaling.
    SessionLimits {
        /// Sessions of all, those that wait for their client included.
        sessions_total: u32 = 100_000;
        /// Sessions of one user.
        sessions_per_user: u32 = 64;
        /// Sessions of one IPv4 address or IPv6 /64.
        sessions_per_source: u32 = 1_000;
        /// Events of one session that have no rate of their own.
        events_per_session: EventRate = EventRate { per_s: 50 };
        /// Events of calls of one session: descriptions, candidates.
        candidates_per_session: EventRate = EventRate { per_s: 200 };
        /// Messages of one user.
        messages_per_user: EventRate = EventRate { per_s: 10 };
        /// Live calls of one user, ringing ones included.
        calls_per_user: u32 = 16;
    }
}

section! {
    /// `[hooks]`: calls to the application's back end.
    Hooks {
        /// Where to.
        url: Option<WebUrl> = None;
        /// Key of the signature.
        secret: Option<Secret> = None;
        /// Which events.
        events: Vec<String> = Vec::new();
    }
}

section! {
    /// `[limits]`: what one user, one allocation and the whole daemon may use.
    Limits {
        /// Live allocations of one subject; 0 for no limit.
        allocations_per_user: u32 = 16;
        /// Live allocations of all; 0 for as many as there are ports.
        allocations_total: u32 = 0;
        /// Open TCP and TLS connections of one IPv4 address or IPv6 /64; 0 for no limit.
        connections_per_source: u32 = 256;
        /// Open TCP and TLS connections of all; 0 for as many as there are descriptors.
        connections_total: u32 = 16_384;
        /// Relayed payload of one allocation, both ways together.
        bandwidth_per_allocation: Limit<BitRate> = Limit(None);
        /// Relayed payload of one subject.
        bandwidth_per_user: Limit<BitRate> = Limit(None);
        /// Relayed payload of all.
        bandwidth_total: Limit<BitRate> = Limit(None);
        /// What happens above `bandwidth_per_user` and `bandwidth_total`, beside dropping what is too much.
        over_total: OverTotal = OverTotal::Shape;
        /// Relayed packets of one subject.
        packets_per_user: Limit<EventRate> = Limit(None);
        /// Peers that one subject may address for the first time, a second.
        new_peers_per_second: Limit<EventRate> = Limit(Some(EventRate { per_s: 50 }));
        /// UDP replies without valid integrity, per source; burst and total follow from it.
        unauthenticated_replies: EventRate = EventRate { per_s: 500 };
        /// Credentials that one API key may mint.
        mints_per_key: Limit<EventRate> = Limit(Some(EventRate { per_s: 1000 }));
        /// Credentials that may be minted for one subject.
        mints_per_user: Limit<EventRate> = Limit(Some(EventRate { per_s: 5 }));
        /// Credentials that the users at one source may mint with their tokens; bad keys and tokens count apart.
        mints_per_source: Limit<EventRate> = Limit(Some(EventRate { per_s: 50 }));
    }
}

impl Limits {
    /// Burst per source of `unauthenticated_replies`: ten seconds' worth.
    pub fn unauthenticated_burst(&self) -> u32 {
        self.unauthenticated_replies.per_s.saturating_mul(10)
    }

    /// Replies a second to all sources together: a hundred sources' worth.
    pub fn unauthenticated_total_per_s(&self) -> u32 {
        self.unauthenticated_replies.per_s.saturating_mul(100)
    }
}

words! {
    /// What happens above a limit of bandwidth, beside dropping what is too much.
    OverTotal("an answer to overload") {
        /// Nothing.
        Shape = "shape",
        /// New allocations are refused.
        Refuse = "refuse",
    }
}

section! {
    /// `[storage]`: where durable state lives.
    Storage {
        /// Folder.
        path: PathBuf = PathBuf::from("/var/lib/turnstone");
    }
}

section! {
    /// `[admin]`: how the command line reaches the daemon.
    Admin {
        /// Unix socket.
        socket: PathBuf = PathBuf::from("/run/turnstone/admin.sock");
        /// File with the API key of the first operator.
        key_file: AdminKeyFile = AdminKeyFile::default();
    }
}

section! {
    /// `[log]`
    Log {
        /// Form of a line.
        format: LogFormat = LogFormat::Auto;
        /// Least important level that is written.
        level: LogLevel = LogLevel::Info;
    }
}

words! {
    /// Form of a log line.
    LogFormat("a log format") {
        /// Without time under systemd, with colours on a terminal, else plain text.
        Auto = "auto",
        /// Plain text.
        Text = "text",
        /// One JSON object a line.
        Json = "json",
    }
}

words! {
    /// How much is logged.
    LogLevel("a log level") {
        /// The daemon gives up.
        Error = "error",
        /// Worth waking someone.
        Warn = "warn",
        /// Start, stop, reload.
        Info = "info",
        /// Branches off the happy path.
        Debug = "debug",
        /// Single packets.
        Trace = "trace",
    }
}

section! {
    /// `[usage]`: the record of who relayed how much.
    Usage {
        /// How long it is kept.
        retention: Duration = Duration::from_secs(400 * 86_400);
    }
}

section! {
    /// `[cluster]`: what several nodes share.
    Cluster {
        /// URL of Redis or Valkey. It may hold a password.
        redis: Option<Secret> = None;
    }
}
