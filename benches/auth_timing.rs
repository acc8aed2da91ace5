//! Can a stranger tell by the clock whether a static user exists? And what does a failure cost us?
//!
//! The method of dudect: time the two kinds of failing request in random order, drop the slowest
//! samples (interrupts), and compare the means with Welch's t. In one process that shows single
//! nanoseconds of cache effects, which no network lets through: over loopback, with a jitter of 5 us,
//! 10^6 samples show differences above 45 ns. So it ends with 1 when every round has |t| >= 4.5 and
//! 20 ns or more between the means; one derivation left out would be 1-2 us.

use aws_lc_rs::digest;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use turnstone::auth::{Authenticator, KeyHash, Login, Scheme, Secret, Settings};
use turnstone::base::{Random, UnixTime};
use turnstone::wire::stun::{
    AttributeType, Class, IntegrityAlgorithm, IntegrityKey, Message, MessageWriter, Method, TransactionId,
};

const USERS: u32 = 1000;
const SAMPLES: u32 = 200_000;
const ROUNDS: u32 = 3;
const T_MAX: f64 = 4.5;
const DIFFERENCE_NS_MAX: f64 = 20.0;

/// What RFC 8489 has beyond RFC 5389.
const MODERN: Scheme = Scheme {
    hash: KeyHash::Sha256,
    integrity: IntegrityAlgorithm::Sha256,
    reply: IntegrityAlgorithm::Sha256,
};

fn main() -> ExitCode {
    let auth = Authenticator::new(&settings());
    let mut random = Random::seeded(1);
    let mut exit = ExitCode::SUCCESS;
    for (title, by_hash, scheme) in [
        ("USERNAME, MD5 and SHA-1", false, Scheme::CLASSIC),
        ("USERNAME, SHA-256", false, MODERN),
        ("USERHASH, SHA-256", true, MODERN),
    ] {
        println!("{title}:");
        let requests = ["user", "none"].map(|prefix| requests(prefix, by_hash, scheme.integrity));
        let rounds: Vec<bool> = (0..ROUNDS).map(|_| differs(&auth, scheme, &requests, &mut random)).collect();
        if rounds.iter().all(|differs| *differs) {
            println!("DIFFERENT: a static user can be told from an unknown one");
            exit = ExitCode::FAILURE;
        } else {
            println!("no difference that holds");
        }
    }
    exit
}

/// What a request says of its user.
enum User {
    Name(String),
    Hash([u8; 32]),
}

impl User {
    fn login(&self) -> Login<'_> {
        match self {
            Self::Name(name) => Login::Name(name),
            Self::Hash(hash) => Login::Hash(*hash),
        }
    }
}

/// One round: prints the two means and t.
fn differs(
    auth: &Authenticator,
    scheme: Scheme,
    requests: &[Vec<(User, Vec<u8>)>; 2],
    random: &mut Random,
) -> bool {
    let mut samples: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    for _ in 0..SAMPLES {
        let kind = random.below(2) as usize;
        let (user, bytes) = &requests[kind][random.below(USERS) as usize];
        let message = Message::parse(bytes).expect("written by us");
        let login = user.login();
        let start = Instant::now();
        let verdict = auth.authenticate(UnixTime(1_700_000_000), black_box(login), scheme, &message);
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
fn requests(prefix: &str, by_hash: bool, integrity: IntegrityAlgorithm) -> Vec<(User, Vec<u8>)> {
    let key = IntegrityKey::long_term_md5(b"x", b"turn", b"wrong");
    (0..USERS)
        .map(|n| {
            let name = format!("{prefix}{n:04}");
            let mut buffer = [0; 256];
            let mut writer =
                MessageWriter::new(&mut buffer, Class::Request, Method::ALLOCATE, TransactionId([9; 12]));
            let hash = digest::digest(&digest::SHA256, format!("{name}:turn").as_bytes());
            match by_hash {
                true => writer.attribute(AttributeType::USERHASH, hash.as_ref()),
                false => writer.attribute(AttributeType::USERNAME, name.as_bytes()),
            }
            writer.integrity(integrity, &key);
            let length = writer.finish().expect("fits");
            let user = match by_hash {
                true => User::Hash(hash.as_ref().try_into().expect("SHA-256 has 32 bytes")),
                false => User::Name(name),
            };
            (user, buffer[..length].to_vec())
        })
        .collect()
}

fn settings() -> Settings {
    let users = (0..USERS).map(|n| (format!("user{n:04}"), Secret::new(format!("password {n}"))));
    Settings {
        realm: "turn".into(),
        secrets: vec![Secret::new("new"), Secret::new("old")],
        users: users.collect(),
        modern: true,
        strict_expiry: false,
        ttl: Duration::from_secs(3600),
        max_ttl: Duration::from_secs(86_400),
    }
}
