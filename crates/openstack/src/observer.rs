//! Hooks for metrics, so that this crate needs no metrics library, and for whoever may not write at all times.

use std::time::Duration;

use http::Method;

use crate::service::Service;

/// One attempt of one request, after it ended. Retries and the second attempt after a 401 are events of their own.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RequestEvent {
    /// The service asked.
    pub service: Service,
    /// The HTTP method.
    pub method: Method,
    /// The path with `{…}` in the place of identifiers, e.g. `ports/{id}`: few enough to be a label.
    pub route: &'static str,
    /// HTTP status; `None` when there was no answer.
    pub status: Option<u16>,
    /// From sending to the end of the body, without waiting for a free slot.
    pub duration: Duration,
    /// How long it waited for a free slot toward the service.
    pub queued: Duration,
    /// 1 for the first try, 2 for the first retry, and so on.
    pub attempt: u32,
}

/// Is told of every attempt. Called on the request's task: it must be quick and must not block.
pub trait RequestObserver: Send + Sync {
    /// One attempt ended.
    fn observe(&self, event: &RequestEvent);

    /// Whether a request that can change something may be sent now; asked right before each attempt of any method but GET and
    /// HEAD. If not, it ends with [`crate::Error::Withheld`].
    fn may_write(&self) -> bool {
        true
    }
}

/// Ignores everything.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl RequestObserver for NoObserver {
    fn observe(&self, _event: &RequestEvent) {}
}
