//! Who asks.

use std::net::Ipv4Addr;

/// Identifies a network on this node: the datapath's network key.
pub type NetworkId = [u8; 16];

/// Identifies a pod: its UID in binary form.
pub type PodId = [u8; 16];

/// A pod that may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Client {
    /// The network that the pod is plugged into; decides which names exist for it.
    pub network: NetworkId,
    /// The pod; what it may ask for in a second is counted by it.
    pub pod: PodId,
    /// The pod's own address in its network.
    pub address: Ipv4Addr,
}

/// Tells clients by the address that a query comes from.
///
/// That address is the pod's alias on the host link: the datapath writes it into every packet, so no pod can choose it.
pub trait Identities: Send + Sync + 'static {
    /// The pod behind `source`, or nothing if no live pod of this node has it. Called for every query; must not block.
    fn client(&self, source: Ipv4Addr) -> Option<Client>;
}
