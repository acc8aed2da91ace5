//! The dashboard: its login, its figures against `/metrics`, its orders, and names that want to be more than text.

use crate::caller::{Caller, Incoming, peer, receive};
use crate::daemon::PATIENCE;
use crate::house::{House, JWT_SECRET};
use crate::script::{chromium, run};
use serde_json::{Value, json};
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two rounds of a [`Talk`].
const ROUND: Duration = Duration::from_millis(5);

#[test]
fn the_dashboard_shows_what_metrics_count_and_ends_sessions() {
    const NAME: &str = "dashboard::the_dashboard_shows_what_metrics_count_and_ends_sessions";
    let Some(chromium) = chromium(NAME) else { return };
    let (mut house, mut callers) = (House::start(), Vec::new());
    let mut talk = Some(Talk::start(house.daemon.server));
    let facts = facts(&house);
    run("dashboard.mjs", &chromium, facts, |what, order| {
        let word = |name: &str| order[name].as_str().unwrap_or_default();
        match what {
            "allocate" => {
                let mut caller = Caller::of(house.daemon.server, word("username"), word("password"));
                caller.allocate();
                callers.push(caller);
            }
            "add_user" => {
                let user = json!({ "name": word("name"), "password": word("password") });
                let made = house.operator("POST", "/v1/users", &user.to_string());
                assert_eq!(made["name"], user["name"], "{made}");
            }
            "hush" => talk.take().expect("it talks").end(),
            "freeze" => house.daemon.signal(libc::SIGSTOP),
            "thaw" => house.daemon.signal(libc::SIGCONT),
            "restart" => {
                house.daemon.signal(libc::SIGINT);
                assert_eq!(house.daemon.exit_code(PATIENCE), 0);
                house.daemon.start_again();
            }
            "metrics" => return metrics(&house),
            other => panic!("{other}?"),
        }
        Value::Null
    });
}

#[test]
fn a_call_in_the_browser_is_on_the_dashboard_to_the_byte_and_gone_behind_its_end() {
    const NAME: &str =
        "dashboard::a_call_in_the_browser_is_on_the_dashboard_to_the_byte_and_gone_behind_its_end";
    let Some(chromium) = chromium(NAME) else { return };
    let house = House::start();
    run("dashboard_call.mjs", &chromium, facts(&house), |what, _| match what {
        "metrics" => metrics(&house),
        other => panic!("{other}?"),
    });
}

fn facts(house: &House) -> Value {
    let mut facts = house.facts();
    facts["admin"] = json!(format!("http://{}", house.daemon.admin));
    facts["admin_key"] = json!(house.key("admin"));
    facts["read_key"] = json!(house.key("read"));
    facts["jwt_secret"] = json!(JWT_SECRET);
    facts
}

fn metrics(house: &House) -> Value {
    let metrics = house.daemon.metrics();
    let way = |way: &str| metrics.sum(&format!("turnstone_relay_bytes_total{{direction=\"{way}\"")) as u64;
    json!({
        "in": way("from_client"),
        "out": way("from_peer"),
        "sessions": metrics.sum("turnstone_allocations{") as u64,
    })
}

/// A client and its peer, who say something to each other again and again.
struct Talk {
    stop: SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Talk {
    fn start(server: SocketAddr) -> Self {
        let (stop, stopped) = sync_channel(1);
        let thread = std::thread::spawn(move || {
            let (mut caller, peer) = (Caller::new(server), peer());
            let relayed = caller.allocate();
            assert_eq!(caller.permit(peer.local_addr().unwrap()).code, 0);
            while stopped.recv_timeout(ROUND) == Err(RecvTimeoutError::Timeout) {
                round(&mut caller, relayed, &peer);
            }
        });
        Self { stop, thread }
    }

    /// Returns when the last byte has arrived.
    #[track_caller]
    fn end(self) {
        self.stop.send(()).unwrap();
        self.thread.join().unwrap();
    }
}

fn round(caller: &mut Caller, relayed: SocketAddr, peer: &UdpSocket) {
    let at = peer.local_addr().unwrap();
    caller.send(at, &[1; 700]);
    assert_eq!(receive(peer).0.len(), 700);
    peer.send_to(&[2; 900], relayed).unwrap();
    assert_eq!(caller.receive(), Incoming::Data(at, vec![2; 900]));
}
