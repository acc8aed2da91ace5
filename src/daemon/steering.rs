//! The daemon's loop as the API sees it: what it tells at once, and orders that it takes one after the other.

use super::relays::Relays;
use crate::base::Transport;
use crate::config::Plan;
use crate::http::api::{Coming, Fault, Reloaded, Steering};
use crate::metrics::{Direction, Published, Snapshot, relay_bytes};
use crate::relay::Registry;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Orders that wait; whoever gives one more waits too.
const ORDERS_MAX: usize = 16;

/// How often what was relayed is looked at.
pub(super) const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// Looks that a rate is made of: workers publish a few times a second, so two would show their pace too.
const SAMPLES: usize = 4;

/// What the loop is told to do, with the way back.
#[derive(Debug)]
pub(super) enum Order {
    Reload(oneshot::Sender<Result<Reloaded, Vec<Fault>>>),
    Drain(bool, oneshot::Sender<bool>),
}

/// The other end, for the API.
#[derive(Debug)]
pub(super) struct Helm {
    orders: mpsc::Sender<Order>,
    doors: Vec<(Transport, SocketAddr)>,
    http: (Option<SocketAddr>, Option<SocketAddr>),
    started: Instant,
    registry: Arc<Registry>,
    published: Vec<Arc<Published>>,
    samples: Mutex<VecDeque<Sample>>,
}

/// Bytes relayed until a moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Instant,
    from_client: u64,
    from_peer: u64,
}

impl Helm {
    /// The helm of a daemon that begins to serve, and where its orders come out.
    pub(super) fn new(plan: &Plan, relays: &Relays) -> (Arc<Self>, mpsc::Receiver<Order>) {
        let (orders, taken) = mpsc::channel(ORDERS_MAX);
        let helm = Self {
            orders,
            doors: relays.addresses().to_vec(),
            http: (plan.public.address, plan.admin),
            started: Instant::now(),
            registry: relays.registry_handle(),
            published: relays.published().to_vec(),
            samples: Mutex::default(),
        };
        helm.sample();
        (Arc::new(helm), taken)
    }

    /// Notes what was relayed until now.
    pub(super) fn sample(&self) {
        let sum = Snapshot::sum(self.published.iter().map(|worker| &**worker));
        let bytes = |direction| {
            Transport::ALL.iter().map(|transport| sum.value(relay_bytes(direction, *transport))).sum()
        };
        let (from_client, from_peer) = (bytes(Direction::FromClient), bytes(Direction::FromPeer));
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.push_back(Sample { at: Instant::now(), from_client, from_peer });
        if samples.len() > SAMPLES {
            samples.pop_front();
        }
    }

    /// `None` when the loop takes no orders any more.
    async fn order<T>(&self, order: impl FnOnce(oneshot::Sender<T>) -> Order) -> Option<T> {
        let (answer, coming) = oneshot::channel();
        self.orders.send(order(answer)).await.ok()?;
        coming.await.ok()
    }
}

impl Steering for Helm {
    fn doors(&self) -> Vec<(Transport, SocketAddr)> {
        self.doors.clone()
    }

    fn http(&self) -> (Option<SocketAddr>, Option<SocketAddr>) {
        self.http
    }

    fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    fn sessions(&self) -> u32 {
        self.registry.allocations()
    }

    fn sessions_max(&self) -> Option<u32> {
        self.registry.allocations_max()
    }

    fn rate(&self) -> (u64, u64) {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(first), Some(last)) = (samples.front(), samples.back()) else { return (0, 0) };
        let s = last.at.duration_since(first.at).as_secs_f64();
        let per_second = |first: u64, last: u64| match s > 0.0 {
            true => (last.saturating_sub(first) as f64 / s) as u64,
            false => 0,
        };
        (per_second(first.from_client, last.from_client), per_second(first.from_peer, last.from_peer))
    }

    fn reload(&self) -> Coming<'_, Option<Result<Reloaded, Vec<Fault>>>> {
        Box::pin(self.order(Order::Reload))
    }

    fn drain(&self, draining: bool) -> Coming<'_, Option<bool>> {
        Box::pin(self.order(move |answer| Order::Drain(draining, answer)))
    }
}
