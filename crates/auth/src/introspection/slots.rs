//! How many tokens of one kind are asked for at once, and how many wait for their turn.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use super::{Limits, NoAnswer};

/// Slots with a queue of their own: who waits for others is not counted here.
#[derive(Debug)]
pub(super) struct Slots {
    free: Semaphore,
    waiting: AtomicUsize,
    max_waiting: usize,
    max_wait: Duration,
}

impl Slots {
    pub(super) fn new(count: NonZeroUsize, limits: &Limits) -> Self {
        Self {
            free: Semaphore::new(count.get()),
            waiting: AtomicUsize::new(0),
            max_waiting: limits.max_waiting,
            max_wait: limits.max_wait,
        }
    }

    /// # Errors
    /// [`NoAnswer::Busy`] when too many wait, or no slot came free in time.
    pub(super) async fn take(&self) -> Result<SemaphorePermit<'_>, NoAnswer> {
        if let Ok(slot) = self.free.try_acquire() {
            return Ok(slot);
        }
        let _waiting = Waiting::new(&self.waiting, self.max_waiting)?;
        match tokio::time::timeout(self.max_wait, self.free.acquire()).await {
            Ok(Ok(slot)) => Ok(slot),
            Ok(Err(_)) | Err(_) => Err(NoAnswer::Busy),
        }
    }
}

/// One that waits, counted until it waits no more.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize, max: usize) -> Result<Self, NoAnswer> {
        let waiting = Self(count);
        match count.fetch_add(1, Ordering::Relaxed) {
            before if before < max => Ok(waiting),
            _ => Err(NoAnswer::Busy),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
