//! Any bytes as a story of calls: commands of several devices, lost connections, time. And as a payload.
#![allow(dead_code)]

#[path = "../../calls/checker.rs"]
mod checker;
#[path = "../../calls/house.rs"]
mod house;
#[path = "../../calls/stage.rs"]
mod stage;
#[path = "../../calls/story.rs"]
mod story;

use story::{Choices, Story};
use turnstone::signaling::Command;

/// Each byte is a choice; a story ends with its bytes.
pub(crate) fn run(data: &[u8]) {
    payload(data);
    let mut bytes = Bytes(data);
    let mut story = Story::begin(&mut bytes);
    while !bytes.0.is_empty() {
        story.step(&mut bytes);
    }
    story.stage.close();
}

/// What is read at all, is read again the same.
fn payload(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for event in ["call:start", "call:end", "call:stats", "webrtc:offer", "webrtc:ice-candidate"] {
        let read = Command::parse(event, text).expect("an event of calls");
        assert_eq!(Command::parse(event, text), Some(read));
    }
}

struct Bytes<'a>(&'a [u8]);

impl Choices for Bytes<'_> {
    fn below(&mut self, bound: u32) -> u32 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        u32::from(*first) % bound
    }
}

/// Stories by name; the first 38 bytes are settings, abilities and rooms.
pub(crate) fn seeds() -> Vec<(&'static str, Vec<u8>)> {
    const A1: u8 = 0;
    const B1: u8 = 2;
    const B2: u8 = 3;
    // Busy by user, reject for all, implicit accept, no longest time, 4 members, 6 and 3 calls, 8 in all; nobody has
    // an ability, and everybody is in both rooms.
    let world = [&[0, 0, 1, 1, 2, 5, 2, 5][..], &[1, 1, 1, 1, 1].repeat(6)].concat();
    let told = |steps: &[&[u8]]| [&world[..], &steps.concat()].concat();
    let start = [A1, 0, 1, 1, 1, 1];
    let offer = [A1, 12, 0, 1, 2];
    let candidate = [A1, 20, 0, 1, 2];
    let answer = [B1, 16, 0, 0, 2];
    let minute = [A1, 39, 6];
    let quiet = [A1, 39, 7];
    vec![
        ("empty", Vec::new()),
        ("talk", told(&[&start, &offer, &candidate, &answer, &[A1, 27, 0, 1, 2]])),
        ("no-answer", told(&[&start, &minute])),
        ("cancel-then-accept", told(&[&start, &[A1, 27, 0, 1, 2], &[B1, 5, 0, 0, 2]])),
        ("accept-twice", told(&[&start, &[B1, 5, 0, 0, 2], &[B2, 5, 0, 0, 2]])),
        ("reject", told(&[&start, &[B2, 10, 0, 0, 2]])),
        ("glare", told(&[&start, &[B1, 0, 1, 1, 1, 0]])),
        ("caller-lost", told(&[&start, &[A1, 34, 1], &[A1, 39, 4]])),
        ("callee-gone", told(&[&start, &offer, &answer, &[B1, 34, 0], &quiet])),
        ("group", told(&[&[A1, 0, 1, 1, 0, 0], &[B1, 32, 1, 0], &[B1, 12, 0, 0, 2], &[A1, 33, 2, 2]])),
        ("shutdown", told(&[&start, &offer, &answer, &[A1, 37, 0]])),
        (
            "payload",
            br#"{"to":"b","candidate":{"candidate":"c","sdpMid":"0"},"neg":3,"__proto__":{}}"#.to_vec(),
        ),
        ("payload-array", br#"["b"]"#.to_vec()),
        ("payload-null", b"null".to_vec()),
        ("payload-escapes", br#"{"callee_id":"\u0062\"","data":[1,{"a":"\\"}]}"#.to_vec()),
    ]
}
