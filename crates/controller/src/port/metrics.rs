//! What the ports tell Prometheus. docs/operator/metrics.md describes each.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::book::Usage;

/// What a pod that could use the pool got from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
pub(crate) enum Claim {
    /// A port of the pool.
    Hit,
    /// None was there, or it could not be claimed: a port is made.
    Miss,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
enum AddressState {
    Held,
    Resting,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClaimLabels {
    outcome: Claim,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AddressLabels {
    state: AddressState,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

/// The ports' part of the metrics. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    ready: Histogram,
    claims: Family<ClaimLabels, Counter>,
    spare: Gauge,
    addresses: Family<AddressLabels, Gauge>,
    errors: Family<ReasonLabels, Counter>,
    strays: Family<KindLabels, Gauge>,
}

impl Metrics {
    /// Registers them.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            ready: Histogram::new(exponential_buckets(0.05, 2.0, 12)),
            claims: Family::default(),
            spare: Gauge::default(),
            addresses: Family::default(),
            errors: Family::default(),
            strays: Family::default(),
        };
        let text = "Time from the controller seeing a pod bound to a node until its Port is ready";
        registry.register_with_unit("port_ready", text, Unit::Seconds, metrics.ready.clone());
        registry.register(
            "pool_claims",
            "Pods served by the port pool, or not",
            metrics.claims.clone(),
        );
        registry.register("pool_ports", "Ports in the pool", metrics.spare.clone());
        registry.register(
            "addresses",
            "Pod addresses held, or resting after use",
            metrics.addresses.clone(),
        );
        registry.register(
            "port_errors",
            "Reconciles of Ports that stopped, by reason",
            metrics.errors.clone(),
        );
        registry.register(
            "strays",
            "Objects in OpenStack that belong to nothing in Kubernetes",
            metrics.strays.clone(),
        );
        metrics
    }

    /// A Port became ready.
    pub(super) fn ready(&self, after: Duration) {
        self.ready.observe(after.as_secs_f64());
    }

    /// A reconcile of a Port stopped.
    pub(crate) fn error(&self, reason: &'static str) {
        self.errors.get_or_create(&ReasonLabels { reason }).inc();
    }

    /// A pod asked the pool.
    pub(crate) fn claim(&self, outcome: Claim) {
        self.claims.get_or_create(&ClaimLabels { outcome }).inc();
    }

    /// The pool has this many ports.
    pub(crate) fn spare(&self, ports: usize) {
        self.spare.set(i64::try_from(ports).unwrap_or(i64::MAX));
    }

    /// The address book holds this.
    pub(super) fn addresses(&self, usage: Usage) {
        let set = |state, n| {
            let gauge = self.addresses.get_or_create(&AddressLabels { state }).clone();
            gauge.set(i64::try_from(n).unwrap_or(i64::MAX));
        };
        set(AddressState::Held, usage.held);
        set(AddressState::Resting, usage.resting);
    }

    /// So many strays of a kind exist.
    pub(crate) fn strays(&self, kind: &'static str, found: usize) {
        self.strays
            .get_or_create(&KindLabels { kind })
            .set(i64::try_from(found).unwrap_or(i64::MAX));
    }
}
