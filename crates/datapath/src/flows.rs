//! The flow table: what is in it, and when an entry has had its time.

mod age;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddrV4;
use std::path::Path;
use std::time::Duration;

use crate::Error;
use crate::abi::{self, Affinity, AffinityKey, Flow, FlowKey, Released};
use crate::table::{Table, address};

/// What a sweep found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Entries that are left.
    pub live: usize,
    /// Entries that were removed.
    pub removed: usize,
}

/// A flow through a service, as the table has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowRecord {
    /// Index of the pod's host-side veth.
    pub ifindex: u32,
    /// IP protocol number.
    pub protocol: u8,
    /// The pod's port.
    pub port: u16,
    /// What the pod addressed.
    pub service: SocketAddrV4,
    /// What answers.
    pub backend: SocketAddrV4,
    /// The pod's port as the backend sees it.
    pub translated_port: u16,
    /// Time since the last packet of the pod.
    pub idle: Duration,
}

#[derive(Debug)]
pub(crate) struct Flows {
    flows: Table<FlowKey, Flow>,
    affinity: Table<AffinityKey, Affinity>,
    pods: Table<u32, abi::Pod>,
    released: Table<u32, Released>,
}

impl Flows {
    pub(crate) fn open(root: &Path) -> Result<Self, Error> {
        Ok(Self {
            flows: Table::open(root, "flows")?,
            affinity: Table::open(root, "affinity")?,
            pods: Table::open(root, "pods")?,
            released: Table::open(root, "released")?,
        })
    }

    pub(crate) fn sweep(&self) -> Result<Swept, Error> {
        // The clock is read first: an entry that a program touches meanwhile is younger than that.
        let now = clock();
        let pods: HashSet<u32> = self.pods.entries()?.into_iter().map(|(ifindex, _)| ifindex).collect();
        let entries: HashMap<FlowKey, Flow> = self.flows.entries()?.into_iter().collect();
        let mut swept = Swept::default();
        let mut released: HashMap<u32, Released> = HashMap::new();
        for (key, flow) in &entries {
            let other = entries.get(&age::other(key, flow));
            if pods.contains(&key.ifindex) && !age::is_over(now, key, flow, other) {
                swept.live += 1;
            } else if self.flows.remove(key)? {
                swept.removed += 1;
                released.entry(key.ifindex).or_default().flows += u64::from(flow.weight);
            }
        }
        for (key, affinity) in self.affinity.entries()? {
            let over = now.saturating_sub(affinity.seen) > u64::from(affinity.timeout) * age::SECOND;
            if (over || !pods.contains(&key.ifindex)) && self.affinity.remove(&key)? {
                released.entry(key.ifindex).or_default().affinities += 1;
            }
        }
        for (ifindex, more) in released.into_iter().filter(|(ifindex, _)| pods.contains(ifindex)) {
            let before = self.released.get(&ifindex)?.unwrap_or_default();
            let released = Released {
                flows: before.flows.wrapping_add(more.flows),
                affinities: before.affinities.wrapping_add(more.affinities),
            };
            self.released.set(&ifindex, &released)?;
        }
        Ok(swept)
    }

    /// The flows of a pod through services, those that the pod opened.
    pub(crate) fn list(&self, ifindex: u32) -> Result<Vec<FlowRecord>, Error> {
        let now = clock();
        let entries = self.flows.entries()?;
        let own = entries
            .iter()
            .filter(|(key, _)| key.ifindex == ifindex && key.direction == abi::FORWARD);
        let record = |(key, flow): &(FlowKey, Flow)| FlowRecord {
            ifindex,
            protocol: key.protocol,
            port: u16::from_be(key.local_port),
            service: SocketAddrV4::new(address(key.remote), u16::from_be(key.remote_port)),
            backend: SocketAddrV4::new(address(flow.remote), u16::from_be(flow.remote_port)),
            translated_port: u16::from_be(flow.local_port),
            idle: Duration::from_nanos(now.saturating_sub(flow.seen)),
        };
        Ok(own.map(record).collect())
    }
}

/// Nanoseconds of the clock that the programs read.
fn clock() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec * 1_000_000_000 + now.tv_nsec).unwrap_or(0)
}
