//! TokenReviews a second and their latency: `cargo bench -p stackube-auth --bench reviews`.
//!
//! The webhook runs in a process of its own, held to one core, and is asked as the API server asks it: over TLS with client
//! certificates. **Keystone is a fake HTTP server**: answers from memory do not reach it, and a real one can hardly be made to
//! fail at a given moment; what the real one says is tested in `tests/live`. Requests are sent by the clock, whether or not the
//! earlier ones were answered, and their latency counts from when they were due.
//!
//! Goals: 2,000 reviews a second of users who are remembered, p99 below 5 ms, memory below 30 MB, also beside made-up tokens
//! and when Keystone stops in the middle. Each line says which of them it missed, and then, as after a wrong answer, the end is a failure.
//! Users whom Keystone is asked about again every few seconds, as they are in a cluster, have no goal for p99: that is Keystone's. The
//! numbers of a busy machine say little; so its load is printed with them, and a review that costs nothing but the transport (a token that is nobody's by its shape) beside each. The
//! time on the processor that a review takes hardly depends on the load: a second divided by it is what one core can do.

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

/// One line of the table.
struct Phase {
    what: &'static str,
    /// For how long the webhook remembers a good token.
    remembers: Duration,
    /// Whether made-up tokens are sent beside the users'.
    garbage: bool,
    /// Whether Keystone begins to fail in the middle.
    stops: bool,
}

/// Longer than a phase takes, on a slow machine too.
const LONG: Duration = Duration::from_secs(300);
/// Users are asked about again a few times in a phase.
const SHORT: Duration = Duration::from_secs(2);

const PHASES: [Phase; 4] = [
    Phase {
        what: "remembered users",
        remembers: LONG,
        garbage: false,
        stops: false,
    },
    Phase {
        what: "beside made-up tokens",
        remembers: LONG,
        garbage: true,
        stops: false,
    },
    Phase {
        what: "the same, Keystone stops midway",
        remembers: LONG,
        garbage: true,
        stops: true,
    },
    Phase {
        what: "made-up tokens, memory of 2 s",
        remembers: SHORT,
        garbage: true,
        stops: false,
    },
];

/// Whether every answer was right, and every goal met.
async fn measure() -> bool {
    let machine = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load of the machine: {}", machine.trim());
    println!("{:<34} {}", "", Seen::HEADER);
    let (mut right, mut met) = (true, true);
    for phase in &PHASES {
        let (phase_right, phase_met) = phase.measure().await;
        right &= phase_right;
        met &= phase_met;
    }
    let answers = if right {
        "every answer was right"
    } else {
        "WRONG ANSWERS"
    };
    let goals = if met { "every goal was met" } else { "GOALS WERE MISSED" };
    println!("{answers}, {goals}");
    right && met
}

impl Phase {
    /// Prints what was seen; whether every answer was right, and whether the goals were met.
    async fn measure(&self) -> (bool, bool) {
        let server = Server::start(self.remembers).await;
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
        let cpu = server.cpu();
        let stop = async {
            tokio::time::sleep(PHASE / 2).await;
            server.tokens.break_down(self.stops);
        };
        let ((users, foreign, unknown), ()) = tokio::join!(load.run(PHASE, self.garbage), stop);
        let reviews = users.count() + foreign.count() + unknown.count();
        let each = (server.cpu() - cpu).as_secs_f64() * 1e6 / reviews as f64;
        let (what, memory) = (self.what, server.memory());
        println!("{what:<34} {users}  {each:.0} µs of CPU a review, {memory:.1} MB");
        let missed = self.missed(&users, memory);
        if missed.is_empty() {
            println!("{:<34}   goals met", "");
        } else {
            println!("{:<34}   MISSED: {}", "", missed.join(", "));
        }
        println!("{:<34} {foreign}", "  nobody's by its shape");
        if self.garbage {
            println!("{:<34} {unknown}", "  made up");
        }
        let right = users.refused == 0 && users.failed == 0 && foreign.let_in == 0 && unknown.let_in == 0;
        (right, missed.is_empty())
    }

    /// Which goals were missed.
    fn missed(&self, users: &Seen, memory: f64) -> Vec<String> {
        let goals = [
            (users.rate() < f64::from(RATE) * 0.99, format!("{RATE} a second")),
            (
                self.remembers == LONG && users.percentile(99) >= 5.0,
                "p99 below 5 ms".to_owned(),
            ),
            (memory >= 30.0, "memory below 30 MB".to_owned()),
        ];
        let missed = goals.into_iter().filter(|(is_missed, _)| *is_missed);
        missed.map(|(_, goal)| goal).collect()
    }
}
