//! The flow table: what is in it, and when an entry has had its time.

pub(crate) mod age;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddrV4;
use std::path::Path;
use std::time::Duration;

use crate::Error;
use crate::abi::{self, Affinity, AffinityKey, Flow, FlowKey, Released};
use crate::table::{Table, address};

/// How often flows that have ended are to be removed, for what a pod may do to fit into its quota.
pub const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// What a sweep found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Entries that are left.
    pub live: usize,
    /// Entries that were removed.
    pub removed: usize,
}

/// What had had its time when the tables were read.
#[derive(Debug)]
pub struct Ended {
    /// Nanoseconds of the monotonic clock before that, or later for a test.
    now: u64,
    /// Entries of flows that had not.
    live: usize,
    flows: Vec<FlowKey>,
    affinities: Vec<AffinityKey>,
    /// The pods that there were.
    pods: HashSet<u32>,
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

    /// The entries that will have had their time after so much more of it.
    pub(crate) fn ended_after(&self, time: Duration) -> Result<Ended, Error> {
        // The clock is read first: an entry that a program touches meanwhile is younger than that.
        let now = clock().saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
        let entries: HashMap<FlowKey, Flow> = self.flows.collect()?;
        let affinities = self.affinity.entries()?;
        // Read last: what has an entry here and is no pod was one, and is not about to become one.
        let pods: HashSet<u32> = self.pods.entries()?.into_iter().map(|(ifindex, _)| ifindex).collect();
        let is_over = |(key, flow): &(&FlowKey, &Flow)| {
            !pods.contains(&key.ifindex) || age::is_over(now, key, flow, entries.get(&age::other(key, flow)))
        };
        let mut flows: Vec<FlowKey> = entries.iter().filter(is_over).map(|(key, _)| *key).collect();
        // Without its way there, a flow that begins again at this moment makes both entries; without its way back it would stay broken.
        flows.sort_unstable_by_key(|key| key.direction);
        let affinities = affinities
            .into_iter()
            .filter(|(key, affinity)| !pods.contains(&key.ifindex) || age::is_forgotten(now, affinity));
        Ok(Ended {
            now,
            live: entries.len() - flows.len(),
            flows,
            affinities: affinities.map(|(key, _)| key).collect(),
            pods,
        })
    }

    /// Removes what has ended, but for what a program has used since it was found.
    pub(crate) fn remove(&self, ended: &Ended) -> Result<Swept, Error> {
        let mut released = HashMap::new();
        let removed = self.remove_flows(ended, &mut released);
        let forgotten = self.forget(ended, &mut released);
        // What is gone is counted in any case, or the pod would never get it back.
        for (ifindex, more) in released.into_iter().filter(|(ifindex, _)| ended.pods.contains(ifindex)) {
            let before = self.released.get(&ifindex)?.unwrap_or_default();
            let released = Released {
                flows: before.flows.wrapping_add(more.flows),
                affinities: before.affinities.wrapping_add(more.affinities),
            };
            self.released.set(&ifindex, &released)?;
        }
        forgotten?;
        let removed = removed?;
        Ok(Swept {
            live: ended.live + ended.flows.len() - removed,
            removed,
        })
    }

    fn remove_flows(&self, ended: &Ended, released: &mut HashMap<u32, Released>) -> Result<usize, Error> {
        let mut removed = 0;
        for key in &ended.flows {
            let Some(flow) = self.flows.get(key)? else { continue };
            let other = self.flows.get(&age::other(key, &flow))?;
            let is_over = !ended.pods.contains(&key.ifindex) || age::is_over(ended.now, key, &flow, other.as_ref());
            if is_over && self.flows.remove(key)? {
                removed += 1;
                released.entry(key.ifindex).or_default().flows += u64::from(flow.weight);
            }
        }
        Ok(removed)
    }

    fn forget(&self, ended: &Ended, released: &mut HashMap<u32, Released>) -> Result<(), Error> {
        for key in &ended.affinities {
            let Some(affinity) = self.affinity.get(key)? else {
                continue;
            };
            let is_over = !ended.pods.contains(&key.ifindex) || age::is_forgotten(ended.now, &affinity);
            if is_over && self.affinity.remove(key)? {
                released.entry(key.ifindex).or_default().affinities += 1;
            }
        }
        Ok(())
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
