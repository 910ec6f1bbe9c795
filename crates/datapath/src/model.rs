//! What callers say of services, with addresses and ports as people write them.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use crate::abi::{self, NetworkKey};
use crate::table::{address, wire};

/// A protocol that services can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP
    Tcp,
    /// UDP
    Udp,
    /// SCTP
    Sctp,
}

impl Protocol {
    /// IP protocol number.
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => abi::TCP,
            Self::Udp => abi::UDP,
            Self::Sctp => abi::SCTP,
        }
    }

    /// The protocol of an IP protocol number, if services can have it.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            abi::TCP => Some(Self::Tcp),
            abi::UDP => Some(Self::Udp),
            abi::SCTP => Some(Self::Sctp),
            _ => None,
        }
    }
}

/// One port of a service in one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceKey {
    /// The network.
    pub network: NetworkKey,
    /// Address: a ClusterIP, or an address of a load balancer.
    pub vip: Ipv4Addr,
    /// Port.
    pub port: u16,
    /// Protocol.
    pub protocol: Protocol,
}

/// An endpoint.
pub type Backend = SocketAddrV4;

/// What a service's port leads to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Service {
    /// The endpoints that get new connections. None: connections are refused at once.
    pub backends: Vec<Backend>,
    /// Session affinity by the client's address, and for how long (whole seconds, Kubernetes allows 1 s to 24 h).
    pub affinity: Option<Duration>,
    /// The backends are reached over the host link: DNS and the API server.
    pub host: bool,
}

impl From<ServiceKey> for abi::ServiceKey {
    fn from(key: ServiceKey) -> Self {
        Self {
            network: key.network,
            vip: wire(key.vip),
            port: key.port.to_be(),
            protocol: key.protocol.number(),
            pad: 0,
        }
    }
}

impl ServiceKey {
    /// `None` when the entry has a protocol that this version does not know.
    pub(crate) fn from_abi(key: &abi::ServiceKey) -> Option<Self> {
        Some(Self {
            network: key.network,
            vip: address(key.vip),
            port: u16::from_be(key.port),
            protocol: Protocol::from_number(key.protocol)?,
        })
    }
}

impl From<Backend> for abi::Backend {
    fn from(backend: Backend) -> Self {
        Self {
            ip: wire(*backend.ip()),
            port: backend.port().to_be(),
            pad: 0,
        }
    }
}

impl From<abi::Backend> for Backend {
    fn from(backend: abi::Backend) -> Self {
        Self::new(address(backend.ip), u16::from_be(backend.port))
    }
}
