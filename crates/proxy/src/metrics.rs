//! What the process measures, in OpenMetrics.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::watch::Kind;

/// Upper bounds in seconds, from one endpoint to a node full of networks.
const BUCKETS: [f64; 12] = [
    0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

/// The counts of a state of the maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Networks that have pods here.
    pub networks: usize,
    /// Virtual addresses and ports of all of them.
    pub services: usize,
    /// Backends of those.
    pub backends: usize,
    /// Virtual addresses that are missing or lack backends, since their network has used up its share.
    pub left_out: usize,
}

/// The process's metrics. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    registry: Arc<Registry>,
    changes: Family<KindLabel, Counter>,
    watch_failures: Family<KindLabel, Counter>,
    rationed: Gauge,
    sync: SyncMetrics,
}

#[derive(Clone, Debug)]
struct SyncMetrics {
    duration: Histogram,
    writes: Counter,
    failures: Counter,
    repairs: Counter,
    writer: Gauge,
    networks: Gauge,
    services: Gauge,
    backends: Gauge,
    left_out: Gauge,
}

impl Default for SyncMetrics {
    fn default() -> Self {
        Self {
            duration: Histogram::new(BUCKETS),
            writes: Counter::default(),
            failures: Counter::default(),
            repairs: Counter::default(),
            writer: Gauge::default(),
            networks: Gauge::default(),
            services: Gauge::default(),
            backends: Gauge::default(),
            left_out: Gauge::default(),
        }
    }
}

impl Metrics {
    /// All at zero. `more` adds the metrics of other parts to the same registry.
    pub fn new(more: impl FnOnce(&mut Registry)) -> Self {
        let mut registry = Registry::with_prefix("stackube_proxy");
        let mut new = Self::default();
        registry.register("changes", "Changes that the API server told of", new.changes.clone());
        registry.register(
            "watch_failures",
            "Watches of the API server that broke and were started again",
            new.watch_failures.clone(),
        );
        registry.register(
            "parts_left_out",
            "Ports and endpoints that are neither in the maps nor in DNS, since their namespace has used up its ration of memory",
            new.rationed.clone(),
        );
        new.sync.register(&mut registry);
        more(&mut registry);
        new.registry = Arc::new(registry);
        new
    }

    /// Counts a change.
    pub fn changed(&self, kind: Kind) {
        self.changes.get_or_create(&KindLabel { kind: kind.name() }).inc();
    }

    /// Counts a watch that broke.
    pub fn watch_failed(&self, kind: Kind) {
        self.watch_failures
            .get_or_create(&KindLabel { kind: kind.name() })
            .inc();
    }

    /// How many ports and endpoints are left out, since their namespaces have used up their rations.
    pub fn rationed(&self, parts: usize) {
        self.rationed.set(i64::try_from(parts).unwrap_or(i64::MAX));
    }

    /// Records that the maps were brought up to date, by so many writes.
    pub fn synced(&self, duration: Duration, writes: u64, sizes: Sizes) {
        let set = |gauge: &Gauge, value: usize| gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        self.sync.duration.observe(duration.as_secs_f64());
        self.sync.writes.inc_by(writes);
        set(&self.sync.networks, sizes.networks);
        set(&self.sync.services, sizes.services);
        set(&self.sync.backends, sizes.backends);
        set(&self.sync.left_out, sizes.left_out);
    }

    /// Records that the maps could not be brought up to date.
    pub fn sync_failed(&self) {
        self.sync.failures.inc();
    }

    /// Records entries that were not as this process had left them.
    pub fn repaired(&self, entries: u64) {
        self.sync.repairs.inc_by(entries);
    }

    /// Whether this process is the one that writes the maps.
    pub fn writer(&self, is_writer: bool) {
        self.sync.writer.set(i64::from(is_writer));
    }

    /// All metrics as OpenMetrics text.
    ///
    /// # Errors
    /// When formatting fails, which writing into a String does not.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

impl SyncMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "sync_duration",
            "Time from seeing changes until the maps have them",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register(
            "map_writes",
            "Entries of maps that were written or removed",
            self.writes.clone(),
        );
        registry.register(
            "sync_failures",
            "Updates of the maps that failed and are repeated",
            self.failures.clone(),
        );
        registry.register(
            "repairs",
            "Entries of maps that somebody else had changed and that were put right",
            self.repairs.clone(),
        );
        registry.register(
            "writer",
            "1 in the process that writes the maps of the node",
            self.writer.clone(),
        );
        registry.register("networks", "Networks that have pods on the node", self.networks.clone());
        registry.register(
            "services",
            "Virtual addresses and ports in the maps, of all networks",
            self.services.clone(),
        );
        registry.register(
            "backends",
            "Backends in the maps, of all networks",
            self.backends.clone(),
        );
        registry.register(
            "services_left_out",
            "Virtual addresses and ports that are missing in the maps or lack backends, since their network has used up its share",
            self.left_out.clone(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_recorded_shows_up() {
        let metrics = Metrics::new(|_| {});
        metrics.changed(Kind::EndpointSlice);
        metrics.writer(true);
        metrics.rationed(3);
        let sizes = Sizes {
            networks: 2,
            services: 8,
            backends: 30,
            left_out: 1,
        };
        metrics.synced(Duration::from_millis(3), 5, sizes);
        let text = metrics.text().unwrap();
        for line in [
            r#"stackube_proxy_changes_total{kind="EndpointSlice"} 1"#,
            r#"stackube_proxy_sync_duration_seconds_bucket{le="0.005"} 1"#,
            "stackube_proxy_map_writes_total 5",
            "stackube_proxy_writer 1",
            "stackube_proxy_services 8",
            "stackube_proxy_parts_left_out 3",
            "stackube_proxy_services_left_out 1",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
