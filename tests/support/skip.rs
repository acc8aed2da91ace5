//! How a test says that it could not run on this machine: `#[path = "../support/skip.rs"] mod skip;`.

use std::fs::OpenOptions;
use std::io::Write;

/// Reports that `test` (its full name) did not run, or not all of it, because of `why`.
///
/// The test returns after this call. The harness counts it as passed, so `tests/run` names a file in
/// `TURNSTONE_SKIP_LOG`, reads the line back and counts the test as skipped. Standard error is
/// captured by the harness unless `--nocapture` is given; the log is not.
///
/// # Panics
/// When the log cannot be written: a skip that nobody counts would look like a pass.
pub(crate) fn skip(test: &str, why: &str) {
    let why = why.replace(['\n', '\t'], " ");
    eprintln!("SKIPPED: {test}: {why}");
    if let Some(path) = std::env::var_os("TURNSTONE_SKIP_LOG") {
        let mut log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .unwrap_or_else(|error| panic!("skip log {}: {error}", path.display()));
        // One write: tests of several threads and processes append to the same file.
        log.write_all(format!("{test}\t{why}\n").as_bytes()).expect("the skip log takes a line");
    }
}
