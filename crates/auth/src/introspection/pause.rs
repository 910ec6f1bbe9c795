//! Leaving Keystone alone while it does not answer.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use stackube_openstack::Error;

use super::NoAnswer;

/// How many failures in a row mean that Keystone is down.
const FAILURES: u32 = 3;
/// How long it is left alone then; after that one question tries whether it is back.
const PAUSE: Duration = Duration::from_secs(1);

/// Counts failures; after [`FAILURES`] of them, lets one question through a second.
#[derive(Debug, Default)]
pub(super) struct Pause(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    until: Option<Instant>,
    /// When it was last seen that Keystone does not answer.
    found: Option<Instant>,
}

impl Pause {
    /// # Errors
    /// [`NoAnswer::Paused`] while Keystone is left alone.
    pub(super) fn check(&self) -> Result<(), NoAnswer> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        match state.until {
            Some(until) if now < until => Err(NoAnswer::Paused),
            Some(_) => {
                state.until = Some(now + PAUSE);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// As [`Pause::check`] for a question that was let through and had to wait since.
    ///
    /// # Errors
    /// [`NoAnswer::Paused`] when Keystone was found not to answer after `let_through`.
    pub(super) fn check_again(&self, let_through: Instant) -> Result<(), NoAnswer> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match state.found {
            Some(found) if found > let_through && state.until.is_some() => Err(NoAnswer::Paused),
            _ => Ok(()),
        }
    }

    /// Notes how a question ended.
    pub(super) fn note(&self, error: Option<&Error>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !error.is_some_and(Error::is_transient) {
            *state = State::default();
            return;
        }
        state.failures = state.failures.saturating_add(1);
        if state.failures >= FAILURES {
            let now = Instant::now();
            (state.until, state.found) = (Some(now + PAUSE), Some(now));
        }
    }
}
