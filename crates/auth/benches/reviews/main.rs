//! TokenReviews a second and their latency: `cargo bench -p stackube-auth --bench reviews`.
//!
//! The webhook runs in a process of its own, held to one core, and is asked as the API server asks it: over TLS with client
//! certificates. **Keystone is a fake HTTP server**: answers from memory do not reach it, and a real one can hardly be made to
//! fail at a given moment; what the real one says is tested in `tests/live`. Requests are sent by the clock, whether or not the
//! earlier ones were answered, and their latency counts from when they were due.
//!
//! Goals: 2,000 reviews a second of users who are remembered, p99 below 5 ms, memory below 30 MB, also beside made-up tokens
//! and while Keystone fails. The numbers of a busy machine say little; so its load is printed with them, and a review that
//! costs nothing but the transport (a token that is nobody's by its shape) beside each. The time on the processor
//! that a review takes hardly depends on the load: a second divided by it is what one core can do.

#![expect(clippy::print_stdout, reason = "the numbers are what it is for")]
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be made ends at once")]

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

mod load;
mod server;
#[expect(dead_code, reason = "the tests' helpers; a measurement needs some of them")]
#[path = "../../tests/it/support.rs"]
mod support;

use load::{Load, Seen};
use server::Server;

/// Users at work.
const USERS: usize = 100;
/// Their reviews a second.
const RATE: u32 = 2000;
/// Reviews of each kind of made-up token a second, beside them.
const GARBAGE: u32 = 250;
/// For how long reviews are sent in each phase.
const PHASE: Duration = Duration::from_secs(7);

fn main() -> ExitCode {
    let _ = rustls::crypto::ring::default_provider().install_default();
    if let Some(arguments) = server::Arguments::of_process() {
        server::run(&arguments);
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    match runtime.unwrap().block_on(measure()) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// Whether every answer was right. Whether it came in time depends on the machine, so that is printed only.
async fn measure() -> bool {
    let server = Server::start().await;
    let load = Arc::new(Load::new(&server));
    for user in 0..USERS {
        server.tokens.add(&support::token(user));
    }
    // Before the clock runs, each user is let in once.
    for user in 0..USERS {
        assert!(
            load.review(&support::token(user)).await.unwrap(),
            "user {user} is not let in"
        );
    }
    let machine = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load of the machine: {}", machine.trim());
    println!("{:<34} {}", "", Seen::HEADER);
    let mut right = true;
    for (what, garbage, failing) in [
        ("remembered users", false, false),
        ("beside made-up tokens", true, false),
        ("the same, Keystone fails (503)", true, true),
    ] {
        server.tokens.break_down(failing);
        let cpu = server.cpu();
        let (users, foreign, unknown) = load.run(PHASE, garbage).await;
        let reviews = users.count() + foreign.count() + unknown.count();
        let each = (server.cpu() - cpu).as_secs_f64() * 1e6 / reviews as f64;
        println!(
            "{what:<34} {users}  {each:.0} µs of CPU a review, {:.1} MB",
            server.memory()
        );
        println!("{:<34} {foreign}", "  nobody's by its shape");
        right &= users.refused == 0 && users.failed == 0 && foreign.let_in == 0;
        if garbage {
            println!("{:<34} {unknown}", "  made up");
            right &= unknown.let_in == 0;
        }
    }
    println!(
        "{}",
        if right {
            "every answer was right"
        } else {
            "WRONG ANSWERS"
        }
    );
    right
}
