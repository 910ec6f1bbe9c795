//! What the daemon measures, in OpenMetrics.

mod packets;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Upper bounds in seconds, from a pooled ADD to the plugin's time-out.
const BUCKETS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0,
];

/// A part of an ADD.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// Waiting for the Port to be ready.
    Port,
    /// Making and configuring the veth pair.
    Veth,
    /// Attaching the programs.
    Attach,
    /// The transaction.
    Ovsdb,
    /// Waiting for ovs-vswitchd.
    Open,
    /// Waiting for ovn-controller.
    Install,
    /// Waiting for stackube-proxy.
    Services,
}

impl EncodeLabelValue for Phase {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> fmt::Result {
        let name = match self {
            Self::Port => "port",
            Self::Veth => "veth",
            Self::Attach => "attach",
            Self::Ovsdb => "ovsdb",
            Self::Open => "open",
            Self::Install => "install",
            Self::Services => "services",
        };
        EncodeLabelValue::encode(&name, encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PhaseLabels {
    phase: Phase,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    command: &'static str,
    /// CNI error code, 0 for success.
    code: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CommandLabels {
    command: &'static str,
}

/// The daemon's metrics. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Registry>,
    phases: Family<PhaseLabels, Histogram>,
    durations: Family<CommandLabels, Histogram>,
    calls: Family<CallLabels, Counter>,
    sandboxes: Gauge,
    adds: Gauge,
    firewall_restored: Counter,
    link_restored: Counter,
    kubelet_marked: Gauge,
    flows: Gauge,
    own_port: Gauge,
}

/// See [`Metrics::add_in_progress`].
#[derive(Debug)]
pub struct AddInProgress(Gauge);

impl Drop for AddInProgress {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    /// All at zero, besides the packets, which the maps under `pin_root` count.
    pub fn new(pin_root: PathBuf) -> Self {
        let histogram = || Histogram::new(BUCKETS);
        let phases = Family::<PhaseLabels, Histogram>::new_with_constructor(histogram);
        let durations = Family::<CommandLabels, Histogram>::new_with_constructor(histogram);
        let (calls, sandboxes, adds) = (Family::default(), Gauge::default(), Gauge::default());
        let (firewall_restored, link_restored) = (Counter::default(), Counter::default());
        let (kubelet_marked, flows, own_port) = (Gauge::default(), Gauge::default(), Gauge::default());
        let mut registry = packets::counted(Registry::with_prefix("kubestack"), pin_root);
        registry.register_with_unit(
            "add_phase_duration",
            "Time that an ADD spent in each of its phases",
            Unit::Seconds,
            phases.clone(),
        );
        registry.register_with_unit(
            "cni_duration",
            "Time that a CNI call took",
            Unit::Seconds,
            durations.clone(),
        );
        registry.register(
            "cni_calls",
            "CNI calls by their error code; 0 is success",
            calls.clone(),
        );
        registry.register("sandboxes", "Pods that are plugged in on this node", sandboxes.clone());
        registry.register("adds_in_progress", "CNI ADD calls that are being served", adds.clone());
        registry.register(
            "firewall_restored",
            "How often the firewall was found missing or changed and was put back",
            firewall_restored.clone(),
        );
        registry.register(
            "link_restored",
            "How often the node's link to its pods was found missing or changed and was put back",
            link_restored.clone(),
        );
        registry.register(
            "kubelet_marked",
            "1 when kubelet's sockets are marked, so that its probes reach pods",
            kubelet_marked.clone(),
        );
        registry.register("flows", "Flows of pods that the programs remember", flows.clone());
        registry.register(
            "own_port",
            "1 when the node's own port on the system network is plugged in",
            own_port.clone(),
        );
        Self {
            registry: Arc::new(registry),
            phases,
            durations,
            calls,
            sandboxes,
            adds,
            firewall_restored,
            link_restored,
            kubelet_marked,
            flows,
            own_port,
        }
    }

    /// Records one phase of an ADD.
    pub fn phase(&self, phase: Phase, duration: Duration) {
        self.phases
            .get_or_create(&PhaseLabels { phase })
            .observe(duration.as_secs_f64());
    }

    /// Records a CNI call; `code` is 0 for success.
    pub fn call(&self, command: &'static str, code: u32, duration: Duration) {
        self.calls.get_or_create(&CallLabels { command, code }).inc();
        self.durations
            .get_or_create(&CommandLabels { command })
            .observe(duration.as_secs_f64());
    }

    /// Counts an ADD as being served until the guard is dropped.
    pub fn add_in_progress(&self) -> AddInProgress {
        self.adds.inc();
        AddInProgress(self.adds.clone())
    }

    /// Records that the firewall had to be put back.
    pub fn firewall_restored(&self) {
        self.firewall_restored.inc();
    }

    /// Records that the node's link had to be put back.
    pub fn link_restored(&self) {
        self.link_restored.inc();
    }

    /// Sets whether kubelet's sockets are marked.
    pub fn kubelet_marked(&self, marked: bool) {
        self.kubelet_marked.set(i64::from(marked));
    }

    /// Sets whether the node's own port is plugged in.
    pub fn own_port(&self, plugged_in: bool) {
        self.own_port.set(i64::from(plugged_in));
    }

    /// Sets the number of flows.
    pub fn flows(&self, count: usize) {
        self.flows.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Sets the number of sandboxes.
    pub fn sandboxes(&self, count: usize) {
        self.sandboxes.set(i64::try_from(count).unwrap_or(i64::MAX));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_and_phases_show_up() {
        let metrics = Metrics::new("/nonexistent".into());
        metrics.call("ADD", 11, Duration::from_millis(30));
        metrics.phase(Phase::Install, Duration::from_millis(300));
        metrics.sandboxes(3);
        let text = metrics.text().unwrap();
        for line in [
            r#"kubestack_cni_calls_total{command="ADD",code="11"} 1"#,
            r#"kubestack_add_phase_duration_seconds_bucket{le="0.5",phase="install"} 1"#,
            "kubestack_sandboxes 3",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
