//! The binary layout that the programs in `bpf/` and this crate share. The programs compile this very file, so it uses `core` alone.
//!
//! Addresses and ports are kept as they are in a packet (network byte order), in integers of the same width: `u32` and `u16` here are
//! opaque, to be compared only. Nothing has implicit padding, since the kernel compares keys byte by byte. A change of any type or map is a
//! new [`LAYOUT`].

#[cfg(not(target_arch = "bpf"))]
mod pod;
#[path = "abi/reason.rs"]
pub mod reason;

/// Version of the layout, part of the path of every pin.
pub const LAYOUT: &str = "v2";

/// IP protocol number of ICMP.
pub const ICMP: u8 = 1;
/// IP protocol number of TCP.
pub const TCP: u8 = 6;
/// IP protocol number of UDP.
pub const UDP: u8 = 17;
/// IP protocol number of SCTP.
pub const SCTP: u8 = 132;

/// Port of DNS, as it is in a packet.
pub const DNS_PORT: u16 = 53u16.to_be();

/// Mark of kubelet's sockets; packets that open a flow from the node to a pod must carry it.
pub const KUBELET_MARK: u32 = 0x77;
/// Mark of packets that the programs themselves send to a pod, so that `to_pod` lets them pass as they are.
pub const HANDLED_MARK: u32 = 0x7374_6162;

/// Entries that the map `flows` can have: those of a node, two to a flow.
pub const FLOWS: u32 = 4 << 20;
/// Entries that the map `affinity` can have.
pub const AFFINITIES: u32 = 1 << 18;
/// How many of them a pod may have; the node's own port [`NODE_SHARE`] times as many.
pub const POD_AFFINITIES: u64 = 2048;

/// Which network a pod belongs to.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(target_arch = "bpf", derive(Debug))]
pub struct NetworkKey(pub [u8; 16]);

/// `pods`: what is known of the pod behind a host-side veth. Key: ifindex.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Pod {
    /// The network that the pod belongs to.
    pub network: NetworkKey,
    /// UID of the pod.
    pub uid: [u8; 16],
    /// The pod's address.
    pub ip: u32,
    /// The router's address in the pod's subnet.
    pub gateway: u32,
    /// The pod's address on the host link.
    pub alias: u32,
    /// [`POD_TRACED`] and [`POD_NODE`], or 0.
    pub flags: u32,
    /// The pod's MAC address.
    pub mac: [u8; 6],
    /// Zero.
    pub pad: [u8; 2],
}

/// [`Pod::flags`]: every decision about this pod's packets goes to the ring buffer `events`.
pub const POD_TRACED: u32 = 1;
/// [`Pod::flags`]: it is the node's own port, which may have [`NODE_SHARE`] times as many entries as a pod.
pub const POD_NODE: u32 = 2;

/// `settings`, key 0: addresses and devices of the node, and rates.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The node's address on the link (169.254.77.1).
    pub link_address: u32,
    /// What a pod sees when it reaches itself through a service (169.254.77.2).
    pub hairpin_address: u32,
    /// First address of the range of aliases.
    pub alias_network: u32,
    /// Mask of the range of aliases.
    pub alias_mask: u32,
    /// ifindex of the link's far end, where `from_host` is attached.
    pub far_ifindex: u32,
    /// MAC address of the link's node end.
    pub node_mac: [u8; 6],
    /// MAC address of the link's far end.
    pub far_mac: [u8; 6],
    /// What a pod's entries may count at a time ([`Flow::weight`]).
    pub flow_quota: u32,
    /// Token buckets, by [`BUCKET_DNS`] and so on.
    pub rates: [Rate; BUCKETS],
}

/// A token bucket's parameters.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Rate {
    /// Packets per second.
    pub per_second: u32,
    /// Packets at once.
    pub burst: u32,
}

/// Bucket of DNS queries (each packet).
pub const BUCKET_DNS: usize = 0;
/// Bucket of connections to other addresses behind the host link (each new flow, of datagrams too).
pub const BUCKET_HOST: usize = 1;
/// Bucket of refusals (each reset or ICMP message).
pub const BUCKET_REFUSE: usize = 2;
/// Bucket of fragmented packets (each first fragment).
pub const BUCKET_FRAGMENT: usize = 3;
/// Number of buckets.
pub const BUCKETS: usize = 4;

/// `usage`: what the programs count about a pod. Key: ifindex.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// What the entries count ([`Flow::weight`]) that the programs have added to `flows`, less those that they removed.
    pub added: u64,
    /// Entries that they have added to `affinity`.
    pub affinities: u64,
    /// Token buckets.
    pub buckets: [Bucket; BUCKETS],
}

/// `released`: what user space has removed of a pod's entries. Key: ifindex.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Released {
    /// What the entries of `flows` counted ([`Flow::weight`]).
    pub flows: u64,
    /// Entries of `affinity`.
    pub affinities: u64,
}

/// State of a token bucket.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    /// Nanoseconds of the monotonic clock at the last packet.
    pub last: u64,
    /// Billionths of a packet that are left.
    pub tokens: u64,
}

/// `networks`: state of a network on this node. Key: [`NetworkKey`].
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Network {
    /// 1 when all services of the network are in the maps.
    pub synced: u32,
    /// Counts the writes.
    pub generation: u32,
}

/// Key of `services`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ServiceKey {
    /// The network in which the address is a service.
    pub network: NetworkKey,
    /// The service's address.
    pub vip: u32,
    /// The service's port.
    pub port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// Zero.
    pub pad: u8,
}

/// Value of `services`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// Names the backends in `backends`.
    pub id: u32,
    /// Number of backends; slots from 0.
    pub backends: u32,
    /// [`SERVICE_HOST`] and [`SERVICE_DNS`], or 0.
    pub flags: u16,
    /// [`Flow::weight`] of its flows, but for those of the node's own port.
    pub weight: u16,
    /// Seconds that a client stays with a backend; 0 without session affinity.
    pub affinity: u32,
    /// Counts the changes; a flow of an older generation is checked again.
    pub generation: u32,
}

/// [`Service::flags`]: the backends are reached over the host link, from the pod's alias.
pub const SERVICE_HOST: u16 = 1;
/// [`Service::flags`]: questions to the node's own DNS server. They have a rate of their own, and are over soon. Any other service on
/// port 53 is one like others: the node keeps a connection for each flow to it.
pub const SERVICE_DNS: u16 = 2;

/// Key of `backends`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BackendKey {
    /// [`Service::id`].
    pub service: u32,
    /// 0 to [`Service::backends`] - 1.
    pub slot: u32,
}

/// Value of `backends`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backend {
    /// Address of the endpoint.
    pub ip: u32,
    /// Port of the endpoint.
    pub port: u16,
    /// Zero.
    pub pad: u16,
}

/// Key of `flows`: a tuple as it is on the pod's wire ([`FORWARD`], [`HAIRPIN`]) or beyond the programs ([`REVERSE`]).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// ifindex of the pod's host-side veth.
    pub ifindex: u32,
    /// The other side's address.
    pub remote: u32,
    /// The other side's port.
    pub remote_port: u16,
    /// The pod's port.
    pub local_port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// [`FORWARD`], [`REVERSE`] or [`HAIRPIN`].
    pub direction: u8,
    /// Zero.
    pub pad: u16,
}

/// The pod's packets, before translation: remote is what the pod addressed.
pub const FORWARD: u8 = 0;
/// Packets to the pod, before they are translated back: remote is the backend.
pub const REVERSE: u8 = 1;
/// Answers of the pod to itself: remote is the hairpin address, local the backend's port.
pub const HAIRPIN: u8 = 2;

/// Value of `flows`: what the tuple becomes.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Flow {
    /// Nanoseconds of the monotonic clock at the last packet in this direction.
    pub seen: u64,
    /// The other side's address afterwards.
    pub remote: u32,
    /// The other side's port afterwards.
    pub remote_port: u16,
    /// The pod's port afterwards.
    pub local_port: u16,
    /// [`Service::id`], 0 for a flow without service.
    pub service: u32,
    /// The backend's slot when the flow began.
    pub slot: u32,
    /// [`Service::generation`] when the backend was last checked.
    pub generation: u32,
    /// [`FLOW_DIRECT`] and so on.
    pub kind: u8,
    /// [`SEEN_FIN`] and so on, of packets in this direction, and [`QUESTION`].
    pub state: u8,
    /// What the entry counts of its pod's quota: 1 or [`HOST_WEIGHT`].
    pub weight: u16,
}

/// [`Flow::kind`]: no translation but possibly of the pod's port; kept so that no service flow takes the same tuple.
pub const FLOW_DIRECT: u8 = 0;
/// [`Flow::kind`]: to a backend in the pod's network.
pub const FLOW_NETWORK: u8 = 1;
/// [`Flow::kind`]: over the host link.
pub const FLOW_HOST: u8 = 2;
/// [`Flow::kind`]: to the pod itself.
pub const FLOW_HAIRPIN: u8 = 3;

/// [`Flow::weight`] of a pod's connections over the host link: each is one that the node keeps for the pod, and one of the node's own port
/// if it goes to a shared Service; so are datagrams. Questions to the node's DNS server are not, as the node does not track them.
pub const HOST_WEIGHT: u16 = 16;
/// How many times a pod's quota the node's own port has. What the 110 pods of a node, as many as Kubernetes recommends, can have over
/// the host link leaves an eighth of it to the node itself.
pub const NODE_SHARE: u64 = 8;

/// [`Flow::state`]: a packet without SYN (SCTP: INIT), or any of a protocol without connections, was seen.
pub const SEEN_DATA: u8 = 1;
/// [`Flow::state`]: FIN (SCTP: SHUTDOWN, or what answers it) seen.
pub const SEEN_FIN: u8 = 2;
/// [`Flow::state`]: RST (SCTP: ABORT) seen.
pub const SEEN_RESET: u8 = 4;
/// [`Flow::state`]: of a flow through a service with [`SERVICE_DNS`], in both directions.
pub const QUESTION: u8 = 8;

/// Key of `host_flows`: what the node's kubelet opened to a pod.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HostFlowKey {
    /// ifindex of the pod's host-side veth.
    pub ifindex: u32,
    /// The node's port, or the identifier of an echo request.
    pub host_port: u16,
    /// The pod's port, or 0 for an echo request.
    pub pod_port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// Zero.
    pub pad: [u8; 3],
}

/// Key of `affinity`.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AffinityKey {
    /// ifindex of the client's host-side veth.
    pub ifindex: u32,
    /// [`Service::id`].
    pub service: u32,
}

/// Value of `affinity`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Affinity {
    /// Nanoseconds of the monotonic clock at the last new connection.
    pub seen: u64,
    /// The backend.
    pub backend: Backend,
    /// Where it was.
    pub slot: u32,
    /// Seconds that it holds.
    pub timeout: u32,
}

/// Key of `fragments`: a packet of which the first fragment was translated.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FragmentKey {
    /// ifindex of the pod's host-side veth.
    pub ifindex: u32,
    /// Source address before translation.
    pub source: u32,
    /// Destination address before translation.
    pub destination: u32,
    /// Identification of the IP header.
    pub id: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// [`FORWARD`] for packets from the pod, [`REVERSE`] for packets to it, [`HAIRPIN`] for those it sends to itself.
    pub direction: u8,
}

/// Value of `fragments`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Fragment {
    /// Source address after translation.
    pub source: u32,
    /// Destination address after translation.
    pub destination: u32,
    /// [`Flow::kind`].
    pub kind: u8,
    /// Zero.
    pub pad: [u8; 3],
}

/// Key of the maps of ranges (`service_cidrs`, `infrastructure`, `permitted`): the address part of a longest-prefix match.
pub type RangeAddress = u32;

/// An entry of the ring buffer `events`: one decision about a packet of a traced pod. What was not read of the packet is zero.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// Nanoseconds of the monotonic clock.
    pub time: u64,
    /// ifindex of the pod's host-side veth.
    pub ifindex: u32,
    /// Source address on arrival.
    pub source: u32,
    /// Destination address on arrival.
    pub destination: u32,
    /// Source port on arrival.
    pub source_port: u16,
    /// Destination port on arrival.
    pub destination_port: u16,
    /// The other side's address after translation.
    pub remote: u32,
    /// The other side's port after translation.
    pub remote_port: u16,
    /// The pod's port after translation.
    pub local_port: u16,
    /// IP protocol number; 0 for what is not IPv4.
    pub protocol: u8,
    /// [`HOOK_FROM_POD`] and so on.
    pub hook: u8,
    /// Index into `counters`.
    pub reason: u8,
    /// Zero.
    pub pad: [u8; 5],
}

/// [`Event::hook`]: a packet that the pod sent.
pub const HOOK_FROM_POD: u8 = 0;
/// [`Event::hook`]: a packet to the pod from its network.
pub const HOOK_TO_POD: u8 = 1;
/// [`Event::hook`]: a packet to the pod from the node.
pub const HOOK_FROM_HOST: u8 = 2;
