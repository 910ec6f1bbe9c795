//! EndpointSlices, and which endpoints a connection may go to: the rules of kube-proxy (Service, EndpointSlice and
//! "Traffic Distribution" in the Kubernetes reference).

use std::collections::HashMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use k8s_openapi::api::discovery::v1::{Endpoint as ApiEndpoint, EndpointSlice};

use super::service::ServicePort;
use super::{Backend, ObjectName, Protocol, protocol};

/// Names the Service of a slice.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Where this node stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Viewpoint {
    /// Name of the Node.
    pub node: String,
    /// Its label `topology.kubernetes.io/zone`.
    pub zone: Option<String>,
}

/// For whom `hints.forNodes` wants an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeHint {
    /// There is no hint.
    None,
    /// This node is among them.
    Here,
    /// Other nodes only.
    Elsewhere,
}

/// One endpoint of a slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// IPv4 address.
    pub address: Ipv4Addr,
    /// May get connections.
    pub ready: bool,
    /// Could answer, although it is going.
    pub serving_while_terminating: bool,
    /// It is on this node.
    pub local: bool,
    /// It says on which node it is: that of an endpoint outside of the pods' networks is the node's own.
    pub on_a_node: bool,
    /// `hints.forNodes`.
    pub node_hint: NodeHint,
    /// `hints.forZones`.
    pub zones: Box<[Box<str>]>,
}

/// A slice of IPv4 endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// The Service that it belongs to.
    pub service: ObjectName,
    /// Ports by name and protocol.
    pub ports: Vec<(String, Protocol, u16)>,
    /// Endpoints.
    pub endpoints: Vec<Endpoint>,
}

impl Slice {
    /// Reads a slice as seen from `node`. `None` if it belongs to no Service or is not of IPv4.
    pub fn read(slice: &EndpointSlice, node: &str) -> Option<Self> {
        if slice.address_type != "IPv4" {
            return None;
        }
        let service = slice.metadata.labels.as_ref()?.get(SERVICE_NAME)?;
        let ports = slice.ports.iter().flatten().filter_map(|port| {
            let number = u16::try_from(port.port?).ok().filter(|number| *number != 0)?;
            let protocol = protocol(port.protocol.as_deref())?;
            Some((port.name.clone().unwrap_or_default(), protocol, number))
        });
        Some(Self {
            service: ObjectName::new(slice.metadata.namespace.clone()?, service),
            ports: ports.collect(),
            endpoints: slice
                .endpoints
                .iter()
                .flatten()
                .filter_map(|e| endpoint(e, node))
                .collect(),
        })
    }
}

fn endpoint(endpoint: &ApiEndpoint, node: &str) -> Option<Endpoint> {
    let conditions = endpoint.conditions.as_ref();
    // What is unknown counts as ready and serving (API reference of EndpointConditions).
    let ready = conditions.and_then(|c| c.ready).unwrap_or(true);
    let serving = conditions.and_then(|c| c.serving).unwrap_or(ready);
    let terminating = conditions.and_then(|c| c.terminating).unwrap_or(false);
    let hints = endpoint.hints.as_ref();
    let for_nodes = hints.and_then(|h| h.for_nodes.as_deref()).unwrap_or_default();
    let for_zones = hints.and_then(|h| h.for_zones.as_deref()).unwrap_or_default();
    Some(Endpoint {
        // All addresses of an endpoint are alike; more than one has no meaning (API reference of Endpoint).
        address: endpoint.addresses.first()?.parse().ok()?,
        ready,
        serving_while_terminating: serving && terminating,
        local: endpoint.node_name.as_deref() == Some(node),
        on_a_node: endpoint.node_name.is_some(),
        node_hint: match for_nodes {
            [] => NodeHint::None,
            nodes if nodes.iter().any(|hint| hint.name == node) => NodeHint::Here,
            _ => NodeHint::Elsewhere,
        },
        zones: for_zones.iter().map(|zone| zone.name.as_str().into()).collect(),
    })
}

/// Which endpoints may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Policy {
    /// All, or the near ones when the hints allow it.
    Cluster,
    /// Those on the client's node.
    Local,
}

/// The slices that serve a port of the Service, with the number there, by name and protocol of the port.
pub(super) type Serving<'a> = HashMap<(&'a str, Protocol), Vec<(&'a Slice, u16)>>;

/// Arranges slices by port, so that a Service with many ports does not search all of them for each.
pub(super) fn serving<'a>(slices: impl Iterator<Item = &'a Slice>) -> Serving<'a> {
    let mut serving = Serving::new();
    for slice in slices {
        for (name, protocol, number) in &slice.ports {
            serving.entry((name, *protocol)).or_default().push((slice, *number));
        }
    }
    serving
}

/// Which endpoints a network may have at all: whoever writes slices by hand must not lead the datapath anywhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    /// Pods with addresses of the network, whose range this is.
    Inside(Ipv4Net),
    /// hostNetwork pods: on a node, and with no address of the network.
    OnNodes(Ipv4Net),
    /// Any.
    Anywhere,
}

impl Where {
    fn admits(self, endpoint: &Endpoint) -> bool {
        match self {
            Self::Inside(range) => range.contains(&endpoint.address),
            Self::OnNodes(range) => endpoint.on_a_node && !range.contains(&endpoint.address),
            Self::Anywhere => true,
        }
    }
}

/// At most `most` backends of a port of a Service, sorted.
pub(super) fn backends<'a>(
    serving: &Serving<'a>,
    port: &ServicePort,
    policy: Policy,
    viewpoint: &Viewpoint,
    at: Where,
    most: usize,
) -> Vec<Backend> {
    if most == 0 {
        return vec![];
    }
    let mut candidates: Vec<(&'a Endpoint, u16)> = vec![];
    for (slice, number) in serving.get(&(port.name.as_str(), port.protocol)).into_iter().flatten() {
        let usable = slice.endpoints.iter().filter(|endpoint| at.admits(endpoint));
        candidates.extend(usable.map(|endpoint| (endpoint, *number)));
    }
    if policy == Policy::Local {
        candidates.retain(|(endpoint, _)| endpoint.local);
    }
    let near = match policy {
        Policy::Cluster => near(&candidates, viewpoint),
        Policy::Local => Near::Anywhere,
    };
    let ready = |e: &Endpoint| e.ready && near.admits(e, viewpoint);
    let mut chosen: Vec<Backend> = choose(&candidates, ready);
    if chosen.is_empty() {
        // Nothing is ready: those that are going, but still answer, are better than nothing.
        chosen = choose(&candidates, |e| e.serving_while_terminating);
    }
    chosen.sort_unstable();
    chosen.dedup();
    chosen.truncate(most);
    chosen.shrink_to_fit();
    chosen
}

fn choose(candidates: &[(&Endpoint, u16)], admit: impl Fn(&Endpoint) -> bool) -> Vec<Backend> {
    let admitted = candidates.iter().filter(|(endpoint, _)| admit(endpoint));
    admitted
        .map(|(endpoint, port)| Backend::new(endpoint.address, *port))
        .collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Near {
    Node,
    Zone,
    Anywhere,
}

impl Near {
    fn admits(self, endpoint: &Endpoint, viewpoint: &Viewpoint) -> bool {
        match self {
            Self::Node => endpoint.node_hint == NodeHint::Here,
            Self::Zone => is_for_zone(endpoint, viewpoint),
            Self::Anywhere => true,
        }
    }
}

/// Hints count only if *all* ready endpoints have them and at least one is meant for this node or zone; else a part of the
/// cluster would be without endpoints.
fn near(candidates: &[(&Endpoint, u16)], viewpoint: &Viewpoint) -> Near {
    let ready = || candidates.iter().map(|(endpoint, _)| *endpoint).filter(|e| e.ready);
    let all_nodes = ready().all(|e| e.node_hint != NodeHint::None);
    if all_nodes && ready().any(|e| e.node_hint == NodeHint::Here) {
        return Near::Node;
    }
    let all_zones = ready().all(|e| !e.zones.is_empty());
    if all_zones && ready().any(|e| is_for_zone(e, viewpoint)) {
        return Near::Zone;
    }
    Near::Anywhere
}

fn is_for_zone(endpoint: &Endpoint, viewpoint: &Viewpoint) -> bool {
    let zone = viewpoint.zone.as_deref();
    zone.is_some_and(|zone| endpoint.zones.iter().any(|hint| &**hint == zone))
}
