//! Services and EndpointSlices, reduced to what names need.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use hickory_proto::rr::Name;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;

/// A Service with its endpoints. Endpoints and ports stand beside each other, slice by slice: their product is never made.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub(super) service: Option<Service>,
    pub(super) slices: BTreeMap<String, Slice>,
}

#[derive(Debug)]
pub(crate) struct Service {
    kind: Kind,
    ports: Vec<Port>,
    publish_not_ready: bool,
}

/// How a Service is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Cluster(Ipv4Addr),
    Headless,
    External(Name),
}

/// A named port. Ports without a name have no record.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Port {
    pub(crate) name: String,
    /// `tcp`, `udp` or `sctp`.
    pub(crate) protocol: String,
    pub(crate) number: u16,
}

#[derive(Debug, Default)]
pub(crate) struct Slice {
    endpoints: Vec<Endpoint>,
    ports: Vec<Port>,
}

#[derive(Debug)]
struct Endpoint {
    address: Ipv4Addr,
    hostname: Arc<str>,
    ready: bool,
}

impl Entry {
    /// How the Service is reached; nothing if it is unknown or has no address yet.
    pub(crate) fn kind(&self) -> Option<&Kind> {
        let service = self.service.as_ref()?;
        match service.kind {
            Kind::Cluster(address) if address.is_unspecified() => None,
            _ => Some(&service.kind),
        }
    }

    /// Ready endpoints in a stable order, host name and address. A pair comes as often as slices have it.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = (&str, Ipv4Addr)> {
        let all = self.publishes_not_ready();
        let endpoints = self.slices.values().flat_map(move |slice| slice.ready(all));
        endpoints.map(|endpoint| (&*endpoint.hostname, endpoint.address))
    }

    /// Ports of all slices that have a ready endpoint.
    pub(crate) fn endpoint_ports(&self) -> impl Iterator<Item = &Port> {
        let all = self.publishes_not_ready();
        let served = self
            .slices
            .values()
            .filter(move |slice| slice.ready(all).next().is_some());
        served.flat_map(|slice| &slice.ports)
    }

    /// Port number, host name and address of the ready endpoints that serve a port of which `admit` is true, in a stable order.
    pub(crate) fn serving(&self, admit: impl Fn(&Port) -> bool) -> impl Iterator<Item = (u16, &str, Ipv4Addr)> {
        let all = self.publishes_not_ready();
        self.slices.values().flat_map(move |slice| {
            let ports = slice.ports.iter().filter(|port| admit(port));
            let numbers: BTreeSet<u16> = ports.map(|port| port.number).collect();
            numbers.into_iter().flat_map(move |number| {
                let endpoints = slice.ready(all);
                endpoints.map(move |endpoint| (number, &*endpoint.hostname, endpoint.address))
            })
        })
    }

    fn publishes_not_ready(&self) -> bool {
        self.service.as_ref().is_some_and(|service| service.publish_not_ready)
    }

    /// Ports of the Service itself.
    pub(crate) fn ports(&self) -> &[Port] {
        self.service.as_ref().map_or(&[], |service| &service.ports)
    }

    /// What the reverse zone has of this Service: address and, for endpoints, host name.
    /// With `slice`, of that slice alone, for a change that leaves the rest as it is.
    pub(super) fn addresses(&self, slice: Option<&str>) -> Vec<(Ipv4Addr, Option<Arc<str>>)> {
        match (self.kind(), slice) {
            (Some(Kind::Cluster(address)), None) => vec![(*address, None)],
            (Some(Kind::Headless), None) => self.named(self.slices.values()).collect(),
            (Some(Kind::Headless), Some(slice)) => self.named(self.slices.get(slice).into_iter()).collect(),
            (Some(Kind::Cluster(_)), Some(_)) | (Some(Kind::External(_)) | None, _) => vec![],
        }
    }

    fn named<'a>(&self, slices: impl Iterator<Item = &'a Slice>) -> impl Iterator<Item = (Ipv4Addr, Option<Arc<str>>)> {
        let all = self.publishes_not_ready();
        let endpoints = slices.flat_map(move |slice| slice.ready(all));
        endpoints.map(|endpoint| (endpoint.address, Some(Arc::clone(&endpoint.hostname))))
    }
}

impl Slice {
    /// Endpoints that have names: those that are ready, or `all`.
    fn ready(&self, all: bool) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().filter(move |endpoint| endpoint.ready || all)
    }
}

/// Reduces a Service.
pub(super) fn service(service: &core::Service) -> Service {
    let Some(spec) = &service.spec else {
        return Service {
            kind: Kind::Cluster(Ipv4Addr::UNSPECIFIED),
            ports: Vec::new(),
            publish_not_ready: false,
        };
    };
    let ports = spec.ports.iter().flatten().filter_map(|port| {
        named(
            port.name.as_deref(),
            port.protocol.as_deref(),
            u16::try_from(port.port).ok(),
        )
    });
    Service {
        kind: kind(spec),
        ports: ports.collect(),
        publish_not_ready: spec.publish_not_ready_addresses == Some(true),
    }
}

fn kind(spec: &core::ServiceSpec) -> Kind {
    if spec.type_.as_deref() == Some("ExternalName") {
        let name = spec.external_name.as_deref().unwrap_or_default();
        let name = Name::from_ascii(name).map(|mut name| {
            name.set_fqdn(true);
            name
        });
        // The API server lets only host names pass. Whatever else comes is a Service without an address.
        return match name {
            Ok(name) if !name.is_root() => Kind::External(name),
            _ => Kind::Cluster(Ipv4Addr::UNSPECIFIED),
        };
    }
    let addresses = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip);
    for address in addresses {
        match address.parse() {
            Ok(address) => return Kind::Cluster(address),
            Err(_) if address == "None" => return Kind::Headless,
            Err(_) => {}
        }
    }
    Kind::Cluster(Ipv4Addr::UNSPECIFIED)
}

/// Reduces an EndpointSlice of IPv4 addresses.
pub(super) fn slice(slice: &discovery::EndpointSlice) -> Slice {
    let ports = slice.ports.iter().flatten().filter_map(|port| {
        let number = port.port.and_then(|number| u16::try_from(number).ok());
        named(port.name.as_deref(), port.protocol.as_deref(), number)
    });
    let endpoints = slice.endpoints.iter().flatten().filter_map(|endpoint| {
        // The API: consumers use the first address only.
        let address: Ipv4Addr = endpoint.addresses.first()?.parse().ok()?;
        let conditions = endpoint.conditions.as_ref();
        Some(Endpoint {
            address,
            hostname: endpoint
                .hostname
                .as_deref()
                .filter(|hostname| !hostname.is_empty())
                .map_or_else(|| dashed(address), str::to_ascii_lowercase)
                .into(),
            // Unknown counts as ready.
            ready: conditions.and_then(|conditions| conditions.ready).unwrap_or(true),
        })
    });
    Slice {
        endpoints: endpoints.collect(),
        ports: ports.collect(),
    }
}

fn named(name: Option<&str>, protocol: Option<&str>, number: Option<u16>) -> Option<Port> {
    Some(Port {
        name: name.filter(|name| !name.is_empty())?.to_ascii_lowercase(),
        protocol: protocol.unwrap_or("TCP").to_ascii_lowercase(),
        number: number?,
    })
}

/// The name of an endpoint or pod without a name of its own: `10-0-0-7`.
pub(crate) fn dashed(address: Ipv4Addr) -> String {
    address.to_string().replace('.', "-")
}
