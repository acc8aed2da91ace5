//! Stories told by numbers: whoever picks them, every choice is a step that clients, networks and clocks can take.

use super::stage::Stage;
use std::time::Duration;
use turnstone::metrics::EndReason;
use turnstone::signaling::{Abilities, BusyPolicy, CallSettings, DeviceChange, RejectScope};

const DEVICES: [&str; 6] = ["a1", "a2", "b1", "b2", "c1", "c2"];
const ROOMS: [&str; 2] = ["r", "s"];

/// Where the choices come from: a number below the bound.
pub(crate) trait Choices {
    fn below(&mut self, bound: u32) -> u32;
}

pub(crate) struct Story {
    pub(crate) stage: Stage,
    /// Ids that were seen, for messages about old calls.
    ids: Vec<String>,
    /// The steps so far, for whoever has to find out what went wrong.
    pub(crate) log: Vec<String>,
}

impl Story {
    /// Settings, abilities and who is there are choices, too.
    pub(crate) fn begin(choices: &mut dyn Choices) -> Self {
        let settings = CallSettings {
            busy: [BusyPolicy::Reject, BusyPolicy::Device, BusyPolicy::Waiting][choices.below(3) as usize],
            reject_scope: [RejectScope::User, RejectScope::Device][choices.below(2) as usize],
            explicit_accept: choices.below(4) == 0,
            max_duration: (choices.below(4) == 0).then_some(Duration::from_secs(90)),
            group_members: 2 + choices.below(3) as usize,
            calls_per_user: 1 + choices.below(6) as usize,
            calls_per_device: 1 + choices.below(3) as usize,
            calls_total: 2 + choices.below(6) as usize,
            ..CallSettings::default()
        };
        let mut stage = Stage::with(&DEVICES, settings);
        for device in DEVICES {
            let abilities = Abilities {
                glare: choices.below(3) == 0,
                report: choices.below(3) == 0,
                explicit_accept: choices.below(4) == 0,
            };
            stage.house.abilities.insert(device.to_owned(), abilities);
            for room in ROOMS {
                if choices.below(3) > 0 {
                    stage.house.rooms.insert((room.to_owned(), device.to_owned()));
                }
            }
        }
        Self { stage, ids: Vec::new(), log: Vec::new() }
    }

    /// One step.
    pub(crate) fn step(&mut self, choices: &mut dyn Choices) {
        let device = DEVICES[choices.below(6) as usize];
        match choices.below(40) {
            0..=4 => self.say(device, "call:start", start(choices)),
            5..=9 => self.about(device, "call:accepted", "", choices),
            10..=11 => self.about(device, "call:rejected", r#","reason":"busy""#, choices),
            12..=15 => self.about(device, "webrtc:offer", r#","offer":{"sdp":"o"}"#, choices),
            16..=19 => self.about(device, "webrtc:answer", r#","answer":{"sdp":"a"}"#, choices),
            20..=24 => self.about(device, "webrtc:ice-candidate", r#","candidate":{"c":1}"#, choices),
            25 => self.about(device, "webrtc:ice-candidate", r#","candidates":[{},null,{"c":2}]"#, choices),
            26 => self.about(device, "call:connected", "", choices),
            27..=28 => self.about(device, "call:end", "", choices),
            29 => self.about(device, "call:restart", "", choices),
            30 => self.about(device, "call:stats", r#","digest":{"rtt":5}"#, choices),
            31 => self.say(device, "call:sync", "{}".to_owned()),
            32 => self.join(device, choices),
            33 => self.about(device, "call:leave", "", choices),
            34..=36 => self.change(device, choices),
            37 => self.rare(device, choices),
            _ => self.wait(choices),
        }
        self.remember();
    }

    fn say(&mut self, device: &str, event: &str, data: String) {
        // Who has no session says nothing.
        if self.stage.house.present.contains(device) {
            self.log.push(format!("{device} says {event} {data}"));
            let answer = self.stage.say_raw(device, event, &data);
            self.log.push(format!("  {answer:?}"));
        }
    }

    /// About some call: named, or by its other end, or by nothing.
    fn about(&mut self, device: &str, event: &str, more: &str, choices: &mut dyn Choices) {
        let target = match choices.below(6) {
            0 | 1 => format!(r#""to":"{}""#, user(choices)),
            2 => "\"x\":0".to_owned(),
            3 => r#""call_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV""#.to_owned(),
            _ => match self.ids.len() as u32 {
                0 => "\"y\":0".to_owned(),
                n => format!(r#""call_id":"{}""#, self.ids[(n - 1 - choices.below(n.min(3))) as usize]),
            },
        };
        let neg = match choices.below(4) {
            0 => format!(r#","neg":{}"#, choices.below(3)),
            1 => format!(r#","to":"{}","to_device":"{}""#, user(choices), DEVICES[choices.below(6) as usize]),
            _ => String::new(),
        };
        // A field twice is refused before it gets to the calls.
        let neg = if target.starts_with("\"to\"") && neg.contains("\"to\"") { String::new() } else { neg };
        self.say(device, event, format!("{{{target}{more}{neg}}}"));
    }

    fn join(&mut self, device: &str, choices: &mut dyn Choices) {
        let data = match (choices.below(2), self.ids.last()) {
            (0, Some(id)) => format!(r#"{{"call_id":"{id}"}}"#),
            _ => format!(r#"{{"room":"{}"}}"#, ROOMS[choices.below(2) as usize]),
        };
        self.say(device, "call:join", data);
    }

    fn change(&mut self, device: &str, choices: &mut dyn Choices) {
        let is_present = self.stage.house.present.contains(device);
        let change = match (is_present, choices.below(4)) {
            (false, _) => DeviceChange::Online,
            (true, 0) => DeviceChange::Gone,
            (true, 1 | 2) => DeviceChange::Lost,
            (true, _) => DeviceChange::Back,
        };
        self.log.push(format!("{device} is {change:?}"));
        self.stage.device(device, change);
    }

    fn rare(&mut self, device: &str, choices: &mut dyn Choices) {
        let choice = choices.below(8);
        self.log.push(format!("{device} meets the rare case {choice}"));
        match choice {
            0 => self.stage.shutdown(),
            1 | 2 => self.stage.left_room(device, ROOMS[choice as usize - 1]),
            3 => drop(self.stage.house.blocking.insert(device[..1].to_owned())),
            4 => self.stage.house.blocking.clear(),
            5 => self.stage.restart(Duration::from_secs(u64::from(choices.below(90)))),
            _ => self.stage.end_user(device, EndReason::Expired),
        }
    }

    fn wait(&mut self, choices: &mut dyn Choices) {
        let millis = [1, 40, 900, 4_000, 11_000, 31_000, 46_000, 400_000][choices.below(8) as usize];
        self.log.push(format!("{millis} ms pass"));
        self.stage.pass(Duration::from_millis(millis));
    }

    fn remember(&mut self) {
        for (to, event, data) in self.stage.heard.drain(..) {
            self.log.push(format!("  {} hear {event} {data}", to.join(" ")));
            if let Some(id) = data["call_id"].as_str().filter(|id| self.ids.iter().all(|known| known != id)) {
                self.ids.push(id.to_owned());
            }
        }
    }
}

fn start(choices: &mut dyn Choices) -> String {
    let reference = match choices.below(4) {
        0 => format!(r#","client_ref":"{}""#, choices.below(2)),
        _ => String::new(),
    };
    let data = if choices.below(4) == 0 { r#","data":{"k":1},"timeout_ms":9000"# } else { "" };
    match choices.below(6) {
        0 => format!(r#"{{"room":"{}"{reference}}}"#, ROOMS[choices.below(2) as usize]),
        _ => format!(r#"{{"callee_id":"{}"{reference}{data}}}"#, user(choices)),
    }
}

fn user(choices: &mut dyn Choices) -> &'static str {
    ["a", "b", "c"][choices.below(3) as usize]
}
