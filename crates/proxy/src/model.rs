//! What each network of this node should have in the datapath's maps. Pure: no I/O, no clock.

mod claims;
mod cluster;
mod desired;
mod endpoints;
mod service;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::Ipv4Addr;

pub use claims::{Claim, Claims, Rank};
pub use cluster::{Cluster, Dirty, Platform, pod_address};
pub use desired::{Desired, Update};
pub use endpoints::{Endpoint, NodeHint, Slice, Viewpoint};
pub use service::ServiceRecord;
pub use stackube_datapath::{Backend, Protocol, Service as Target};

/// Namespace and name of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectName {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
}

impl ObjectName {
    /// The object `name` in `namespace`.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A virtual address and port of a Service inside one network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Vip {
    /// Cluster IP, or address of a load balancer.
    pub address: Ipv4Addr,
    /// Port of the Service.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
}

impl fmt::Display for Vip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Tcp => "TCP",
            Protocol::Udp => "UDP",
            Protocol::Sctp => "SCTP",
        };
        write!(f, "{}:{}/{protocol}", self.address, self.port)
    }
}

/// The protocol of a Service port as Kubernetes writes it; absent means TCP.
pub(crate) fn protocol(text: Option<&str>) -> Option<Protocol> {
    match text.unwrap_or("TCP") {
        "TCP" => Some(Protocol::Tcp),
        "UDP" => Some(Protocol::Udp),
        "SCTP" => Some(Protocol::Sctp),
        _ => None,
    }
}
