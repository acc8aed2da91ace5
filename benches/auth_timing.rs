//! Can a stranger tell by the clock whether a static user exists? And what does a failure cost us?
//!
//! The method of dudect: time the two kinds of failing request in random order, drop the slowest
//! samples (interrupts), and compare the means with Welch's t. In one process that shows single
//! nanoseconds of cache effects, which no network lets through: over loopback, with a jitter of 5 us,
//! 10^6 samples show differences above 45 ns. So it ends with 1 when every round has |t| >= 4.5 and
//! 20 ns or more between the means; one derivation left out would be 1-2 us.

use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use turnstone::auth::{Authenticator, Secret, Settings};
use turnstone::base::{Random, UnixTime};
use turnstone::wire::stun::{
    AttributeType, Class, IntegrityAlgorithm, IntegrityKey, Message, MessageWriter, Method, TransactionId,
};

const USERS: u32 = 1000;
const SAMPLES: u32 = 200_000;
const ROUNDS: u32 = 3;
const T_MAX: f64 = 4.5;
const DIFFERENCE_NS_MAX: f64 = 20.0;

fn main() -> ExitCode {
    let auth = Authenticator::new(&settings());
    let requests = [requests("user"), requests("none")];
    let mut random = Random::seeded(1);
    let rounds: Vec<bool> = (0..ROUNDS).map(|_| differs(&auth, &requests, &mut random)).collect();
    if rounds.iter().all(|differs| *differs) {
        println!("DIFFERENT: a static user can be told from an unknown one");
        return ExitCode::FAILURE;
    }
    println!("no difference that holds");
    ExitCode::SUCCESS
}

/// One round: prints the two means and t.
fn differs(auth: &Authenticator, requests: &[Vec<(String, Vec<u8>)>; 2], random: &mut Random) -> bool {
    let mut samples: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..SAMPLES {
        let kind = random.below(2) as usize;
        let (username, bytes) = &requests[kind][random.below(USERS) as usize];
        let message = Message::parse(bytes).expect("written by us");
        let start = Instant::now();
        let verdict = auth.authenticate(UnixTime(1_700_000_000), black_box(username), &message);
        let took = start.elapsed();
        assert!(black_box(verdict).is_err());
        samples[kind].push(took.as_nanos() as f64);
    }
    let mut all: Vec<f64> = samples.iter().flatten().copied().collect();
    all.sort_by(f64::total_cmp);
    let slowest = all[all.len() * 9 / 10];
    let [wrong, unknown] = samples.map(|s| moments(s.into_iter().filter(|ns| *ns <= slowest)));
    let t = (wrong.mean - unknown.mean) / (wrong.variance / wrong.n + unknown.variance / unknown.n).sqrt();
    println!("wrong password {:.0} ns, unknown user {:.0} ns, t = {t:+.2}", wrong.mean, unknown.mean);
    t.abs() >= T_MAX && (wrong.mean - unknown.mean).abs() >= DIFFERENCE_NS_MAX
}

struct Moments {
    n: f64,
    mean: f64,
    variance: f64,
}

fn moments(samples: impl Iterator<Item = f64>) -> Moments {
    let samples: Vec<f64> = samples.collect();
    let n = samples.len() as f64;
    let mean = samples.iter().sum::<f64>() / n;
    let variance = samples.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / (n - 1.0);
    Moments { n, mean, variance }
}

/// Requests of the same length with a wrong password, for the names `{prefix}0000` and so on.
fn requests(prefix: &str) -> Vec<(String, Vec<u8>)> {
    let key = IntegrityKey::long_term_md5(b"x", b"turn", b"wrong");
    (0..USERS)
        .map(|n| {
            let name = format!("{prefix}{n:04}");
            let mut buffer = [0; 256];
            let mut writer =
                MessageWriter::new(&mut buffer, Class::Request, Method::ALLOCATE, TransactionId([9; 12]));
            writer.attribute(AttributeType::USERNAME, name.as_bytes());
            writer.integrity(IntegrityAlgorithm::Sha1, &key);
            let length = writer.finish().expect("fits");
            (name, buffer[..length].to_vec())
        })
        .collect()
}

fn settings() -> Settings {
    let users = (0..USERS).map(|n| (format!("user{n:04}"), Secret::new(format!("password {n}"))));
    Settings {
        realm: "turn".into(),
        secrets: vec![Secret::new("new"), Secret::new("old")],
        users: users.collect(),
        modern: false,
        strict_expiry: false,
        ttl: Duration::from_secs(3600),
        max_ttl: Duration::from_secs(86_400),
    }
}
