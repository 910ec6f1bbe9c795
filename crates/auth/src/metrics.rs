//! Metrics in the OpenMetrics text format. docs/operator/auth.md describes each of them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use stackube_openstack::{RequestEvent, RequestObserver};

/// How a review ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Outcome {
    /// A user was let in.
    Accepted,
    /// The token is not Keystone's.
    Foreign,
    /// Keystone does not know the token.
    Unknown,
    /// Keystone knows it, but its holder is not let in.
    Refused,
    /// Too many unknown tokens at once.
    Busy,
    /// Keystone does not answer.
    Unavailable,
    /// The request was no TokenReview.
    Malformed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReviewLabels {
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    status: String,
}

/// All metrics of the process. Clones share them.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    reviews: Family<ReviewLabels, Counter>,
    review_seconds: Histogram,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Histogram,
    remembered: Gauge,
    tenants: Gauge,
    unusable: Counter,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.000_1, 4.0, 9));
        let mut inner = Inner {
            registry: Registry::with_prefix("stackube_auth"),
            reviews: Family::default(),
            review_seconds: seconds(),
            requests: Family::default(),
            request_seconds: seconds(),
            remembered: Gauge::default(),
            tenants: Gauge::default(),
            unusable: Counter::default(),
        };
        let registry = &mut inner.registry;
        registry.register("reviews", "TokenReviews by outcome", inner.reviews.clone());
        let help = "From a TokenReview to its answer";
        registry.register_with_unit("review", help, Unit::Seconds, inner.review_seconds.clone());
        let help = "Questions to Keystone by HTTP status, or none";
        registry.register("keystone_requests", help, inner.requests.clone());
        let help = "From a question to Keystone to its answer";
        registry.register_with_unit("keystone_request", help, Unit::Seconds, inner.request_seconds.clone());
        let help = "Answers of Keystone that are remembered";
        registry.register("remembered_answers", help, inner.remembered.clone());
        registry.register("tenants", "Tenants that have a project", inner.tenants.clone());
        let help = "Times that the certificates on disk could not be used";
        registry.register("certificate_failures", help, inner.unusable.clone());
        Self(Arc::new(inner))
    }
}

impl Metrics {
    pub(crate) fn reviewed(&self, outcome: Outcome, after: Duration) {
        self.0.reviews.get_or_create(&ReviewLabels { outcome }).inc();
        self.0.review_seconds.observe(after.as_secs_f64());
    }

    pub(crate) fn certificates_unusable(&self) {
        self.0.unusable.inc();
    }

    /// The text for Prometheus, with the two sizes as they are now.
    pub(crate) fn text(&self, remembered: u64, tenants: usize) -> Result<String, fmt::Error> {
        self.0.remembered.set(i64::try_from(remembered).unwrap_or(i64::MAX));
        self.0.tenants.set(i64::try_from(tenants).unwrap_or(i64::MAX));
        let mut text = String::new();
        encode(&mut text, &self.0.registry).map(|()| text)
    }
}

impl RequestObserver for Metrics {
    fn observe(&self, event: &RequestEvent) {
        let status = event
            .status
            .map_or_else(|| "none".to_owned(), |status| status.to_string());
        self.0.requests.get_or_create(&RequestLabels { status }).inc();
        self.0.request_seconds.observe(event.duration.as_secs_f64());
    }
}
