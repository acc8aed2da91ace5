use super::*;
use crate::base::Random;
use crate::metrics::SignalingError;
use std::borrow::Cow;
use std::collections::BTreeMap;

const SMALL: LogSettings =
    LogSettings { events_max: 16, bytes_max: 16 * 200, window: Duration::from_secs(120) };
const START: Timestamp = Timestamp::from_secs(1000);

fn push(seq: u64, class: Class) -> Arc<Push> {
    sized(seq, class, 10)
}

fn sized(seq: u64, class: Class, bytes: usize) -> Arc<Push> {
    let data = "x".repeat(bytes).into_boxed_str();
    Arc::new(Push { seq, event: Cow::Borrowed("event"), data, attachments: Vec::new(), class })
}

fn cursor(name: &str) -> Class {
    Class::Coalescing(Arc::from(name))
}

/// Everything that is sent now: events by their number, answers as their number below zero.
fn drain(log: &mut Log) -> Vec<i64> {
    std::iter::from_fn(|| log.pop(&SMALL))
        .map(|out| match out {
            Outgoing::Push(push) => push.seq as i64,
            Outgoing::Answer { ack, .. } | Outgoing::Acknowledge { ack, .. } => -(ack as i64),
        })
        .collect()
}

fn filled(seqs: std::ops::RangeInclusive<u64>) -> Log {
    let mut log = Log::default();
    for seq in seqs {
        log.push(START, &SMALL, push(seq, Class::Reliable));
    }
    log
}

#[test]
fn answers_keep_their_place_among_the_events_and_are_never_sent_again() {
    let mut log = Log::default();
    assert!(log.answer(&SMALL, 1, Ok("{}".into())));
    log.push(START, &SMALL, push(10, Class::Reliable));
    assert!(log.answer(&SMALL, 2, Err(Refusal::new(SignalingError::Ended, "It is over."))));
    log.push(START, &SMALL, push(11, Class::Reliable));
    assert!(log.answer(&SMALL, 3, Ok("{}".into())));
    assert_eq!(drain(&mut log), [-1, 10, -2, 11, -3]);
    log.answer(&SMALL, 4, Ok("{}".into()));
    log.detach();
    assert_eq!(log.resume(10), Ok(()));
    assert_eq!(drain(&mut log), [11]);
}

#[test]
fn a_client_that_names_its_last_event_gets_the_rest_once_and_in_order() {
    let mut log = filled(1..=4);
    assert_eq!(drain(&mut log), [1, 2, 3, 4]);
    log.push(START, &SMALL, push(5, Class::Reliable));
    log.detach();
    log.push(START, &SMALL, push(6, Class::Reliable));
    assert_eq!(log.resume(2), Ok(()));
    assert_eq!(drain(&mut log), [3, 4, 5, 6]);
    assert!(drain(&mut log).is_empty());
}

#[test]
fn a_client_without_an_event_gets_all_since_it_connected_or_a_gap() {
    let mut log = filled(1..=16);
    assert_eq!(log.resume(0), Ok(()));
    assert_eq!(drain(&mut log).len(), 16);
    log.push(START, &SMALL, push(17, Class::Reliable));
    assert_eq!(log.resume(0), Err(Gap));
    assert_eq!(log.resume(1), Ok(()));
    assert_eq!(drain(&mut log).len(), 16);
}

#[test]
fn an_offset_ahead_of_all_that_was_sent_is_a_gap() {
    let mut log = filled(1..=3);
    assert!(log.pop(&SMALL).is_some());
    log.detach();
    assert_eq!(log.resume(2), Err(Gap), "2 was queued, but never sent");
    assert_eq!(log.resume(1), Ok(()));
    assert_eq!(drain(&mut log), [2, 3]);
}

#[test]
fn of_a_coalescing_key_only_the_latest_waits_and_only_the_latest_is_kept() {
    let mut log = Log::default();
    for (seq, name) in [(1, "a"), (2, "b"), (3, "a"), (4, "c")] {
        let replaced = seq == 3;
        let expected = if replaced { Queued::Replaced } else { Queued::Fits };
        assert_eq!(log.push(START, &SMALL, push(seq, cursor(name))), expected);
    }
    assert_eq!(drain(&mut log), [2, 3, 4]);
    assert_eq!(log.push(START, &SMALL, push(5, cursor("b"))), Queued::Fits);
    log.detach();
    assert_eq!(log.resume(0), Ok(()));
    assert_eq!(drain(&mut log), [3, 4, 5]);
}

#[test]
fn droppable_events_never_crowd_out_others_and_are_not_sent_again() {
    let mut log = Log::default();
    let mut dropped = 0;
    for seq in 1..=100 {
        dropped += u64::from(log.push(START, &SMALL, push(seq, Class::Droppable)) == Queued::Dropped);
    }
    assert_eq!(dropped, 100 - 4, "a quarter of sixteen");
    for seq in 101..=112 {
        assert_eq!(log.push(START, &SMALL, push(seq, Class::Reliable)), Queued::Fits);
    }
    assert_eq!(drain(&mut log).len(), 4 + 12);
    assert_eq!(log.resume(0), Ok(()));
    assert_eq!(drain(&mut log).len(), 12);
}

#[test]
fn a_client_that_does_not_keep_up_is_closed_before_it_loses_anything() {
    let mut log = filled(1..=12);
    assert_eq!(log.push(START, &SMALL, push(13, Class::Reliable)), Queued::Overflow);
    log.detach();
    for seq in 14..=16 {
        log.push(START, &SMALL, push(seq, Class::Reliable));
    }
    assert_eq!(log.resume(0), Ok(()));
    // What is sent again may fill the queue: it must not close the transport that asked for it.
    assert!(log.answer(&SMALL, 1, Ok("{}".into())) || log.waiting() > 16);
    assert_eq!(drain(&mut log).len(), 17);
}

#[test]
fn what_was_sent_longer_ago_than_the_window_is_given_up() {
    let mut log = filled(1..=3);
    drain(&mut log);
    let later = START.after(Duration::from_secs(121));
    log.push(later, &SMALL, push(4, Class::Reliable));
    assert_eq!(log.resume(2), Err(Gap));
    assert_eq!(log.resume(3), Ok(()));
    assert_eq!(drain(&mut log), [4]);
}

#[test]
fn bytes_are_bounded_as_well_as_events() {
    let mut log = Log::default();
    assert_eq!(log.push(START, &SMALL, sized(1, Class::Reliable, 2000)), Queued::Fits);
    assert_eq!(log.push(START, &SMALL, sized(2, Class::Reliable, 1000)), Queued::Overflow);
    for seq in 3..100 {
        log.push(START, &SMALL, sized(seq, Class::Reliable, 1000));
        assert!(log.bytes() <= SMALL.bytes_max);
    }
    assert_eq!(log.resume(0), Err(Gap));
}

/// What a client has, kept apart from the log and in the simplest way.
#[derive(Default)]
struct Model {
    /// Every event so far, with its class.
    all: Vec<(u64, Class)>,
    /// What the client got over all its transports, in the order of arrival.
    received: Vec<u64>,
    /// Where the client would go on.
    offset: u64,
}

impl Model {
    fn take(&mut self, seq: u64) {
        assert!(seq > self.offset, "{seq} came after {}: twice, or out of order", self.offset);
        self.received.push(seq);
        self.offset = seq;
    }

    /// After a resume and a full drain: every reliable event once, the latest of each key.
    fn check(&self, from: u64) {
        let mut latest = BTreeMap::new();
        for (seq, class) in self.all.iter().filter(|(seq, _)| *seq > from) {
            match class {
                Class::Reliable => assert!(self.received.contains(seq), "{seq} is missing"),
                Class::Coalescing(key) => _ = latest.insert(key.clone(), *seq),
                Class::Droppable => {}
            }
        }
        for (key, seq) in latest {
            assert!(self.received.contains(&seq), "{seq}, the latest of {key}, is missing");
        }
    }
}

#[test]
fn any_mix_of_events_drains_cuts_and_resumes_loses_and_doubles_nothing() {
    let (mut recovered, mut gaps) = (0, 0);
    for seed in 0..400 {
        let mut random = Random::seeded(seed);
        let (mut log, mut model) = (Log::default(), Model::default());
        let (mut now, mut seq, mut closed) = (START, 0, false);
        for _ in 0..400 {
            match random.below(16) {
                0..=7 => {
                    seq += 1 + u64::from(random.below(3));
                    let class = match random.below(6) {
                        0 | 1 => cursor(["a", "b", "c"][random.below(3) as usize]),
                        2 => Class::Droppable,
                        _ => Class::Reliable,
                    };
                    let event = sized(seq, class.clone(), random.below(220) as usize);
                    closed |= log.push(now, &SMALL, event) == Queued::Overflow;
                    model.all.push((seq, class));
                }
                8..=13 => {
                    for _ in 0..random.below(5) {
                        // What is sent may still be lost on its way; then the client's offset stays behind.
                        let Some(Outgoing::Push(push)) = log.pop(&SMALL) else { break };
                        model.take(push.seq);
                    }
                }
                14 => now = now.after(Duration::from_secs(u64::from(random.below(30)))),
                _ => {
                    // The last events were sent and never arrived.
                    let lost_on_the_way = random.below(4);
                    let mut at = model.offset;
                    for _ in 0..lost_on_the_way {
                        _ = log.pop(&SMALL);
                    }
                    log.detach();
                    closed = false;
                    if random.below(8) == 0 {
                        at = random.below(seq as u32 + 5).into();
                        model.received.retain(|seq| *seq <= at);
                        model.offset = model.offset.min(at);
                    }
                    let was = format!("{log:?}");
                    if log.resume(at).is_err() {
                        assert_eq!(was, format!("{log:?}"), "seed {seed}: a refused resume leaves no trace");
                        gaps += 1;
                        break;
                    }
                    recovered += 1;
                    while let Some(Outgoing::Push(push)) = log.pop(&SMALL) {
                        model.take(push.seq);
                    }
                    model.check(at);
                }
            }
            assert!(log.bytes() <= SMALL.bytes_max, "seed {seed}");
            if closed {
                log.detach();
            }
        }
    }
    assert!(recovered > 1000 && gaps > 50, "{recovered} recovered, {gaps} gaps");
}

#[test]
fn a_drained_log_keeps_no_memory_that_it_does_not_need() {
    let mut log = filled(1..=12);
    drain(&mut log);
    assert!(log.is_drained());
    log.trim(START.after(Duration::from_secs(300)), &SMALL);
    assert_eq!((log.pushes.capacity(), log.answers.capacity(), log.bytes()), (0, 0, 0));
}
