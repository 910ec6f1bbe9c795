//! When a failed request is sent again.
//!
//! * GET, HEAD, PUT, PATCH and DELETE, and the POST that asks for a token, are repeated after 429, 5xx, timeouts and broken
//!   connections: sending them twice has the effect of sending them once.
//! * Any other POST is repeated only when it cannot have been executed: no connection was made, or 429. Not after 503: a
//!   proxy answers so before the service saw the request, but Neutron itself does too, after part of the work. The
//!   reconciler comes back and first looks for what it may have made.
//! * `Retry-After` is honoured up to [`RetryPolicy::max_retry_after`]; a service that asks for more gets it from the caller:
//!   the error says how long.

use std::time::Duration;

use backon::ExponentialBuilder;

use crate::config::ConfigError;
use crate::error::Error;

/// How often and how fast failed requests are repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all, 1 to 10. Default: 4.
    pub max_attempts: u32,
    /// Pause before the second attempt; it doubles each time, plus up to as much again at random. Default: 250 ms.
    pub first_delay: Duration,
    /// The longest pause of our own choice. Default: 5 s.
    pub max_delay: Duration,
    /// The longest `Retry-After` that is waited for. Default: 20 s.
    pub max_retry_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 4,
            first_delay: Duration::from_millis(250),
            max_delay: Duration::from_secs(5),
            max_retry_after: Duration::from_secs(20),
        }
    }
}

impl RetryPolicy {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if !(1..=10).contains(&self.max_attempts) {
            return Err(ConfigError::setting("retry attempts", "must be 1 to 10"));
        }
        if self.first_delay > self.max_delay {
            return Err(ConfigError::setting(
                "retry delay",
                "the first must not exceed the longest",
            ));
        }
        Ok(())
    }

    pub(crate) fn backoff(&self) -> ExponentialBuilder {
        ExponentialBuilder::default()
            .with_min_delay(self.first_delay)
            .with_max_delay(self.max_delay)
            .with_max_times(self.max_attempts.saturating_sub(1) as usize)
            .with_jitter()
    }

    /// The pause before the next attempt, given the one that backoff proposes: `None` to give up.
    pub(crate) fn pause(&self, error: &Error, proposed: Option<Duration>) -> Option<Duration> {
        let proposed = proposed?;
        match error {
            Error::RateLimited {
                retry_after: Some(wanted),
                ..
            }
            | Error::Server {
                retry_after: Some(wanted),
                ..
            } => (*wanted <= self.max_retry_after).then(|| proposed.max(*wanted)),
            _ => Some(proposed),
        }
    }
}

/// What sending a request twice would do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// The same as sending it once.
    Safe,
    /// Make a second object: only when the first cannot have been executed.
    OnlyUnexecuted,
}

impl Repeat {
    pub(crate) fn allows(self, error: &Error) -> bool {
        error.is_transient()
            && match self {
                Self::Safe => !matches!(error, Error::Server { status: 501 | 505, .. }),
                Self::OnlyUnexecuted => !error.may_have_been_executed(),
            }
    }
}
