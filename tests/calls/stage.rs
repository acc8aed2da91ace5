//! The calls with a virtual clock; every output passes the checker.

use super::checker::Checker;
use super::house::{House, party};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;
use turnstone::base::{Now, Random, Timestamp, UnixTime};
use turnstone::metrics::EndReason;
use turnstone::signaling::{
    CallRecord, CallSettings, Calls, Census, Command, DeviceChange, LiveCall, Output,
};

const EPOCH_S: u64 = 1_700_000_000;
const START_S: u64 = 1000;

pub(crate) struct Stage {
    pub(crate) calls: Calls,
    calls_settings: CallSettings,
    pub(crate) house: House,
    pub(crate) now: Timestamp,
    pub(crate) checker: Checker,
    /// Events since they were last asked for: who got it, its name, its data.
    pub(crate) heard: Vec<(Vec<String>, &'static str, Value)>,
    pub(crate) records: Vec<CallRecord>,
    /// Live calls, as a storage would have them.
    pub(crate) kept: BTreeMap<String, LiveCall>,
    requests: u64,
}

impl Stage {
    /// With these devices there.
    pub(crate) fn with(devices: &[&str], settings: CallSettings) -> Self {
        let now = Timestamp::from_secs(START_S);
        let mut stage = Self {
            calls: Calls::new(settings.clone(), Random::seeded(7), now),
            calls_settings: settings,
            house: House::default(),
            now,
            checker: Checker::default(),
            heard: Vec::new(),
            records: Vec::new(),
            kept: BTreeMap::new(),
            requests: 0,
        };
        stage.calls.keep_live_calls();
        stage.house.present = devices.iter().map(|device| (*device).to_owned()).collect();
        stage
    }

    /// With the defaults.
    pub(crate) fn of(devices: &[&str]) -> Self {
        Self::with(devices, CallSettings::default())
    }

    pub(crate) fn clock(&self) -> Now {
        Now { at: self.now, unix: UnixTime(EPOCH_S + self.now.as_secs() - START_S) }
    }

    /// A device sends an event and gets the answer: its object, or the code of the refusal.
    pub(crate) fn say_raw(&mut self, device: &str, event: &str, data: &str) -> Result<Value, &'static str> {
        let command = match Command::parse(event, data).expect("an event of calls") {
            Ok(command) => command,
            Err(refusal) => return Err(refusal.code_text()),
        };
        self.requests += 1;
        self.checker.said(device, event, data, self.requests);
        self.calls.on_command(self.clock(), &party(device), self.requests, command, &self.house);
        let answer = self.drain().expect("every command is answered");
        self.checker.is_answered();
        answer
    }

    pub(crate) fn say(&mut self, device: &str, event: &str, data: Value) -> Result<Value, &'static str> {
        self.say_raw(device, event, &data.to_string())
    }

    pub(crate) fn device(&mut self, device: &str, change: DeviceChange) {
        match change {
            DeviceChange::Gone => drop(self.house.present.remove(device)),
            _ => drop(self.house.present.insert(device.to_owned())),
        }
        self.checker.device(device, change);
        self.calls.on_device(self.clock(), &party(device), change, &self.house);
        self.drain();
    }

    pub(crate) fn end_user(&mut self, device: &str, reason: EndReason) {
        self.calls.end_user(self.clock(), &party(device), reason);
        self.drain();
    }

    pub(crate) fn left_room(&mut self, device: &str, room: &str) {
        self.house.rooms.remove(&(room.to_owned(), device.to_owned()));
        self.calls.on_room_left(self.clock(), &party(device), room);
        self.drain();
    }

    pub(crate) fn shutdown(&mut self) {
        self.calls.shutdown(self.clock());
        self.drain();
    }

    /// The daemon is killed and starts again after a while; every client has yet to come back.
    pub(crate) fn restart(&mut self, away: Duration) {
        self.restart_known(away, None);
    }

    /// The same, and it is known how long it ran.
    pub(crate) fn restart_known(&mut self, away: Duration, ran_until: Option<UnixTime>) {
        self.now = self.now.after(away);
        let mut calls = Calls::new(self.calls_settings.clone(), Random::seeded(self.requests), self.now);
        calls.keep_live_calls();
        ran_until.into_iter().for_each(|time| calls.ran_until(time));
        calls.restore(self.clock(), self.kept.values().cloned());
        self.calls = calls;
        self.house.present.clear();
        self.checker.restarted(self.kept.keys().map(String::as_str));
        assert_eq!(self.calls.census().calls, self.kept.len());
        self.drain();
    }

    /// Time passes as a driver lets it: from deadline to deadline.
    pub(crate) fn pass(&mut self, span: Duration) {
        let end = self.now.after(span);
        let mut wakeups = 0;
        while let Some(next) = self.calls.next_deadline().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.calls.on_deadline(self.clock(), &self.house);
            self.drain();
            wakeups += 1;
            assert!(wakeups < 100_000, "timers that fire without end");
        }
        self.now = end;
    }

    pub(crate) fn secs(&mut self, secs: u64) {
        self.pass(Duration::from_secs(secs));
    }

    /// What everybody heard since the last time, in order: receivers, event, and what matters of it.
    pub(crate) fn events(&mut self) -> Vec<String> {
        let told = self.heard.drain(..);
        told.map(|(to, event, data)| format!("{} {event}{}", to.join(" "), gist(event, &data))).collect()
    }

    /// The data of the latest event of this name.
    pub(crate) fn latest(&self, event: &str) -> &Value {
        let found = self.heard.iter().rev().find(|(_, name, _)| *name == event);
        &found.unwrap_or_else(|| panic!("nobody heard {event}")).2
    }

    /// How all calls ended so far.
    pub(crate) fn reasons(&self) -> Vec<EndReason> {
        self.records.iter().map(|record| record.reason).collect()
    }

    /// Everybody goes, time passes, and nothing may be left.
    pub(crate) fn close(&mut self) {
        for device in self.house.present.clone() {
            self.device(&device, DeviceChange::Gone);
        }
        self.secs(600);
        self.checker.nothing_is_left();
        assert_eq!(self.calls.census(), Census::default());
        assert_eq!(self.calls.next_deadline(), None);
    }

    fn drain(&mut self) -> Option<Result<Value, &'static str>> {
        let mut answer = None;
        while let Some(output) = self.calls.next_output() {
            self.checker.came(&output);
            match output {
                Output::Answer { result, .. } => {
                    let result = result.map(|json| serde_json::from_str(&json).expect("is JSON"));
                    answer = Some(result.map_err(|refusal| refusal.code_text()));
                }
                Output::Emit { to, event, data } => {
                    let to = to.as_slice().iter().map(|party| party.device.to_string()).collect();
                    self.heard.push((to, event, serde_json::from_str(&data).expect("is JSON")));
                }
                Output::Live(call) => {
                    let (rev, before) = (call.rev, self.kept.insert(call.id.to_string(), *call));
                    assert_eq!(rev == 0, before.is_none(), "a call begins once, with number 0: {rev}");
                }
                Output::Ended(record) => {
                    self.kept.remove(&*record.id);
                    self.records.push(*record);
                }
                Output::Count(_) | Output::SetUp(_) => {}
            }
        }
        answer
    }
}

fn gist(event: &str, data: &Value) -> String {
    let field = match event {
        "call:end" | "call:rejected" => &data["reason"],
        "call:peer-state" => &data["state"],
        "call:member" => return format!(" {} {}", text(&data["device"]), text(&data["state"])),
        "webrtc:ice-candidate" => &data["candidate"],
        _ => return String::new(),
    };
    format!(" {}", text(field))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
