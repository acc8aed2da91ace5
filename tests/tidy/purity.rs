//! Ranks 0 to 3 compute only: no socket, file, thread, clock, async, global, log or entropy, and no
//! unsafe code. Test modules may use what they like.

use super::paths::{paths, without_tests};
use super::ranks::{PURE_UP_TO, rank};
use super::{Finding, Source};

/// Paths that a pure module may not name; a single word is refused wherever it stands.
const IMPURE: &[(&str, &str)] = &[
    ("std::fs", "files"),
    ("std::env", "the environment"),
    ("std::process", "processes"),
    ("std::thread", "threads"),
    ("std::os", "the operating system"),
    ("std::sync::mpsc", "threads"),
    ("std::time::Instant", "a clock"),
    ("std::time::SystemTime", "a clock"),
    ("Instant", "a clock"),
    ("SystemTime", "a clock"),
    ("UdpSocket", "sockets"),
    ("TcpStream", "sockets"),
    ("TcpListener", "sockets"),
    ("UnixStream", "sockets"),
    ("UnixListener", "sockets"),
    ("UnixDatagram", "sockets"),
    ("ToSocketAddrs", "the resolver"),
    ("socket2", "sockets"),
    ("rustix", "the operating system"),
    ("libc", "the operating system"),
    ("if_addrs", "the operating system"),
    ("crossbeam_channel", "threads"),
    ("tokio", "async"),
    ("async", "async"),
    ("await", "async"),
    ("thread_local", "globals"),
    ("tracing", "the log"),
    ("log", "the log"),
    ("OsRng", "entropy"),
    ("SysRng", "entropy"),
    ("SystemRandom", "entropy"),
    ("getrandom", "entropy"),
];

/// Macros that write to a standard stream.
const PRINTING: &[&str] = &["print", "println", "eprint", "eprintln"];

/// Types that make a `static` a global that changes.
const SHARED: &[&str] = &[
    "Mutex",
    "RwLock",
    "OnceLock",
    "LazyLock",
    "OnceCell",
    "LazyCell",
    "Once",
    "Cell",
    "RefCell",
    "UnsafeCell",
];

/// Findings of one file. `test_only` says that its parent declares it under `#[cfg(test)]`.
pub(crate) fn check(source: &Source, test_only: bool) -> Vec<Finding> {
    let Some(module) = source.module() else { return Vec::new() };
    if rank(module).is_none_or(|rank| rank > PURE_UP_TO) || test_only {
        return Vec::new();
    }
    let mut findings = words(source);
    findings.extend(globals(source));
    if source.path == format!("src/{module}/mod.rs") && !forbids_unsafe(source) {
        findings.push(source.finding(1, "a pure module carries `#![forbid(unsafe_code)]`".into()));
    }
    findings
}

fn words(source: &Source) -> Vec<Finding> {
    let (tokens, _) = without_tests(&source.lexed.tokens);
    let mut findings = Vec::new();
    for path in paths(&tokens) {
        if let Some((_, what)) =
            IMPURE.iter().find(|(name, _)| names(&path.parts, path.starts_with(name), name))
        {
            let problem = format!("`{}`: a pure module does not touch {what}", path.text());
            findings.push(source.finding(path.line, problem));
        }
    }
    for pair in tokens.windows(2) {
        if pair[1].is("!") && PRINTING.iter().any(|name| pair[0].is(name)) {
            findings.push(source.finding(pair[0].line, format!("`{}!` in a pure module", pair[0].text)));
        }
    }
    findings
}

/// Crates and keywords count as the first part, types as any part, longer names as a prefix.
fn names(parts: &[String], is_prefix: bool, name: &str) -> bool {
    let is_type = name.starts_with(char::is_uppercase);
    // A local variable may be called `log`; the crate is followed by something.
    let is_bare_crate_word = matches!(name, "log" | "tracing" | "libc") && parts.len() == 1;
    (is_prefix && !is_bare_crate_word) || (is_type && parts.iter().any(|part| part == name))
}

fn globals(source: &Source) -> Vec<Finding> {
    let (tokens, _) = without_tests(&source.lexed.tokens);
    let mut findings = Vec::new();
    for (i, token) in tokens.iter().enumerate().filter(|(_, token)| token.is("static")) {
        let kind = tokens[i..].iter().take_while(|t| !t.is("=") && !t.is(";"));
        let changes = |text: &str| {
            text == "mut" || text.starts_with("Atomic") || SHARED.contains(&text) || text == "ArcSwap"
        };
        if let Some(word) = kind.clone().find(|t| changes(&t.text)) {
            findings.push(source.finding(token.line, format!("a global that changes (`{}`)", word.text)));
        }
    }
    findings
}

fn forbids_unsafe(source: &Source) -> bool {
    let start = ["#", "!", "[", "forbid", "("];
    source.lexed.tokens.windows(start.len() + 1).any(|window| {
        window.iter().zip(start).all(|(token, text)| token.is(text)) && window[start.len()].is("unsafe_code")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(path: &str, text: &str) -> usize {
        check(&Source::new(path, text), false).len()
    }

    #[test]
    fn every_impurity_is_refused() {
        for text in [
            "use std::net::UdpSocket;",
            "use std::net::{IpAddr, TcpStream};",
            "fn f() { std::net::TcpListener::bind(x) }",
            "use std::{fs, fmt};",
            "fn f() { std::fs::read(x) }",
            "use std::thread;",
            "use std::time::{Duration, Instant};",
            "fn f() -> std::time::SystemTime {}",
            "use tokio::sync::Notify;",
            "async fn f() {}",
            "fn f() { x.await }",
            "static mut X: u8 = 0;",
            "static X: Mutex<u8> = Mutex::new(0);",
            "static X: std::sync::atomic::AtomicU64 = y;",
            "fn f() { println!(\"a\") }",
            "thread_local! { }",
            "fn f() { tracing::info!(\"a\") }",
            "use tracing::info;",
            "fn f() { getrandom::fill(x) }",
            "use libc::c_int;",
        ] {
            assert_eq!(problems("src/turn/allocate.rs", text), 1, "{text}");
            assert_eq!(problems("src/relay/shard.rs", text), 0, "{text}");
        }
    }

    #[test]
    fn values_of_the_standard_library_are_fine() {
        let text = "use std::net::{IpAddr, SocketAddr}; use std::time::Duration; use std::sync::Arc;
            static NAMES: [&'static str; 1] = [\"tokio\"]; const X: u8 = 1; fn f(log: &Log) { write!(log, \"\") }
            // std::fs, tokio, Instant
            #[cfg(test)] mod tests { use std::fs; static X: Mutex<u8> = y; fn f() { println!(\"\") } }";
        assert_eq!(problems("src/turn/allocate.rs", text), 0);
    }

    #[test]
    fn a_file_that_only_tests_compile_is_free() {
        let source = Source::new("src/turn/tests.rs", "use std::fs;");
        assert_eq!((check(&source, false).len(), check(&source, true).len()), (1, 0));
    }

    #[test]
    fn the_mod_file_of_a_pure_module_forbids_unsafe_code() {
        assert_eq!(problems("src/turn/mod.rs", "//! #![forbid(unsafe_code)]\n"), 1);
        assert_eq!(problems("src/turn/mod.rs", "#![deny(unsafe_code)]"), 1);
        assert_eq!(problems("src/turn/mod.rs", "//! Contract.\n#![forbid(unsafe_code)]\n"), 0);
        assert_eq!(problems("src/wire/stun/mod.rs", ""), 0);
        assert_eq!(problems("src/net/mod.rs", ""), 0);
    }
}
