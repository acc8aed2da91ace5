//! What the tests of this module share: made-up sources, a running server, a client on a raw socket.

use super::admin::serve_bounded;
use super::api::MintCounts;
use super::server::Bounds;
use super::{AdminSettings, CertificateState, PortCounts, PublicRefusals, Readiness, Reload, Sources};
use crate::metrics::Published;
use crate::storage::{Health, Store};
use crate::turn::Bandwidth;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

#[derive(Debug)]
pub(super) struct FakeSources {
    shards: Vec<Arc<Published>>,
    pub(super) readiness: Mutex<Readiness>,
    refusals: PublicRefusals,
    mint_counts: MintCounts,
}

impl FakeSources {
    pub(super) fn with_workers(count: usize) -> Self {
        Self {
            shards: (0..count).map(|_| Arc::default()).collect(),
            readiness: Mutex::default(),
            refusals: PublicRefusals::default(),
            mint_counts: MintCounts::default(),
        }
    }
}

impl Sources for FakeSources {
    fn shards(&self) -> &[Arc<Published>] {
        &self.shards
    }

    fn signaling(&self) -> Option<&Arc<Published>> {
        None
    }

    fn relay_ports(&self) -> PortCounts {
        PortCounts { used: 1, free: 2, quarantined: 3 }
    }

    fn bandwidth(&self) -> Bandwidth {
        Bandwidth { per_user: Some(4_000_000), ..Bandwidth::default() }
    }

    fn readiness(&self) -> Readiness {
        self.readiness.lock().expect("no test panics in it").clone()
    }

    fn certificates(&self) -> Option<CertificateState> {
        let ends_unix_s = vec![("turn.example.org".to_owned(), 1_800_000_000), ("::1".to_owned(), -1)];
        Some(CertificateState { all_current: false, ends_unix_s, held: Vec::new() })
    }

    fn last_reload(&self) -> Reload {
        Reload { successful: true, success_unix: 1_700_000_000 }
    }

    fn storage(&self) -> Option<Health> {
        Some(Store::closed("there is none in tests").health())
    }

    fn public_refusals(&self) -> &PublicRefusals {
        &self.refusals
    }

    fn mint_counts(&self) -> &MintCounts {
        &self.mint_counts
    }
}

/// An admin server on a loopback port of its own.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    pub(super) sources: Arc<FakeSources>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Running {
    pub(super) fn start(bounds: Bounds) -> Self {
        let settings = AdminSettings {
            address: (Ipv4Addr::LOCALHOST, 0).into(),
            allowed_hosts: vec!["turn.example.org".into()],
        };
        let listener = settings.bind().expect("loopback has a free port");
        let address = listener.local_addr().expect("bound");
        let sources = Arc::new(FakeSources::with_workers(2));
        let (stop, stopped) = oneshot::channel();
        let given = sources.clone();
        let task = tokio::spawn(async move {
            let stopped = async { stopped.await.unwrap_or(()) };
            serve_bounded(listener, &settings, given, None, bounds, stopped).await
        });
        Self { address, sources, stop, task }
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("listens")
    }

    /// A request with our own address as `Host`; the whole answer.
    pub(super) async fn request(&self, method: &str, path: &str) -> Answer {
        let address = self.address;
        self.raw(&format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")).await
    }

    /// These bytes on a new connection, and all that comes back until the server closes it.
    pub(super) async fn raw(&self, request: &str) -> Answer {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.expect("sent");
        Answer::read(&mut stream).await
    }

    pub(super) fn stop(self) -> JoinHandle<std::io::Result<()>> {
        // The server may have ended by itself; its result tells.
        let _ = self.stop.send(());
        self.task
    }
}

pub(super) struct Answer {
    pub(super) status: u16,
    /// In lower case.
    pub(super) head: String,
    /// As it came.
    pub(super) raw_head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) async fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A reset after the answer is the server closing on bytes that it never read.
        let _ = stream.read_to_end(&mut bytes).await;
        let text = String::from_utf8(bytes).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
        Self { status, head: head.to_ascii_lowercase(), raw_head: head.into(), body: body.into() }
    }

    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}
