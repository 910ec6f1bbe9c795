//! The maps, pinned by name. Who writes each is said in docs/developer/datapath.md.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    macros::map,
    maps::{Array, HashMap, LpmTrie, LruHashMap, PerCpuArray, RingBuf},
};

use crate::abi::{
    AFFINITIES, Affinity, AffinityKey, Backend, BackendKey, FLOWS, Flow, FlowKey, Fragment, FragmentKey, HostFlowKey, Network, NetworkKey, Pod, RangeAddress, Released,
    Service, ServiceKey, Settings, Usage, reason,
};

/// Pods of a node: Kubernetes recommends at most 110; some run several hundred.
const PODS: u32 = 4096;

#[map(name = "pods")]
pub static PODS_MAP: HashMap<u32, Pod> = HashMap::pinned(PODS, BPF_F_NO_PREALLOC);

#[map(name = "usage")]
pub static USAGE: HashMap<u32, Usage> = HashMap::pinned(PODS, BPF_F_NO_PREALLOC);

/// Entries that user space removed from `flows` and `affinity`, per pod: written there only, so that no count is lost between two writers.
#[map(name = "released")]
pub static RELEASED: HashMap<u32, Released> = HashMap::pinned(PODS, BPF_F_NO_PREALLOC);

#[map(name = "aliases")]
pub static ALIASES: HashMap<u32, u32> = HashMap::pinned(PODS, BPF_F_NO_PREALLOC);

#[map(name = "addresses")]
pub static ADDRESSES: HashMap<u32, u32> = HashMap::pinned(PODS, BPF_F_NO_PREALLOC);

#[map(name = "networks")]
pub static NETWORKS: HashMap<NetworkKey, Network> = HashMap::pinned(PODS, BPF_F_NO_PREALLOC);

#[map(name = "services")]
pub static SERVICES: HashMap<ServiceKey, Service> = HashMap::pinned(1 << 18, BPF_F_NO_PREALLOC);

#[map(name = "backends")]
pub static BACKENDS: HashMap<BackendKey, Backend> = HashMap::pinned(1 << 21, BPF_F_NO_PREALLOC);

#[map(name = "flows")]
pub static FLOWS_MAP: HashMap<FlowKey, Flow> = HashMap::pinned(FLOWS, BPF_F_NO_PREALLOC);

/// Only kubelet adds to it, so that nobody can push out another's.
#[map(name = "host_flows")]
pub static HOST_FLOWS: LruHashMap<HostFlowKey, u64> = LruHashMap::pinned(1 << 15, 0);

#[map(name = "affinity")]
pub static AFFINITY: HashMap<AffinityKey, Affinity> = HashMap::pinned(AFFINITIES, BPF_F_NO_PREALLOC);

/// Entries matter for the milliseconds between the fragments of a packet, and each pod adds at a limited rate.
#[map(name = "fragments")]
pub static FRAGMENTS: LruHashMap<FragmentKey, Fragment> = LruHashMap::pinned(1 << 14, 0);

#[map(name = "service_cidrs")]
pub static SERVICE_CIDRS: LpmTrie<RangeAddress, u32> = LpmTrie::pinned(64, BPF_F_NO_PREALLOC);

#[map(name = "infrastructure")]
pub static INFRASTRUCTURE: LpmTrie<RangeAddress, u32> = LpmTrie::pinned(16384, BPF_F_NO_PREALLOC);

#[map(name = "permitted")]
pub static PERMITTED: LpmTrie<RangeAddress, u32> = LpmTrie::pinned(4096, BPF_F_NO_PREALLOC);

#[map(name = "settings")]
pub static SETTINGS: Array<Settings> = Array::pinned(1, 0);

#[map(name = "counters")]
pub static COUNTERS: PerCpuArray<u64> = PerCpuArray::pinned(reason::COUNT as u32, 0);

#[map(name = "events")]
pub static EVENTS: RingBuf = RingBuf::pinned(1 << 18, 0);
