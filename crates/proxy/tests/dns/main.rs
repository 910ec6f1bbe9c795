//! The DNS server over real sockets on loopback. Pods are told apart by their loopback addresses.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers outside of test functions; clippy exempts only those"
)]

mod abundance;
mod cluster;
mod conformance;
mod handover;
mod limits;
mod outside;
mod property;
mod support;
mod upstream;
mod words;
