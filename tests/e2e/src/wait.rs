//! Waiting for conditions, never for time.

use std::{
    future::Future,
    time::{Duration, Instant},
};

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(250);

/// Calls `probe` until it returns `Ok`, and returns that. After `limit` it panics with `what` and the last error.
///
/// # Panics
/// When the condition does not come true in time.
pub async fn until<T, E, F>(what: &str, limit: Duration, probe: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, E>>,
    E: std::fmt::Display,
{
    until_every(INTERVAL, what, limit, probe).await
}

/// As [`until`], for what must be caught while it lasts: the condition is looked at every `interval`.
///
/// # Panics
/// As [`until`].
pub async fn until_every<T, E, F>(interval: Duration, what: &str, limit: Duration, mut probe: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, E>>,
    E: std::fmt::Display,
{
    let start = Instant::now();
    loop {
        match probe().await {
            Ok(value) => return value,
            Err(error) if start.elapsed() > limit => {
                panic!("{what}: not within {} s: {error:#}", limit.as_secs());
            }
            Err(_) => tokio::time::sleep(interval).await,
        }
    }
}
