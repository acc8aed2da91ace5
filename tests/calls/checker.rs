//! What must hold whatever anybody does, judged from inputs and outputs alone: it knows no states.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use turnstone::metrics::{CallState, CounterSet, EndReason, calls_ended, calls_entered, calls_left};
use turnstone::signaling::{CallRecord, Callee, DeviceChange, Output};

#[derive(Debug, Default)]
pub(crate) struct Checker {
    pending: Option<Command>,
    calls: BTreeMap<String, Call>,
    /// Device, call and sending device: the last `seq`.
    streams: BTreeMap<(String, String, String), u64>,
    counters: CounterSet,
}

#[derive(Debug)]
struct Command {
    device: String,
    event: String,
    data: Value,
    request: u64,
    answered: bool,
}

/// What outsiders know of a call.
#[derive(Debug, Default)]
struct Call {
    /// Devices that ring, and since when nobody told them to stop.
    ringing: BTreeSet<String>,
    /// Devices that have a screen with this call on it: caller, winner, members.
    bound: BTreeSet<String>,
    caller: Option<String>,
    /// The two users, as the callee was told.
    users: BTreeSet<String>,
    winners: Vec<String>,
    told_the_end: BTreeSet<String>,
    /// It was live when the daemon was killed.
    is_restored: bool,
    ended: bool,
}

impl Checker {
    /// A device says something.
    pub(crate) fn said(&mut self, device: &str, event: &str, data: &str, request: u64) {
        let data = serde_json::from_str(data).expect("was read as JSON");
        let (device, event) = (device.to_owned(), event.to_owned());
        self.pending = Some(Command { device, event, data, request, answered: false });
    }

    /// All outputs of the last command are seen.
    pub(crate) fn is_answered(&mut self) {
        assert!(self.pending.take().expect("a command").answered, "a command without answer");
    }

    pub(crate) fn device(&mut self, device: &str, change: DeviceChange) {
        if change == DeviceChange::Gone {
            // Nobody is there to be told.
            self.calls.values_mut().for_each(|call| call.ringing.retain(|other| other != device));
        }
    }

    pub(crate) fn came(&mut self, output: &Output) {
        match output {
            Output::Answer { request, result } => self.answered(*request, result.as_deref().ok()),
            Output::Emit { to, event, data } => {
                assert!(
                    self.pending.as_ref().is_none_or(|command| command.answered),
                    "an event before the answer"
                );
                let data: Value = serde_json::from_str(data).expect("events are JSON");
                let id = data["call_id"].as_str().expect("events name their call").to_owned();
                let devices: Vec<_> = to.as_slice().iter().map(|party| party.device.to_string()).collect();
                let unique: BTreeSet<_> = devices.iter().collect();
                assert!(
                    !devices.is_empty() && unique.len() == devices.len(),
                    "each device once: {devices:?}"
                );
                for device in devices {
                    self.emitted(&device, event, &id, &data);
                }
            }
            Output::Ended(record) => self.ended(record),
            Output::Count(id) => self.counters.increment(*id),
            Output::Live(call) => {
                assert!(!self.calls.get(&*call.id).is_some_and(|known| known.ended), "kept after its end");
            }
            Output::SetUp(_) => {}
        }
    }

    /// The daemon is another one, which knows these calls: none that lives is forgotten, none that ended lives again.
    pub(crate) fn restarted<'a>(&mut self, kept: impl Iterator<Item = &'a str>) {
        let live = self.calls.iter().filter(|(_, call)| !call.ended).map(|(id, _)| id.as_str());
        assert_eq!(live.collect::<Vec<_>>(), kept.collect::<Vec<_>>(), "live calls, and those that are kept");
        for state in CallState::ALL {
            while self.counters.value(calls_left(*state)) < self.counters.value(calls_entered(*state)) {
                self.counters.increment(calls_left(*state));
            }
        }
        // Whoever rang has no session, and is asked anew.
        for call in self.calls.values_mut().filter(|call| !call.ended) {
            call.ringing.clear();
            call.is_restored = true;
        }
    }

    /// All calls ended, and the books are balanced.
    pub(crate) fn nothing_is_left(&self) {
        for (id, call) in &self.calls {
            assert!(call.ended, "{id} lives on: {call:?}");
            assert!(call.ringing.is_empty(), "{id} still rings: {call:?}");
        }
        for state in CallState::ALL {
            let count = |id| self.counters.value(id);
            assert_eq!(count(calls_entered(*state)), count(calls_left(*state)), "{state:?}");
        }
        let ended: u64 = EndReason::ALL.iter().map(|reason| self.counters.value(calls_ended(*reason))).sum();
        assert_eq!(ended as usize, self.calls.len(), "each call ends once");
    }

    fn answered(&mut self, request: u64, result: Option<&str>) {
        let command = self.pending.as_mut().expect("an answer without a command");
        assert_eq!(request, command.request);
        assert!(!std::mem::replace(&mut command.answered, true), "two answers");
        let Some(result) = result else { return };
        let result: Value = serde_json::from_str(result).expect("answers are JSON objects");
        assert!(result.is_object());
        let device = command.device.clone();
        match command.event.as_str() {
            "call:start" | "call:accepted" | "call:join" => {
                let call = self.calls.entry(id_of(&result)).or_default();
                assert!(!call.ended, "a good answer for an ended call");
                match result["role"].as_str().expect("a role") {
                    "caller" => {
                        assert_eq!(*call.caller.get_or_insert_with(|| device.clone()), device);
                        call.bound.insert(device);
                    }
                    "member" => {
                        call.told_the_end.remove(&device);
                        call.bound.insert(device);
                    }
                    _ => {}
                }
            }
            "call:rejected" | "call:end" | "call:leave" => self.turned_down(&device),
            _ => {}
        }
    }

    /// A device has put a call away by itself and needs not be told.
    fn turned_down(&mut self, device: &str) {
        let command = self.pending.as_ref().expect("a command");
        let named = command.data["call_id"].as_str().map(str::to_owned);
        let to = command.data["to"].as_str().map(str::to_owned);
        let is_meant = |id: &str, call: &Call| match (&named, &to) {
            (Some(named), _) => named == id,
            (None, Some(to)) => call.users == [to, &device[..1]].map(str::to_owned).into(),
            (None, None) => true,
        };
        for (id, call) in &mut self.calls {
            if !call.ended && is_meant(id, call) {
                call.ringing.remove(device);
                call.bound.remove(device);
            }
        }
    }

    fn emitted(&mut self, device: &str, event: &str, id: &str, data: &Value) {
        let call = self.calls.entry(id.to_owned()).or_default();
        assert!(!call.ended, "{event} for {device} after the end of {id}");
        assert!(
            !call.told_the_end.contains(device) || event == "call:incoming",
            "{event} for {device} after its end"
        );
        match event {
            "call:incoming" => {
                assert!(call.winners.is_empty(), "it rings on after it was taken");
                call.users =
                    ["caller_id", "callee_id"].map(|key| data[key].as_str().unwrap().to_owned()).into();
                call.told_the_end.remove(device);
                call.ringing.insert(device.to_owned());
            }
            "call:accepted" => {
                let winner = data["device_id"].as_str().expect("a device").to_owned();
                call.ringing.remove(&winner);
                call.bound.insert(winner.clone());
                call.winners.push(winner);
                assert_eq!(call.winners.len(), 1, "two winners");
            }
            "call:end" => {
                assert!(call.told_the_end.insert(device.to_owned()), "{device} is told twice");
                call.ringing.remove(device);
                call.bound.remove(device);
            }
            "call:member" if data["state"] == "left" => {
                let gone = data["device"].as_str().expect("a device");
                call.bound.remove(gone);
                // It may come back, as a new member that counts anew.
                self.streams.retain(|(to, call, from), _| call != id || to != gone && from != gone);
            }
            _ if event.starts_with("webrtc:") => self.relayed(device, event, id, data),
            _ => {}
        }
    }

    fn relayed(&mut self, device: &str, event: &str, id: &str, data: &Value) {
        let from = data["from_device"].as_str().expect("a sender").to_owned();
        assert_ne!(from, device, "a device hears itself");
        let call = &self.calls[id];
        let may_hear = call.ringing.contains(device) || call.bound.contains(device);
        assert!(may_hear, "{device} is no party of {id}");
        let seq = data["seq"].as_u64().expect("a number");
        let stream = (device.to_owned(), id.to_owned(), from);
        let last = self.streams.insert(stream, seq);
        assert!(last < Some(seq), "out of order");
        // Which members of a group have described themselves to which others is not kept.
        let may_be_first = event != "webrtc:ice-candidate" || call.is_restored && call.caller.is_none();
        assert!(last.is_some() || may_be_first, "a candidate before its description");
    }

    fn ended(&mut self, record: &CallRecord) {
        let call = self.calls.entry(record.id.to_string()).or_default();
        assert!(!std::mem::replace(&mut call.ended, true), "{} ends twice", record.id);
        assert!(call.ringing.is_empty(), "left ringing: {call:?}");
        assert!(call.bound.is_empty(), "not told of the end: {call:?}");
        let winner = call.winners.first().map(String::as_str);
        if let Callee::User { device, .. } = &record.callee {
            assert_eq!(device.as_deref(), winner);
            assert_eq!(record.answered.is_some(), winner.is_some());
        }
        let id = record.id.to_string();
        self.streams.retain(|(_, call, _), _| *call != id);
    }
}

fn id_of(value: &Value) -> String {
    value["call_id"].as_str().expect("a call id").to_owned()
}
