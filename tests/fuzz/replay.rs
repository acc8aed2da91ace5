//! Replays the committed corpus of every fuzz target on a stable compiler.
//!
//! A target is a body in `bodies/`, a shell around it in `fuzz_targets/`, a folder in `corpus/` and a
//! line in [`TARGETS`]; a test below fails when one of them is missing.
#![allow(clippy::unwrap_used, clippy::wrong_self_convention)]

#[path = "bodies/calls.rs"]
mod calls;
#[path = "bodies/channel_data.rs"]
mod channel_data;
mod core_seeds;
#[path = "bodies/dtls_hello.rs"]
mod dtls_hello;
#[path = "bodies/engine_io.rs"]
mod engine_io;
#[path = "bodies/peer_policy.rs"]
mod peer_policy;
#[path = "bodies/plain.rs"]
mod plain;
#[path = "bodies/proxy_protocol.rs"]
mod proxy_protocol;
#[path = "seeds.rs"]
mod seeds;
mod signaling_seeds;
#[path = "bodies/socket_io.rs"]
mod socket_io;
#[path = "bodies/state_machine.rs"]
mod state_machine;
mod storage_seeds;
#[path = "bodies/stored_values.rs"]
mod stored_values;
#[path = "bodies/stun_decode.rs"]
mod stun_decode;
#[path = "bodies/token.rs"]
mod token;
mod token_seeds;
#[path = "../vectors/mod.rs"]
mod vectors;
#[path = "bodies/websocket.rs"]
mod websocket;
mod websocket_seeds;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

type Body = fn(&[u8]);

const TARGETS: &[(&str, Body)] = &[
    ("calls", calls::run),
    ("channel_data", channel_data::run),
    ("dtls_hello", dtls_hello::run),
    ("engine_io", engine_io::run),
    ("peer_policy", peer_policy::run),
    ("plain", plain::run),
    ("proxy_protocol", proxy_protocol::run),
    ("socket_io", socket_io::run),
    ("state_machine", state_machine::run),
    ("stored_values", stored_values::run),
    ("stun_decode", stun_decode::run),
    ("token", token::run),
    ("websocket", websocket::run),
];

#[test]
fn every_file_of_every_corpus_runs_clean() {
    for (target, run) in TARGETS {
        let files = entries(&folder("corpus").join(target));
        assert!(!files.is_empty(), "the corpus of {target} is empty");
        for file in &files {
            // On a panic this line is what names the input.
            println!("{target}: {}", file.display());
            run(&fs::read(file).unwrap());
        }
        println!("{target}: {} files", files.len());
    }
}

#[test]
fn every_target_has_a_body_a_shell_and_a_corpus() {
    let listed: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    for place in ["bodies", "fuzz_targets", "corpus"] {
        let names: BTreeSet<_> = entries(&folder(place))
            .iter()
            .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
            .collect();
        assert_eq!(names, listed, "{place}");
    }
    let manifest = fs::read_to_string(folder("Cargo.toml")).unwrap();
    for name in listed {
        assert!(manifest.contains(&format!("fuzz_targets/{name}.rs")), "{name} is not in Cargo.toml");
    }
}

/// The seeds that people wrote stay in the corpus when `cargo fuzz cmin` finds them redundant.
/// With `TURNSTONE_WRITE_SEEDS=1` in the environment they are written there first.
#[test]
fn the_handmade_seeds_are_in_the_corpus() {
    for (target, seeds) in [
        ("calls", calls::seeds()),
        ("channel_data", seeds::channel_data()),
        ("dtls_hello", seeds::dtls_hello()),
        ("engine_io", signaling_seeds::engine_io()),
        ("peer_policy", core_seeds::peer_policy()),
        ("plain", signaling_seeds::plain()),
        ("proxy_protocol", seeds::proxy_protocol()),
        ("socket_io", signaling_seeds::socket_io()),
        ("state_machine", core_seeds::state_machine()),
        ("stored_values", storage_seeds::stored_values()),
        ("stun_decode", seeds::stun_decode()),
        ("token", token_seeds::token()),
        ("websocket", websocket_seeds::websocket()),
    ] {
        for (name, bytes) in seeds {
            let file = folder("corpus").join(target).join(format!("seed-{name}"));
            if std::env::var_os("TURNSTONE_WRITE_SEEDS").is_some() {
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(&file, &bytes).unwrap();
            }
            let found = fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            assert_eq!(found, bytes, "{}", file.display());
        }
    }
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz").join(name)
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    entries
}
