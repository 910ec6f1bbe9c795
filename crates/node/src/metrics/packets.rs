//! What the datapath decided about packets, read from the kernel when somebody asks.

use std::fmt;
use std::path::PathBuf;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::registry::Registry;
use tracing::debug;

/// The counters of the maps under a directory. Until the maps are there, there is no metric.
#[derive(Debug)]
struct Packets {
    root: PathBuf,
}

/// Adds the metric of the maps under `root`.
pub(super) fn counted(mut registry: Registry, root: PathBuf) -> Registry {
    registry.register_collector(Box::new(Packets { root }));
    registry
}

impl Collector for Packets {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counters = match stackube_datapath::counters(&self.root) {
            Ok(counters) => counters,
            Err(error) => {
                debug!(%error, "no counters of packets");
                return Ok(());
            }
        };
        let kind = ConstCounter::new(0u64);
        let mut family = encoder.encode_descriptor(
            "packets",
            "Packets of pods by what the programs decided, since the maps were made",
            None,
            kind.metric_type(),
        )?;
        for (reason, count) in counters {
            ConstCounter::new(count).encode(family.encode_family(&[("decision", reason)])?)?;
        }
        Ok(())
    }
}
