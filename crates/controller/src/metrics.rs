//! Metrics in the OpenMetrics text format. docs/operator/metrics.md describes each of them; a test compares the two.

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

/// How a reconcile ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Outcome {
    /// The object is as wanted.
    Done,
    /// Something runs its course.
    Waiting,
    /// The object cannot be made as asked.
    Refused,
    /// An error that will be retried.
    Failed,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReconcileLabels {
    kind: &'static str,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    service: &'static str,
    method: String,
    route: &'static str,
    status: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    service: &'static str,
    method: String,
    route: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RepairLabels {
    object: &'static str,
}

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// All metrics of the process. Clones share them.
#[derive(Clone)]
pub(crate) struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    leader: Gauge,
    reconciles: Family<ReconcileLabels, Counter>,
    reconcile_seconds: Histograms<KindLabel>,
    watch_failures: Family<KindLabel, Counter>,
    repairs: Family<RepairLabels, Counter>,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Histograms<RouteLabels>,
    queue_seconds: Histogram,
    ports: crate::port::Metrics,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

/// 10 ms to 80 s: from one quick call to a reconcile that makes a router.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 2.0, 14))
}

impl Metrics {
    /// Registers everything.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("stackube_controller");
        let leader = Gauge::default();
        let reconciles = Family::default();
        let reconcile_seconds = Histograms::new_with_constructor(seconds as fn() -> Histogram);
        let watch_failures = Family::default();
        let repairs = Family::default();
        let requests = Family::default();
        let request_seconds = Histograms::new_with_constructor(seconds as fn() -> Histogram);
        let queue_seconds = seconds();
        registry.register("leader", "1 while this instance holds the lease", leader.clone());
        registry.register(
            "reconciles",
            "Reconciles by kind and how they ended",
            reconciles.clone(),
        );
        registry.register_with_unit(
            "reconcile",
            "Time of a reconcile",
            Unit::Seconds,
            reconcile_seconds.clone(),
        );
        registry.register(
            "watch_failures",
            "Watches of the Kubernetes API that broke",
            watch_failures.clone(),
        );
        registry.register(
            "repairs",
            "Objects in OpenStack that were not as made and were mended",
            repairs.clone(),
        );
        registry.register(
            "openstack_requests",
            "Requests to OpenStack, each attempt",
            requests.clone(),
        );
        let text = "Time of a request to OpenStack";
        registry.register_with_unit("openstack_request", text, Unit::Seconds, request_seconds.clone());
        let text = "Time that requests to OpenStack waited for a free slot";
        registry.register_with_unit("openstack_queue", text, Unit::Seconds, queue_seconds.clone());
        let ports = crate::port::Metrics::new(&mut registry);
        Self(Arc::new(Inner {
            registry,
            leader,
            reconciles,
            reconcile_seconds,
            watch_failures,
            repairs,
            requests,
            request_seconds,
            queue_seconds,
            ports,
        }))
    }

    /// Those of ports, pool and sweeper.
    pub(crate) fn ports(&self) -> &crate::port::Metrics {
        &self.0.ports
    }

    /// The text that Prometheus reads.
    ///
    /// # Errors
    /// Never, in practice: writing to a `String` does not fail.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0.registry)?;
        Ok(text)
    }

    /// This instance became the leader, or is no longer.
    pub(crate) fn set_leader(&self, leader: bool) {
        self.0.leader.set(i64::from(leader));
    }

    /// A reconcile ended.
    pub(crate) fn reconciled(&self, kind: &'static str, outcome: Outcome, took: Duration) {
        self.0
            .reconciles
            .get_or_create(&ReconcileLabels { kind, outcome })
            .inc();
        self.0
            .reconcile_seconds
            .get_or_create(&KindLabel { kind })
            .observe(took.as_secs_f64());
    }

    /// A watch broke and is started again.
    pub(crate) fn watch_failed(&self, kind: &'static str) {
        self.0.watch_failures.get_or_create(&KindLabel { kind }).inc();
    }

    /// An object in OpenStack was not as made, and was mended. `object` is its kind, for example `router`.
    pub(crate) fn repaired(&self, object: &'static str) {
        self.0.repairs.get_or_create(&RepairLabels { object }).inc();
    }
}

impl RequestObserver for Metrics {
    fn observe(&self, event: &RequestEvent) {
        let service = event.service.as_str();
        let method = event.method.to_string();
        let route = event.route;
        let status = event
            .status
            .map_or_else(|| "none".to_owned(), |status| status.to_string());
        self.0
            .requests
            .get_or_create(&RequestLabels {
                service,
                method: method.clone(),
                route,
                status,
            })
            .inc();
        let labels = RouteLabels { service, method, route };
        self.0
            .request_seconds
            .get_or_create(&labels)
            .observe(event.duration.as_secs_f64());
        self.0.queue_seconds.observe(event.queued.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Names of all metrics, also of those that have no sample yet: `Registry` lists them when it is debug-printed.
    fn registered(metrics: &Metrics) -> BTreeSet<String> {
        let text = format!("{:?}", metrics.0.registry);
        let descriptors = text.split("Descriptor { name: \"").skip(1);
        descriptors
            .map(|rest| {
                let name = rest.split('"').next().unwrap();
                let unit = rest
                    .split("unit: ")
                    .nth(1)
                    .unwrap_or_default()
                    .starts_with("Some(Seconds)");
                format!("stackube_controller_{name}{}", if unit { "_seconds" } else { "" })
            })
            .collect()
    }

    #[test]
    fn the_documentation_names_exactly_the_metrics_that_there_are() {
        let page =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operator/metrics.md")).unwrap();
        let rows = page
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let documented: BTreeSet<_> = rows
            .filter(|name| name.starts_with("stackube_controller_"))
            .map(str::to_owned)
            .collect();
        let registered = registered(&Metrics::new());
        assert!(registered.len() > 8, "the names were not found: {registered:?}");
        assert_eq!(documented, registered);
    }

    #[test]
    fn a_metric_shows_under_the_name_that_is_documented() {
        let metrics = Metrics::new();
        metrics.reconciled("tenant", Outcome::Refused, Duration::from_millis(20));
        metrics.repaired("router");
        let text = metrics.text().unwrap();
        for line in [
            "stackube_controller_reconciles_total{kind=\"tenant\",outcome=\"Refused\"} 1",
            "stackube_controller_reconcile_seconds_count{kind=\"tenant\"} 1",
            "stackube_controller_repairs_total{object=\"router\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
