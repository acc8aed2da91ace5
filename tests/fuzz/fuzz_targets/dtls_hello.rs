#![no_main]

#[path = "../bodies/dtls_hello.rs"]
mod body;

libfuzzer_sys::fuzz_target!(|data: &[u8]| body::run(data));
