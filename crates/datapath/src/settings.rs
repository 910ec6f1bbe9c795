//! The node's addresses and the rates of its pods.

use std::net::Ipv4Addr;
use std::path::Path;

use ipnet::Ipv4Net;

use crate::Error;
use crate::abi::{self, Rate};
use crate::table::{set_array, wire};

/// The host link of this node.
#[derive(Debug, Clone)]
pub struct LinkSettings {
    /// The node's address on the link.
    pub address: Ipv4Addr,
    /// What a pod sees when it reaches itself through a service.
    pub hairpin: Ipv4Addr,
    /// The range of aliases.
    pub aliases: Ipv4Net,
    /// Index of the far end (`stackube1`), where the datapath is attached.
    pub far_ifindex: u32,
    /// MAC address of the node end (`stackube0`).
    pub node_mac: [u8; 6],
    /// MAC address of the far end.
    pub far_mac: [u8; 6],
    /// What one pod may use.
    pub limits: Limits,
}

/// What one pod may use of its node. A rate is (packets per second, packets at once).
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Entries in the flow table: two to a connection through a service, one to another; one over the host link counts 16 times.
    /// The node's own port may have eight times as many. 1024 to 1000000.
    pub flows: u32,
    /// DNS queries, which are flows of two entries each when they come from ports of their own.
    pub dns: (u32, u32),
    /// New flows over the host link: to the API server and to shared Services.
    pub host: (u32, u32),
    /// Resets and ICMP messages in answer to what is refused.
    pub refusals: (u32, u32),
    /// Fragmented packets through services.
    pub fragments: (u32, u32),
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flows: 32_768,
            dns: (1000, 2000),
            host: (100, 300),
            refusals: (500, 500),
            fragments: (5000, 1000),
        }
    }
}

impl LinkSettings {
    /// The usual addresses on a link whose devices are the given.
    pub const fn on(far_ifindex: u32, node_mac: [u8; 6], far_mac: [u8; 6], limits: Limits) -> Self {
        Self {
            address: Ipv4Addr::new(169, 254, 77, 1),
            hairpin: Ipv4Addr::new(169, 254, 77, 2),
            aliases: Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 128, 0), 17),
            far_ifindex,
            node_mac,
            far_mac,
            limits,
        }
    }

    pub(crate) fn write(&self, root: &Path) -> Result<(), Error> {
        let rate = |(per_second, burst)| Rate { per_second, burst };
        let mut rates = [rate((0, 0)); abi::BUCKETS];
        rates[abi::BUCKET_DNS] = rate(self.limits.dns);
        rates[abi::BUCKET_HOST] = rate(self.limits.host);
        rates[abi::BUCKET_REFUSE] = rate(self.limits.refusals);
        rates[abi::BUCKET_FRAGMENT] = rate(self.limits.fragments);
        let settings = abi::Settings {
            link_address: wire(self.address),
            hairpin_address: wire(self.hairpin),
            alias_network: wire(self.aliases.network()),
            alias_mask: wire(self.aliases.netmask()),
            far_ifindex: self.far_ifindex,
            node_mac: self.node_mac,
            far_mac: self.far_mac,
            flow_quota: self.limits.flows,
            rates,
        };
        set_array(root, "settings", settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flows::{SWEEP_INTERVAL, age};

    /// As many pods as Kubernetes recommends for a node.
    const PODS: u64 = 110;

    #[test]
    fn all_the_questions_that_a_pod_may_ask_leave_room_for_connections() {
        let limits = Limits::default();
        // A flow is there until it is over, and then until the next sweep.
        let seconds = age::QUESTION / age::SECOND + SWEEP_INTERVAL.as_secs();
        let questions = |seconds| 2 * (u64::from(limits.dns.0) * seconds + u64::from(limits.dns.1));
        assert_eq!(questions(seconds), 26_000);
        assert!(questions(seconds) <= u64::from(limits.flows) * 4 / 5);
        // A sweep takes its time where many pods ask so much.
        assert!(questions(seconds + 3) <= u64::from(limits.flows));
    }

    #[test]
    fn the_pods_of_a_node_cannot_use_up_what_they_share() {
        let quota = u64::from(Limits::default().flows);
        let of_node = quota * abi::NODE_SHARE;
        assert!(PODS * quota + of_node <= u64::from(abi::FLOWS), "the flow table");
        let affinities = (PODS + abi::NODE_SHARE) * abi::POD_AFFINITIES;
        assert!(affinities <= u64::from(abi::AFFINITIES), "session affinity");
        let connections = quota / (2 * u64::from(abi::HOST_WEIGHT));
        assert_eq!(connections, 1024);
        // Those to shared Services go through the node's own port, each with two entries there.
        assert!(PODS * connections * 2 <= of_node * 7 / 8, "the node's own port");
    }
}
