#![no_main]

#[allow(dead_code)]
#[path = "../../tests/hostile/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::batch_files(bytes));
