//! The API server's side: reviews by the clock, and how they were answered.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout_at;

use crate::server::Server;
use crate::support;
use crate::{GARBAGE, RATE, USERS};

/// Requests are sent in bunches, since a timer is not finer.
const BUNCH: Duration = Duration::from_millis(4);

/// Requests under way at once, and so connections: an API server has a few. Others wait, which counts.
const AT_ONCE: usize = 64;

/// A client of the webhook.
pub(crate) struct Load {
    slots: Semaphore,
    http: reqwest::Client,
    url: String,
    /// Made-up tokens so far: none is sent twice, since its refusal would be remembered.
    made_up: AtomicUsize,
}

/// Answers to one kind of token.
#[derive(Default)]
pub(crate) struct Seen {
    took: Duration,
    latencies: Vec<Duration>,
    pub(crate) let_in: usize,
    pub(crate) refused: usize,
    pub(crate) failed: usize,
}

impl Seen {
    pub(crate) const HEADER: &'static str = "   per s   p50 ms   p99 ms   max ms   let in  refused   failed";

    pub(crate) fn count(&self) -> usize {
        self.latencies.len()
    }

    /// Answers a second.
    pub(crate) fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.took.as_secs_f64()
    }

    /// The time in which this share of the answers came, in ms.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable();
        let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
        sorted.get(index).map_or(0.0, |latency| latency.as_secs_f64() * 1e3)
    }

    fn add(&mut self, answer: Option<bool>, latency: Duration) {
        self.latencies.push(latency);
        match answer {
            Some(true) => self.let_in += 1,
            Some(false) => self.refused += 1,
            None => self.failed += 1,
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>8.0} {:>8.2} {:>8.2} {:>8.2} {:>8} {:>8} {:>8}",
            self.rate(),
            self.percentile(50),
            self.percentile(99),
            self.percentile(100),
            self.let_in,
            self.refused,
            self.failed
        )
    }
}

#[derive(Clone, Copy)]
enum Kind {
    User,
    Foreign,
    Unknown,
}

impl Load {
    pub(crate) fn new(server: &Server) -> Self {
        Self {
            slots: Semaphore::new(AT_ONCE),
            http: support::client(&server.authority.pem(), Some(&server.authority)),
            url: format!("https://{}/authenticate", server.address),
            made_up: AtomicUsize::new(0),
        }
    }

    /// Whether the token is let in; `None` without an answer.
    pub(crate) async fn review(&self, token: &str) -> Option<bool> {
        let _slot = self.slots.acquire().await.ok()?;
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
        let answer = self.http.post(&self.url).body(review.to_string()).send().await.ok()?;
        let answer: Value = answer.json().await.ok()?;
        answer["status"]["authenticated"].as_bool()
    }

    /// Users, tokens that are nobody's by their shape, and, if wanted, tokens that only Keystone can tell.
    pub(crate) async fn run(self: &Arc<Self>, phase: Duration, garbage: bool) -> (Seen, Seen, Seen) {
        let mut answers = JoinSet::new();
        let mut timer = tokio::time::interval(BUNCH);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
        let (start, mut count) = (timer.tick().await, 0);
        let per_bunch = |rate: u32| u128::from(rate) * BUNCH.as_millis();
        while start.elapsed() < phase {
            let due = Instant::from(timer.tick().await);
            count += 1;
            let unknown = if garbage { GARBAGE } else { 0 };
            for (kind, rate) in [(Kind::User, RATE), (Kind::Foreign, GARBAGE), (Kind::Unknown, unknown)] {
                let number = |bunch: u128| bunch * per_bunch(rate) / 1000;
                for number in number(count - 1)..number(count) {
                    let load = Arc::clone(self);
                    let token = self.token(kind, usize::try_from(number).unwrap_or_default());
                    answers.spawn(async move {
                        let answer = load.review(&token).await;
                        (kind, answer, due.elapsed())
                    });
                }
            }
        }
        let (mut users, mut foreign, mut unknown) = (Seen::default(), Seen::default(), Seen::default());
        let patience = start + 2 * phase;
        while let Ok(Some(Ok((kind, answer, latency)))) = timeout_at(patience, answers.join_next()).await {
            match kind {
                Kind::User => users.add(answer, latency),
                Kind::Foreign => foreign.add(answer, latency),
                Kind::Unknown => unknown.add(answer, latency),
            }
        }
        if !answers.is_empty() {
            println!(
                "{} reviews were not answered in time: the machine is too slow or too busy",
                answers.len()
            );
        }
        answers.shutdown().await;
        for seen in [&mut users, &mut foreign, &mut unknown] {
            seen.took = start.elapsed();
        }
        (users, foreign, unknown)
    }

    fn token(&self, kind: Kind, number: usize) -> String {
        match kind {
            Kind::User => support::token(number % USERS),
            // As long as the token of a service account.
            Kind::Foreign => format!("eyJhbGciOiJSUzI1NiJ9.{number:0900}"),
            Kind::Unknown => support::token(USERS + self.made_up.fetch_add(1, Ordering::Relaxed)),
        }
    }
}
