#![no_main]

#[path = "../bodies/engine_io.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
