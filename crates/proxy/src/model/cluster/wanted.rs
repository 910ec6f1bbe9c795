//! What Services, and the platform itself, claim in a network.

use ipnet::Ipv4Net;
use stackube_api::names::SYSTEM_NAMESPACE;

use super::{Cluster, KUBERNETES};
use crate::model::claims::{Claim, Rank};
use crate::model::endpoints::{Policy, Where, backends, serving};
use crate::model::service::ServicePort;
use crate::model::{Backend, ObjectName, Protocol, Target, Vip};
use crate::program::Share;

/// The Service that holds the DNS address.
const DNS: (&str, &str) = ("kube-system", "kube-dns");
/// Port of DNS.
const DNS_PORT: u16 = 53;

impl Cluster {
    /// What a Service claims in its network, whose pods are in `range`. Of all its ports together there is one backend more than the whole
    /// network may have in the maps, so that it shows that some are left out, and no more: ports times endpoints can be millions.
    /// In the system network a Service without endpoints there may lead to hostNetwork pods, over the host link.
    pub fn claims_of(&self, service: &ObjectName, range: Ipv4Net) -> Vec<Claim> {
        let Some(record) = self.services.get(service) else {
            return vec![];
        };
        let own = if record.local_only {
            Policy::Local
        } else {
            Policy::Cluster
        };
        let on_nodes = self.network_of(&service.namespace) == Some(SYSTEM_NAMESPACE);
        let mut claims = vec![];
        let serving = serving(self.slices_of(service));
        let mut room = Share::LIMIT.backends + 1;
        for port in &record.ports {
            let mut target = |policy| {
                let find = |at| backends(&serving, port, policy, &self.viewpoint, at, room);
                let (mut backends, mut host) = (find(Where::Inside(range)), false);
                // The host link carries these two.
                if backends.is_empty() && on_nodes && port.protocol != Protocol::Sctp {
                    backends = find(Where::OnNodes(range));
                    host = !backends.is_empty();
                }
                room -= backends.len();
                Target {
                    backends,
                    host,
                    affinity: record.affinity,
                }
            };
            claims.push((port.at(record.cluster_ip), Rank::ClusterIp, target(own)));
            // A pod's own network is never behind a balancer's address.
            for address in record.load_balancer.iter().filter(|address| !range.contains(*address)) {
                claims.push((port.at(*address), Rank::LoadBalancer, target(Policy::Cluster)));
            }
        }
        claims
    }

    /// What a Service claims in the networks of others: nothing, unless it is one of the system network's that is shared. Then
    /// the address stands for itself on the host link, from where the node passes it on by its own port on the system network.
    pub fn shared_claims(&self, service: &ObjectName) -> Vec<Claim> {
        let is_shared = self.shared.contains(service) && self.network_of(&service.namespace) == Some(SYSTEM_NAMESPACE);
        let Some(record) = self.services.get(service).filter(|_| is_shared) else {
            return vec![];
        };
        // The host link carries these two.
        let carried = record.ports.iter().filter(|port| port.protocol != Protocol::Sctp);
        let claim = |port: &ServicePort| {
            let vip = port.at(record.cluster_ip);
            let target = Target {
                backends: vec![Backend::new(vip.address, vip.port)],
                host: true,
                affinity: None,
            };
            (vip, Rank::ClusterIp, target)
        };
        carried.map(claim).collect()
    }

    /// What every network has, with its owner: DNS and the API servers.
    pub fn platform_claims(&self) -> [(ObjectName, Vec<Claim>); 2] {
        let kubernetes = ObjectName::new(KUBERNETES.0, KUBERNETES.1);
        let mut api = vec![];
        if let Some(record) = self.services.get(&kubernetes) {
            for port in &record.ports {
                let serving = serving(self.slices_of(&kubernetes));
                let target = Target {
                    backends: backends(
                        &serving,
                        port,
                        Policy::Cluster,
                        &self.viewpoint,
                        Where::Anywhere,
                        usize::MAX,
                    ),
                    host: true,
                    affinity: None,
                };
                api.push((port.at(record.cluster_ip), Rank::Platform, target));
            }
        }
        let dns = [Protocol::Udp, Protocol::Tcp].map(|protocol| {
            let vip = Vip {
                address: self.platform.dns,
                port: DNS_PORT,
                protocol,
            };
            let target = Target {
                backends: vec![self.platform.dns_server],
                host: true,
                affinity: None,
            };
            (vip, Rank::Platform, target)
        });
        // In the system network these Services exist as well, with claims of their own.
        let owner = |namespace, name: &str| ObjectName::new(namespace, format!("{name} (platform)"));
        [
            (owner(KUBERNETES.0, KUBERNETES.1), api),
            (owner(DNS.0, DNS.1), dns.into()),
        ]
    }
}
