//! Until when this instance may change anything. Asked right before each request, so that also a process that stood still (stopped,
//! starved, swapped out) sends nothing when it goes on after its lease: a look at the Lease would come too late.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{Method, Request};
use kube::client::Body;
use stackube_openstack::{RequestEvent, RequestObserver};
use tower::filter::FilterLayer;

use crate::metrics::Metrics;

/// The leader stops this long before its lease ends, so that it is quiet when the next one starts.
const MARGIN: Duration = Duration::from_secs(2);

/// Open while nobody leads or wants to, then until shortly before the lease ends. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fence(Arc<Mutex<Until>>);

#[derive(Clone, Copy, Debug, Default)]
enum Until {
    /// This process has not led yet.
    #[default]
    Led,
    /// The end of the lease.
    End(Instant),
    /// Never again.
    Shut,
}

/// A request to the API server that came too late.
#[derive(Debug, thiserror::Error)]
#[error("not sent: the lease has run out, another instance may be the leader")]
struct TooLate;

impl Fence {
    /// The lease ends at `end`, as far as is known now.
    pub(super) fn move_to(&self, end: Instant) {
        let mut until = self.lock();
        if !matches!(*until, Until::Shut) {
            *until = Until::End(end);
        }
    }

    /// The lease is lost or was given back.
    pub(super) fn shut(&self) {
        *self.lock() = Until::Shut;
    }

    /// Whether anything may be changed now.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open_at(Instant::now())
    }

    pub(super) fn is_open_at(&self, now: Instant) -> bool {
        match *self.lock() {
            Until::Led => true,
            Until::End(end) => now + MARGIN <= end,
            Until::Shut => false,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Until> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the client of the Kubernetes API: refuses whatever could change something.
    pub(crate) fn layer(
        &self,
    ) -> FilterLayer<impl FnMut(Request<Body>) -> Result<Request<Body>, tower::BoxError> + Clone + use<>> {
        let fence = self.clone();
        FilterLayer::new(move |request: Request<Body>| {
            if is_read(request.method()) || fence.is_open() {
                Ok(request)
            } else {
                Err(TooLate.into())
            }
        })
    }
}

fn is_read(method: &Method) -> bool {
    [Method::GET, Method::HEAD].contains(method)
}

/// What the client of OpenStack tells and asks.
#[derive(Debug)]
pub(crate) struct Guard {
    /// Counts requests.
    pub(crate) metrics: Metrics,
    /// Holds them back.
    pub(crate) fence: Fence,
}

impl RequestObserver for Guard {
    fn observe(&self, event: &RequestEvent) {
        self.metrics.observe(event);
    }

    fn may_write(&self) -> bool {
        self.fence.is_open()
    }
}
