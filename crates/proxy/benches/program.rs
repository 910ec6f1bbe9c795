//! How long it takes to bring the kernel's maps up to date: a node full of Services at once, and one changed endpoint. Needs root.
//! `cargo bench -p stackube-proxy --bench program`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a measurement ends by a panic that says what was expected"
)]
#![expect(clippy::print_stdout, reason = "it prints what it measured")]

#[expect(dead_code, reason = "the tests use more of it")]
#[path = "../tests/maps/lab.rs"]
mod lab;

use std::time::{Duration, Instant};

use lab::{Pins, Tenants, shown};
use stackube_datapath::View;
use stackube_proxy::program::Programmer;

const TENANTS: u64 = 10;
const SERVICES: u64 = 1000;
const ENDPOINTS: u64 = 10;
const CHANGES: u64 = 200;

fn main() {
    let pins = Pins::new();
    let mut cluster = Tenants::new(TENANTS, SERVICES, ENDPOINTS);
    let mut programmer = Programmer::new(pins.path());
    let (done, all) = timed(|| cluster.sync(&mut programmer).unwrap());
    println!(
        "{} services with {} backends: {all:.1?}",
        done.sizes.services, done.sizes.backends
    );

    let mut times: Vec<Duration> = (0..CHANGES)
        .map(|change| {
            cluster.endpoints(
                &format!("t{}", change % TENANTS),
                change * 7 % SERVICES,
                ENDPOINTS - 1 - change / TENANTS % 2,
            );
            timed(|| cluster.sync(&mut programmer).unwrap()).1
        })
        .collect();
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
    println!(
        "one changed endpoint: median {:.1?}, 99th percentile {:.1?}",
        at(50),
        at(99)
    );

    assert!(
        all <= Duration::from_secs(1) && at(50) <= Duration::from_millis(5),
        "too slow"
    );

    let mut successor = Programmer::new(pins.path());
    drop(programmer);
    let (done, take_over) = timed(|| cluster.sync(&mut successor).unwrap());
    println!("taking over: {take_over:.1?}, {} writes", done.writes);
    assert_eq!(shown(&View::open(pins.path()).unwrap(), "t0"), cluster.wanted("t0"));
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = Instant::now();
    let result = work();
    (result, began.elapsed())
}
