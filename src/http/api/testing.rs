//! What the tests of the API share: a store in a folder of its own, the three routers on loopback, a client.

use super::*;
use crate::auth::token::{KeySet, TokenRequest, TokenRules, issue};
use crate::auth::{ApiKey, ApiKeyHash, Revocations, Scope, Secret, StoredUser};
use crate::base::{Now, Random, Timestamp, Transport};
use crate::http::server::{Bounds, serve};
use crate::http::testing::{Answer, FakeSources};
use crate::http::{KeySets, KeySource, Pace, TokenSettings, WebClient};
use crate::signaling::Advertised;
use crate::storage::records::UserRecord;
use crate::storage::{Batch, Moment, Store, StoreSettings};
use crate::turn::{AllocationId, EndReason, Session};
use arc_swap::ArcSwap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket};

/// Signs the tokens of users.
pub(super) const JWT_SECRET: &str = "0123456789abcdef0123456789abcdef";

/// Signs credentials.
pub(super) const SECRET: &str = "a-secret-of-at-least-32-characters-00001";

/// The driver that never has time.
pub(super) const BUSY: usize = 9;

/// Jobs that a store lets wait.
const STORE_JOBS_MAX: usize = 4096;

/// The rest of the daemon, which notes what it is told.
#[derive(Debug, Default)]
pub(super) struct Noted {
    pub(super) revocations: Mutex<Vec<Arc<Revocations>>>,
    pub(super) users: Mutex<Vec<StoredUser>>,
    /// What is live, at one driver.
    pub(super) sessions: Mutex<Vec<Session>>,
    pub(super) ended: Mutex<Vec<(AllocationId, EndReason)>>,
    /// A driver has no time to hear of revocations.
    pub(super) is_busy: AtomicBool,
}

impl Control for Noted {
    fn now(&self) -> Now {
        Now { at: Timestamp::ZERO, unix: clock::now() }
    }

    fn sessions<'a>(&'a self, wanted: &'a (dyn Fn(&Session) -> bool + Sync)) -> Coming<'a, Seen> {
        let sessions = self.sessions.lock().expect("no test panics in it").clone();
        let sessions = sessions.into_iter().filter(wanted).map(|session| (0, session)).collect();
        Box::pin(async { Seen { sessions, missing: Vec::new() } })
    }

    fn session(&self, driver: usize, _: AllocationId) -> Coming<'_, Result<Option<Session>, Busy>> {
        Box::pin(async move { if driver == BUSY { Err(Busy) } else { Ok(None) } })
    }

    fn end(&self, driver: usize, allocation: AllocationId, why: EndReason) -> Coming<'_, Result<bool, Busy>> {
        let mut sessions = self.sessions.lock().expect("no test panics in it");
        let live = sessions.len();
        sessions.retain(|session| session.allocation != allocation);
        let was_there = sessions.len() < live;
        if was_there {
            self.ended.lock().expect("no test panics in it").push((allocation, why));
        }
        Box::pin(async move { if driver == BUSY { Err(Busy) } else { Ok(was_there) } })
    }

    fn revoke(&self, revocations: Arc<Revocations>) -> Coming<'_, Option<usize>> {
        self.revocations.lock().expect("no test panics in it").push(revocations);
        let told = (!self.is_busy.load(Ordering::Relaxed)).then_some(0);
        Box::pin(async move { told })
    }

    fn set_users(&self, users: Vec<StoredUser>) -> Coming<'_, bool> {
        *self.users.lock().expect("no test panics in it") = users;
        Box::pin(async { true })
    }
}

/// A daemon that lies at anchor.
#[derive(Debug)]
struct Anchored;

impl Steering for Anchored {
    fn doors(&self) -> Vec<(Transport, SocketAddr)> {
        vec![(Transport::Udp, (Ipv4Addr::LOCALHOST, 3478).into())]
    }

    fn http(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        (None, None)
    }

    fn uptime(&self) -> Duration {
        Duration::from_secs(61)
    }

    fn sessions(&self) -> u32 {
        2
    }

    fn sessions_max(&self) -> Option<u32> {
        Some(50)
    }

    fn rate(&self) -> (u64, u64) {
        (1000, 2000)
    }

    fn reload(&self) -> Coming<'_, Option<Result<Reloaded, Vec<Fault>>>> {
        let fault = Fault { at: "t.toml:1:1".into(), message: "nonsense".into(), help: "write sense".into() };
        Box::pin(async { Some(Err(vec![fault])) })
    }

    fn drain(&self, _: bool) -> Coming<'_, Option<bool>> {
        Box::pin(async { None })
    }
}

impl Noted {
    /// The users that were told last.
    pub(super) fn user_names(&self) -> Vec<String> {
        self.users.lock().expect("no test panics in it").iter().map(|user| user.name().to_owned()).collect()
    }
}

/// The API on three ports of loopback. Needs a runtime around it.
pub(super) struct Api {
    pub(super) services: Shared,
    pub(super) control: Arc<Noted>,
    pub(super) public: SocketAddr,
    pub(super) admin: SocketAddr,
    pub(super) socket: SocketAddr,
    _folder: TempDir,
}

impl Api {
    pub(super) fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = StoreSettings { path: folder.path().into(), probe: None };
        Self::with(Store::open(&settings).expect("opens"), folder)
    }

    /// One whose disk can be stopped.
    pub(super) fn with_slow_disk() -> (Self, Disk) {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = StoreSettings { path: folder.path().into(), probe: None };
        let disk = Disk::default();
        let watched = disk.clone();
        let store = Store::open_watched(&settings, move |moment| watched.write(moment)).expect("opens");
        (Self::with(store, folder), disk)
    }

    /// Has somebody ask for something while the store takes nothing more, and for the same again once it does.
    pub(super) async fn refused_once(&self, disk: &Disk, method: &str, path: &str) -> [Answer; 2] {
        disk.stop();
        let write =
            || self.services.store.commit_then(Batch::new().delete(UserRecord::key_of("nobody")), |_| ());
        write();
        eventually(|| disk.is_waited_for()).await;
        // From now on nothing leaves the places of those that wait.
        (0..=STORE_JOBS_MAX).for_each(|_| write());
        let refused = self.local(method, path, "").await;
        disk.go_on();
        let has_room = async { while self.services.store.commit(Batch::new()).await.is_err() {} };
        tokio::time::timeout(Duration::from_secs(10), has_room).await.expect("it has room again");
        [refused, self.local(method, path, "").await]
    }

    pub(super) fn without_store() -> Self {
        Self::with(Store::closed("it is broken"), tempfile::tempdir().expect("a folder"))
    }

    fn with(store: Store, folder: TempDir) -> Self {
        let kept = Kept::read(&store);
        let sources = FakeSources::with_workers(1);
        sources.readiness.lock().expect("free").unknown_revocations = kept.is_err();
        let kept = kept.unwrap_or_default();
        let control = Arc::new(Noted::default());
        let services = Arc::new(Services {
            store,
            control: control.clone(),
            steering: Arc::new(Anchored),
            sources: Arc::new(sources),
            keys: ArcSwap::from_pointee(kept.keys),
            making_keys: Default::default(),
            logins: Default::default(),
            tokens: Some(TokenJudge::new(key_sets())),
            minting: Arc::new(ArcSwap::from_pointee(Minting::new(&mint_settings()))),
            revocations: Orders::new(kept.revocations, kept.ended_calls),
            users: Users::new(kept.users),
            signaling: None,
            ids: Ids::new(Random::seeded(7)),
            desk: Arc::new(Desk::new(0)),
        });
        let public = served(public_routes(&services));
        let admin = served(admin_routes(&services));
        let socket = served(socket_routes(&services));
        Self { services, control, public, admin, socket, _folder: folder }
    }

    /// A key with these scopes, which nobody made over HTTP.
    pub(super) fn key(&self, scopes: &[Scope]) -> String {
        let text = crate::auth::api_key_text(self.services.ids.bytes());
        let id = self.services.ids.next("key");
        let key =
            ApiKey { id: id.into(), name: "test".into(), scopes: scopes.to_vec(), created_at: clock::now() };
        self.services.keys.rcu(|keys| keys.with(ApiKeyHash::of(&text), key.clone()));
        text
    }

    /// Who may open the socket asks for something.
    pub(super) async fn local(&self, method: &str, path: &str, body: &str) -> Answer {
        ask(self.socket, method, path, &[], body).await
    }

    /// An operator with this key, or token, asks for something.
    pub(super) async fn operator(&self, key: &str, method: &str, path: &str, body: &str) -> Answer {
        ask(self.admin, method, path, &[&bearer(key)], body).await
    }

    /// An app with this key, or a user with a token, asks for something.
    pub(super) async fn app(&self, key: &str, method: &str, path: &str, body: &str) -> Answer {
        ask(self.public, method, path, &[&bearer(key)], body).await
    }
}

/// A disk that takes nothing while it stands still.
#[derive(Clone, Default)]
pub(super) struct Disk(Arc<(Mutex<Standing>, Condvar)>);

#[derive(Default)]
struct Standing {
    still: bool,
    /// Commits that began while it stood still.
    begun: usize,
}

impl Disk {
    pub(super) fn stop(&self) {
        self.0.0.lock().expect("no test panics in it").still = true;
    }

    pub(super) fn go_on(&self) {
        self.0.0.lock().expect("no test panics in it").still = false;
        self.0.1.notify_all();
    }

    /// Whether somebody waits for it.
    pub(super) fn is_waited_for(&self) -> bool {
        self.0.0.lock().expect("no test panics in it").begun > 0
    }

    fn write(&self, moment: Moment) {
        let Moment::Begun(_) = moment else { return };
        let mut standing = self.0.0.lock().expect("no test panics in it");
        standing.begun += usize::from(standing.still);
        // A test that fails leaves it standing, and the store waits for its thread.
        let patience = Duration::from_secs(30);
        let _goes_on = self.0.1.wait_timeout_while(standing, patience, |standing| standing.still);
    }
}

/// Waits until it is so.
pub(super) async fn eventually(is_so: impl Fn() -> bool) {
    let looking = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), looking).await.expect("it never came");
}

/// Three doors, no limits.
pub(super) fn mint_settings() -> MintSettings {
    let door = |transport, port| Advertised::named(transport, "turn.example.org", port);
    MintSettings {
        secret: Some(Secret::new(SECRET)),
        doors: vec![door(Transport::Tls, 443), door(Transport::Udp, 3478), door(Transport::Tcp, 3478)],
        ttl: Duration::from_secs(3600),
        max_ttl: Duration::from_secs(86_400),
        per_key: None,
        per_subject: None,
        per_source: None,
        realm: "turn".into(),
        config_users: ["bob".to_owned()].into(),
        token_signer: Some(TokenSigner { secret: Secret::new(JWT_SECRET), rules: TokenRules::default() }),
    }
}

fn served(router: Router) -> SocketAddr {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
    listener.set_nonblocking(true).expect("a socket");
    let address = listener.local_addr().expect("bound");
    let listener = TcpListener::from_std(listener).expect("a runtime");
    tokio::spawn(serve(listener, router, Bounds::default(), std::future::pending()));
    address
}

fn key_sets() -> KeySets {
    let keys = KeySource::Fixed(KeySet::from_secret(&Secret::new(JWT_SECRET)).expect("long"));
    let settings = TokenSettings { keys, rules: TokenRules::default(), query: false, cookie: None };
    let client = WebClient::new().expect("TLS offers something");
    KeySets::start(settings, client, Pace::default(), Random::seeded(8))
}

pub(super) fn bearer(key: &str) -> String {
    format!("Authorization: Bearer {key}")
}

/// A token of this user, good for a minute.
pub(super) fn token(user: &str) -> String {
    token_of(user, None)
}

/// The same, which also says what to call the user.
pub(super) fn token_of(user: &str, name: Option<&str>) -> String {
    let issued_unix_s = clock::now().0;
    let (device, rooms) = (None, &[][..]);
    let request = TokenRequest {
        subject: user,
        device,
        name,
        rooms,
        issued_unix_s,
        expires_unix_s: issued_unix_s + 60,
    };
    issue(&Secret::new(JWT_SECRET), &TokenRules::default(), request).expect("a good request")
}

/// One request with these further lines in its head, and the whole answer.
pub(super) async fn ask(server: SocketAddr, method: &str, path: &str, lines: &[&str], body: &str) -> Answer {
    ask_from(Ipv4Addr::LOCALHOST, server, method, path, lines, body).await
}

/// The same, from this address.
pub(super) async fn ask_from(
    source: Ipv4Addr,
    server: SocketAddr,
    method: &str,
    path: &str,
    lines: &[&str],
    body: &str,
) -> Answer {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind((source, 0).into()).expect("all of 127.0.0.0/8 is ours");
    let mut stream = socket.connect(server).await.expect("listens");
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\nContent-Length: {}\r\n{lines}\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).await.expect("sent");
    Answer::read(&mut stream).await
}
