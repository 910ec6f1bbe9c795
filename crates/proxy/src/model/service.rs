//! What the datapath has to know of a Service.

use std::net::Ipv4Addr;
use std::time::Duration;

use k8s_openapi::api::core::v1::Service;

use super::{Protocol, Vip, protocol};

/// Services with this label belong to another proxy.
const OTHER_PROXY: &str = "service.kubernetes.io/service-proxy-name";
/// Affinity when the Service names no timeout, in seconds (`sessionAffinityConfig` in the API reference).
const DEFAULT_AFFINITY: i32 = 10_800;

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Name, by which slices refer to it; empty when there is only one port.
    pub name: String,
    /// Port of the virtual addresses.
    pub port: u16,
    /// Protocol.
    pub protocol: Protocol,
}

impl ServicePort {
    /// The port at one of the Service's addresses.
    pub const fn at(&self, address: Ipv4Addr) -> Vip {
        Vip {
            address,
            port: self.port,
            protocol: self.protocol,
        }
    }
}

/// A Service with virtual addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRecord {
    /// The IPv4 cluster IP.
    pub cluster_ip: Ipv4Addr,
    /// Addresses of its load balancer that pods may use without leaving the network.
    pub load_balancer: Vec<Ipv4Addr>,
    /// Ports.
    pub ports: Vec<ServicePort>,
    /// `internalTrafficPolicy: Local`: only endpoints on the client's node.
    pub local_only: bool,
    /// Session affinity, 1 s to 24 h.
    pub affinity: Option<Duration>,
}

impl ServiceRecord {
    /// Reads a Service. `None` for those that have nothing to do with the datapath: headless, ExternalName, without an IPv4
    /// address, or left to another proxy.
    pub fn read(service: &Service) -> Option<Self> {
        let spec = service.spec.as_ref()?;
        let labels = service.metadata.labels.as_ref();
        if spec.type_.as_deref() == Some("ExternalName") || labels.is_some_and(|l| l.contains_key(OTHER_PROXY)) {
            return None;
        }
        let single = spec.cluster_ip.iter();
        // "None", and IPv6, are no IPv4 addresses.
        let cluster_ip = spec
            .cluster_ips
            .iter()
            .flatten()
            .chain(single)
            .find_map(|ip| ip.parse().ok())?;
        let ports = spec.ports.iter().flatten().filter_map(|port| {
            Some(ServicePort {
                name: port.name.clone().unwrap_or_default(),
                port: u16::try_from(port.port).ok().filter(|port| *port != 0)?,
                protocol: protocol(port.protocol.as_deref())?,
            })
        });
        Some(Self {
            cluster_ip,
            load_balancer: load_balancer(service),
            ports: ports.collect(),
            local_only: spec.internal_traffic_policy.as_deref() == Some("Local"),
            affinity: affinity(service),
        })
    }
}

/// Addresses of the load balancer that stand for the Service itself (`ipMode: VIP`, the default). With `Proxy` the balancer
/// wants to see the connections. With source ranges, too: it is the balancer that keeps them.
fn load_balancer(service: &Service) -> Vec<Ipv4Addr> {
    let spec = service.spec.as_ref();
    if spec.is_none_or(|spec| {
        spec.type_.as_deref() != Some("LoadBalancer")
            || spec
                .load_balancer_source_ranges
                .as_ref()
                .is_some_and(|ranges| !ranges.is_empty())
    }) {
        return vec![];
    }
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = status.and_then(|balancer| balancer.ingress.as_ref());
    let vips = ingress
        .into_iter()
        .flatten()
        .filter(|i| i.ip_mode.as_deref().unwrap_or("VIP") == "VIP");
    vips.filter_map(|ingress| ingress.ip.as_ref()?.parse().ok()).collect()
}

fn affinity(service: &Service) -> Option<Duration> {
    let spec = service.spec.as_ref()?;
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        return None;
    }
    let config = spec
        .session_affinity_config
        .as_ref()
        .and_then(|config| config.client_ip.as_ref());
    let seconds = config
        .and_then(|client_ip| client_ip.timeout_seconds)
        .unwrap_or(DEFAULT_AFFINITY);
    u64::try_from(seconds.clamp(1, 86_400)).ok().map(Duration::from_secs)
}
