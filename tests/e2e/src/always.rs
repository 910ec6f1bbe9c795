//! Cleaning up after a test that may have failed.

use std::future::Future;
use std::panic::{AssertUnwindSafe, resume_unwind};

use futures::FutureExt;

/// Runs `body`, and then `cleanup`, also when `body` panics. What `body` gives.
///
/// # Panics
/// As `body`, after `cleanup`, or as `cleanup`.
pub async fn always<T>(body: impl Future<Output = T>, cleanup: impl Future<Output = ()>) -> T {
    // On the heap: those of tests that are nested several times would fill a test's stack.
    let (body, cleanup) = (Box::pin(body), Box::pin(cleanup));
    let outcome = AssertUnwindSafe(body).catch_unwind().await;
    let cleaned = AssertUnwindSafe(cleanup).catch_unwind().await;
    let value = outcome.unwrap_or_else(|panic| resume_unwind(panic));
    cleaned.unwrap_or_else(|panic| resume_unwind(panic));
    value
}
