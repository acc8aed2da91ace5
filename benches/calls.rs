//! How long does one relayed candidate take from its JSON to the JSON of the receiver, and what does it allocate?
//!
//! `cargo bench --bench calls`; with `-- --test` each piece runs once. Sockets and wires are not in these times.
#![allow(clippy::unwrap_used, clippy::wrong_self_convention)]

#[path = "../tests/support/counting.rs"]
mod counting;

use counting::{Counting, allocations_in};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use std::sync::Arc;
use turnstone::base::{Now, Random, Timestamp, UnixTime};
use turnstone::signaling::{Abilities, CallSettings, Calls, Command, Output, Party, Refusal, World};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CANDIDATE: &str =
    "candidate:842163049 1 udp 1677729535 203.0.113.7 46154 typ srflx raddr 10.0.0.17 rport 46154";

criterion_group!(benches, candidates, parsing);
criterion_main!(benches);

/// The calls take turns, so that each candidate meets another place of the tables.
fn candidates(criterion: &mut Criterion) {
    for pairs in [1, 1000] {
        let mut crowd = Crowd::of(pairs);
        let taken = allocations_in(|| (0..1000).for_each(|_| crowd.relay()));
        println!("{pairs} calls: {} heap allocations per relayed candidate", taken as f64 / 1000.0);
        let name = format!("how long does a relayed candidate take in {pairs} calls");
        criterion.bench_function(&name, |b| b.iter(|| crowd.relay()));
    }
}

fn parsing(criterion: &mut Criterion) {
    let event = event("user-0001");
    let name = format!("how long does reading a candidate of {} bytes take", event.len());
    criterion.bench_function(&name, |b| {
        b.iter(|| Command::parse("webrtc:ice-candidate", black_box(&event)));
    });
}

struct Crowd {
    calls: Calls,
    callers: Vec<(Party, String)>,
    turn: usize,
}

impl Crowd {
    /// So many calls between two, all of them talking.
    fn of(pairs: usize) -> Self {
        let mut calls = Calls::new(CallSettings::default(), Random::seeded(1), NOW.at);
        let mut callers = Vec::new();
        for n in 0..pairs {
            let (caller, callee) = (party(&format!("caller-{n:04}")), party(&format!("callee-{n:04}")));
            let mut say = |from: &Party, name: &str, data: String| {
                let command = Command::parse(name, &data).unwrap().unwrap();
                calls.on_command(NOW, from, 0, command, &Everybody);
                while let Some(output) = calls.next_output() {
                    assert!(!matches!(output, Output::Answer { result: Err(_), .. }), "{output:?}");
                }
            };
            let to_callee = format!(r#"{{"to":"{}","offer":{{}}}}"#, callee.user);
            say(&caller, "call:start", to_callee.clone());
            say(&caller, "webrtc:offer", to_callee);
            say(&callee, "webrtc:answer", format!(r#"{{"to":"{}","answer":{{}}}}"#, caller.user));
            callers.push((caller, event(&callee.user)));
        }
        Self { calls, callers, turn: 0 }
    }

    fn relay(&mut self) {
        self.turn = (self.turn + 1) % self.callers.len();
        let (caller, data) = &self.callers[self.turn];
        let command = Command::parse("webrtc:ice-candidate", black_box(data)).unwrap().unwrap();
        self.calls.on_command(NOW, caller, 7, command, &Everybody);
        while let Some(output) = self.calls.next_output() {
            black_box(&output);
        }
    }
}

const NOW: Now = Now { at: Timestamp::from_secs(1), unix: UnixTime(1_700_000_000) };

fn event(to: &str) -> String {
    format!(
        r#"{{"to":"{to}","candidate":{{"candidate":"{CANDIDATE}","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"kH7x"}}}}"#
    )
}

fn party(user: &str) -> Party {
    Party { user: Arc::from(user), device: Arc::from("device") }
}

/// Everybody is there, and may do everything.
struct Everybody;

impl World for Everybody {
    fn devices(&self, _: &str) -> Vec<Arc<str>> {
        vec![Arc::from("device")]
    }

    fn abilities(&self, _: &Party) -> Abilities {
        Abilities::default()
    }

    fn display_name(&self, _: &Party) -> Option<Arc<str>> {
        None
    }

    fn may_call(&self, _: &Party, _: &str) -> Result<(), Refusal> {
        Ok(())
    }

    fn is_in_room(&self, _: &Party, _: &str) -> bool {
        true
    }

    fn ice_servers(&self, _: Now, _: &str, _: &str, _: u64) -> Option<Box<str>> {
        None
    }
}
