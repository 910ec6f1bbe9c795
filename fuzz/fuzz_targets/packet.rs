//! What a pod may send or be sent, through the eBPF programs of both modes under BPF_PROG_TEST_RUN. Needs root.
//!
//! `crates/datapath/tests/it/lab/frames.rs` says what an input is and what must hold.

#![no_main]

#[allow(dead_code, unused_imports)]
mod lab;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    lab::frames::check(bytes);
});
