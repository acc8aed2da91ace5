#![no_main]

#[path = "../bodies/stored_values.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
