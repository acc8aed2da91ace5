//! A config on one very host: every "auto" is an address here, every module has its settings.

use super::certificates::TlsPlan;
use crate::auth;
use crate::base::Transport;
use crate::http::api::{MintSettings, TokenSigner};
use crate::http::signaling::DriverSettings;
use crate::http::{PublicSettings, TokenSettings};
use crate::net::UdpOptions;
use crate::relay::ConnectionLimits;
use crate::relay::stream::StreamDoorSettings;
use crate::signaling::{self, Advertised, RelayOffer};
use crate::storage::StoreSettings;
use crate::turn::{LedgerSettings, PeerRules, Settings};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// A config, resolved.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The file that it was made from, key by key; secrets as stars.
    pub settings: Vec<(String, String)>,
    /// Host name of the server, when it has one.
    pub name: Option<String>,
    /// UDP listeners.
    pub doors: Vec<SocketAddr>,
    /// TCP and TLS listeners.
    pub streams: Vec<StreamDoorSettings>,
    /// Certificates, unless TLS is off.
    pub tls: Option<TlsPlan>,
    /// DTLS listeners; none in a build without the feature `dtls`.
    pub dtls: Option<DtlsPlan>,
    /// How many connections there may be.
    pub connections: ConnectionLimits,
    /// Admin HTTP, unless it is off.
    pub admin: Option<SocketAddr>,
    /// The Unix socket of the command line.
    pub admin_socket: PathBuf,
    /// The API key of the first operator.
    pub admin_key: Option<auth::ApiKeyHash>,
    /// Where durable state lives.
    pub storage: StoreSettings,
    /// How long the usage of a day is kept.
    pub usage_retention: std::time::Duration,
    /// Names by which admin HTTP may be asked for.
    pub admin_hosts: Vec<String>,
    /// Public HTTP.
    pub public: PublicSettings,
    /// How clients of signaling are spoken to.
    pub driver: DriverSettings,
    /// What they may do; without the relay, which [`Plan::hub_settings`] adds.
    pub hub: signaling::Settings,
    /// Relay shards, at least one.
    pub workers: usize,
    /// Each on a core of its own.
    pub pin_workers: bool,
    /// Kernel buffers and offloads of listeners.
    pub listener_options: UdpOptions,
    /// Kernel buffers and offloads of relay sockets.
    pub relay_options: UdpOptions,
    /// Relay addresses, ports and quotas.
    pub ledger: LedgerSettings,
    /// The state machine.
    pub turn: Settings,
    /// Credentials.
    pub auth: auth::Settings,
    /// Tokens of signaling clients, when somebody signs them.
    pub tokens: Option<TokenSettings>,
    /// How we sign such tokens ourselves, where the key is a shared secret.
    pub token_signer: Option<TokenSigner>,
    /// Peers.
    pub peers: PeerRules,
    /// Every address of this host, and the public ones in front of it.
    pub hosts: Vec<IpAddr>,
    /// What no client may reach: own listeners, admin, back ends.
    pub endpoints: Vec<SocketAddr>,
    /// Credentials a second, by whom they are minted and for whom.
    pub mints: MintRates,
    /// How long a drain may take.
    pub drain_timeout: std::time::Duration,
}

/// Credentials a second; none for any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MintRates {
    /// By one API key.
    pub per_key: Option<u32>,
    /// For one subject.
    pub per_user: Option<u32>,
    /// By users at one source.
    pub per_source: Option<u32>,
}

/// Where DTLS is spoken, and by which certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DtlsPlan {
    /// Its listeners.
    pub doors: Vec<SocketAddr>,
    /// The file of `tls.cert`.
    pub cert: PathBuf,
    /// The file of `tls.key`.
    pub key: PathBuf,
}

/// Why a config cannot be served on this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfit {
    /// The key at fault.
    pub key: &'static str,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub help: &'static str,
}

impl Plan {
    /// Every door as clients reach it: by the server's name where it has one, else a wildcard listener stands
    /// for every public relay address of its family.
    pub fn advertised_servers(&self) -> Vec<Advertised> {
        let udp = self.doors.iter().enumerate().filter(|(number, _)| !self.is_alternate(*number));
        let udp = udp.map(|(_, door)| (Transport::Udp, *door));
        let streams = self.streams.iter().flat_map(|door| door.transports().map(|t| (t, door.address)));
        let mut servers = Vec::new();
        let dtls = self.dtls_doors().iter().map(|door| (Transport::Dtls, *door));
        for (transport, address) in udp.chain(streams).chain(dtls) {
            for server in self.advertised(transport, address) {
                if !servers.contains(&server) {
                    servers.push(server);
                }
            }
        }
        servers
    }

    /// What the hub goes by, with the doors of the relay that calls hand out and the newest secret for them.
    pub fn hub_settings(&self) -> signaling::Settings {
        let relay = self.auth.secrets.first().map(|secret| RelayOffer {
            doors: self.advertised_servers(),
            secret: secret.clone(),
            variant: auth::Variant::Sha1,
        });
        signaling::Settings { relay, ..self.hub.clone() }
    }

    /// What the API mints credentials by: the newest secret, for the doors that listen.
    pub fn mint_settings(&self) -> MintSettings {
        MintSettings {
            secret: self.auth.secrets.first().cloned(),
            doors: self.advertised_servers(),
            ttl: self.auth.ttl,
            max_ttl: self.auth.max_ttl,
            per_key: self.mints.per_key,
            per_subject: self.mints.per_user,
            per_source: self.mints.per_source,
            realm: self.auth.realm.clone(),
            config_users: self.auth.users.keys().cloned().collect(),
            token_signer: self.token_signer.clone(),
        }
    }

    /// Whether there may be connections at all.
    pub fn takes_connections(&self) -> bool {
        !self.streams.is_empty() || self.public.address.is_some()
    }

    /// The DTLS listeners.
    pub fn dtls_doors(&self) -> &[SocketAddr] {
        self.dtls.as_ref().map_or(&[], |dtls| &dtls.doors)
    }

    fn advertised(&self, transport: Transport, door: SocketAddr) -> Vec<Advertised> {
        let of_family = self.ledger.addresses.iter().filter(|r| r.external.is_ipv4() == door.is_ipv4());
        match &self.name {
            Some(name) if !door.ip().is_loopback() => {
                vec![Advertised::named(transport, name, door.port())]
            }
            _ if door.ip().is_unspecified() => of_family
                .map(|relay| Advertised::literal(transport, SocketAddr::new(relay.external, door.port())))
                .collect(),
            _ => vec![Advertised::literal(transport, door)],
        }
    }

    /// Whether this door is there only for what another one is asked (RFC 5780).
    fn is_alternate(&self, door: usize) -> bool {
        self.turn.discovery.iter().any(|discovery| discovery.doors[1..].contains(&(door as u32)))
    }

    /// This plan as far as a daemon can follow it whose sockets were bound by `bound`: those and what
    /// hangs on them stay. What is really listened on stays closed to peers, whatever the file says now.
    pub fn within(self, bound: &Self) -> Self {
        let mut endpoints = bound.endpoints.clone();
        endpoints.extend(self.endpoints.iter().filter(|endpoint| !bound.endpoints.contains(endpoint)));
        let mut hosts = self.hosts;
        hosts.extend(bound.ledger.addresses.iter().flat_map(|relay| [relay.internal, relay.external]));
        hosts.extend(bound.turn.discovery.iter().flat_map(|discovery| discovery.external));
        let ledger = LedgerSettings {
            allocations_per_user: self.ledger.allocations_per_user,
            allocations_total: self.ledger.allocations_total,
            ..bound.ledger.clone()
        };
        Self {
            doors: bound.doors.clone(),
            streams: bound.streams.clone(),
            tls: bound.tls.as_ref().and_then(|tls| self.tls.or_else(|| Some(tls.clone()))),
            dtls: match (&bound.dtls, self.dtls) {
                (Some(bound), Some(file)) => Some(DtlsPlan { doors: bound.doors.clone(), ..file }),
                (bound, _) => bound.clone(),
            },
            admin: bound.admin,
            admin_socket: bound.admin_socket.clone(),
            admin_key: bound.admin_key,
            storage: bound.storage.clone(),
            public: self.public.within(&bound.public),
            // Live sessions are in a namespace by its place, and were told whether it recovers and when to expect a ping.
            driver: DriverSettings {
                namespaces: bound.driver.namespaces.clone(),
                ping_interval: bound.driver.ping_interval,
                ping_timeout: bound.driver.ping_timeout,
                ..self.driver
            },
            workers: bound.workers,
            pin_workers: bound.pin_workers,
            listener_options: bound.listener_options,
            relay_options: bound.relay_options,
            ledger,
            // Keys of live allocations were made with the realm; another would lock their owners out.
            turn: Settings {
                shards: bound.turn.shards,
                realm: bound.turn.realm.clone(),
                discovery: bound.turn.discovery.clone(),
                ..self.turn
            },
            auth: auth::Settings { realm: bound.auth.realm.clone(), ..self.auth },
            endpoints,
            hosts,
            ..self
        }
    }

    /// Keys by which the file of `other` differs from this one's, needing a restart or not.
    pub fn changes(&self, other: &Self) -> Vec<String> {
        let value = |settings: &[(String, String)], key: &str| {
            settings.iter().find(|(other, _)| other == key).map(|(_, value)| value.clone())
        };
        let keys = self.settings.iter().chain(&other.settings).map(|(key, _)| key);
        let mut changed: BTreeSet<String> =
            keys.filter(|key| value(&self.settings, key) != value(&other.settings, key)).cloned().collect();
        // Those are stars, whatever they are, and may come from a file of their own.
        for (key, same) in [
            ("auth.secrets", self.auth.secrets == other.auth.secrets),
            ("auth.users", self.auth.users == other.auth.users),
            ("auth.jwt", self.tokens == other.tokens),
        ] {
            if !same && !changed.iter().any(|changed| changed.starts_with(key)) {
                changed.insert(key.to_owned());
            }
        }
        changed.into_iter().collect()
    }

    /// Keys whose change needs a restart: what is bound at start.
    pub fn needs_restart(&self, other: &Self) -> Vec<&'static str> {
        let mut keys = Vec::new();
        let mut differ = |key, same: bool| {
            if !same {
                keys.push(key);
            }
        };
        differ(
            "listen",
            self.doors == other.doors
                && self.streams == other.streams
                && self.dtls_doors() == other.dtls_doors(),
        );
        let discovery = self.turn.discovery == other.turn.discovery;
        differ("listen.alternate or server.public_address", discovery);
        differ("tls.mode", self.tls.is_some() == other.tls.is_some());
        differ("http.admin", self.admin == other.admin);
        differ("admin.socket", self.admin_socket == other.admin_socket);
        differ("admin.key_file", self.admin_key == other.admin_key);
        differ("storage.path", self.storage == other.storage);
        differ("usage.retention", self.usage_retention == other.usage_retention);
        differ("http.public", self.public.address == other.public.address);
        differ("auth.jwt", self.tokens.is_some() == other.tokens.is_some());
        differ("signaling.enabled", self.public.signaling.is_some() == other.public.signaling.is_some());
        differ("signaling.socketio_paths", self.public.paths() == other.public.paths());
        let namespaces = self.driver.namespaces == other.driver.namespaces;
        differ("signaling.namespaces or signaling.namespaces_without_recovery", namespaces);
        let pings = |plan: &Self| (plan.driver.ping_interval, plan.driver.ping_timeout);
        differ("signaling.ping_interval or signaling.ping_timeout", pings(self) == pings(other));
        differ("relay.workers", self.workers == other.workers);
        differ("relay.pin_workers", self.pin_workers == other.pin_workers);
        differ("relay.addresses or server.public_address", self.ledger.addresses == other.ledger.addresses);
        differ("relay.ports", self.ledger.ports == other.ledger.ports);
        differ("relay.port_quarantine", self.ledger.quarantine == other.ledger.quarantine);
        differ("server.realm", self.turn.realm == other.turn.realm);
        let buffers = |options: &UdpOptions| (options.receive_bytes, options.send_bytes);
        let (ours, theirs) = (&self.relay_options, &other.relay_options);
        differ("relay.receive_buffer or relay.send_buffer", buffers(ours) == buffers(theirs));
        differ("relay.offload", ours.offload == theirs.offload);
        let (ours, theirs) = (&self.listener_options, &other.listener_options);
        differ("relay.listener_buffer", buffers(ours) == buffers(theirs));
        keys
    }
}
