//! What a Port depends on, read before anything is decided.

use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::{Node as KubeNode, Pod};
use kube::api::PartialObjectMeta;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use stackube_api::address::Subnet;
use stackube_api::names::CHASSIS_ANNOTATION;
use stackube_api::{Network, NetworkState, Port, PortHolder};
use stackube_openstack::id::{NetworkId, ProjectId, SecurityGroupId, SubnetId};

use super::{Shared, book::NetworkKey};
use crate::network::range::as_made;
use crate::pod::{Need, need};
use crate::stop::Stop;

/// Everything that [`super::plan`] needs to know.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// Whether its holder needs the address: it exists under the Port's UID, and a pod has not finished.
    pub(crate) holder_is_live: bool,
    /// The node.
    pub(crate) node: Node,
    /// The network.
    pub(crate) net: Net,
    /// The address in the status.
    pub(crate) assigned: Option<Ipv4Addr>,
    /// The status was just cleared, whatever the object in hand says of annotations.
    pub(crate) port_is_cleared: bool,
}

/// The node of a Port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// There is no such Node object.
    Gone,
    /// Its daemon has not said yet by which name OVN knows it.
    Unannounced,
    /// It is this chassis.
    Chassis(String),
}

/// The network of a Port.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Net {
    /// There is no such Network object.
    Missing,
    /// It cannot be used (yet, or any more), for this reason.
    Unusable(String),
    /// It can be used.
    Active(Box<Target>),
}

/// Where in OpenStack a port goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// The Network object.
    pub(crate) key: NetworkKey,
    /// The project that owns network and ports.
    pub(crate) project: ProjectId,
    /// The network.
    pub(crate) network: NetworkId,
    /// The subnet.
    pub(crate) subnet: SubnetId,
    /// The security group of all pods on it.
    pub(crate) group: SecurityGroupId,
    /// Range and gateway.
    pub(crate) range: Subnet,
    /// In bytes.
    pub(crate) mtu: i32,
}

pub(super) async fn dereference(port: &Port, shared: &Shared) -> Result<Facts, Stop> {
    let network = ObjectRef::<Network>::new(&port.spec.network_name).within(&port.spec.network_namespace);
    let net = shared
        .context
        .networks
        .get(&network)
        .map_or(Net::Missing, |network| target(&network));
    let assigned = port
        .status
        .as_ref()
        .and_then(|status| status.ip.as_deref()?.parse().ok());
    let (holder_is_live, node) = tokio::try_join!(holder_is_live(port, shared), node(port, shared))?;
    Ok(Facts {
        holder_is_live,
        node,
        net,
        assigned,
        port_is_cleared: false,
    })
}

async fn holder_is_live(port: &Port, shared: &Shared) -> Result<bool, kube::Error> {
    match port.spec.holder {
        PortHolder::Pod => pod_is_live(port, shared).await,
        PortHolder::Node => node_is_live(port, shared).await,
    }
}

/// Whether the caches have the Port's holder: an event that told of its end may have been lost in a broken watch.
pub(super) fn is_holder_known(port: &Port, shared: &Shared) -> bool {
    match port.spec.holder {
        PortHolder::Pod => {
            let pod = ObjectRef::new(&port.spec.pod_name).within(&port.namespace().unwrap_or_default());
            shared.pods.get(&pod).is_some()
        }
        PortHolder::Node => {
            let node = shared.nodes.get(&ObjectRef::new(&port.spec.node_name));
            node.is_some_and(|node| is_node_of(port, &node))
        }
    }
}

fn is_node_of(port: &Port, node: &PartialObjectMeta<KubeNode>) -> bool {
    node.uid().as_deref() == Some(port.spec.pod_uid.as_str())
}

/// A Node that was made anew under its name is another.
async fn node_is_live(port: &Port, shared: &Shared) -> Result<bool, kube::Error> {
    if is_holder_known(port, shared) {
        return Ok(true);
    }
    let nodes: Api<KubeNode> = Api::all(shared.context.kube.clone());
    let found = nodes.get_metadata_opt(&port.spec.node_name).await?;
    Ok(found.is_some_and(|node| is_node_of(port, &node)))
}

/// A pod that the cache does not have is asked for: the cache may be behind, and its address must not be taken from it.
async fn pod_is_live(port: &Port, shared: &Shared) -> Result<bool, kube::Error> {
    let namespace = port.namespace().unwrap_or_default();
    let is_ours = |pod: &Pod| pod.uid().as_deref() == Some(port.spec.pod_uid.as_str());
    let cached = shared
        .pods
        .get(&ObjectRef::<Pod>::new(&port.spec.pod_name).within(&namespace));
    if let Some(pod) = cached.filter(|pod| is_ours(pod)) {
        return Ok(need(&pod) != Need::Release);
    }
    let pods: Api<Pod> = Api::namespaced(shared.context.kube.clone(), &namespace);
    let found = pods.get_opt(&port.spec.pod_name).await?;
    Ok(found.is_some_and(|pod| is_ours(&pod) && need(&pod) != Need::Release))
}

async fn node(port: &Port, shared: &Shared) -> Result<Node, kube::Error> {
    let name = &port.spec.node_name;
    if let Some(node) = shared.nodes.get(&ObjectRef::new(name)) {
        return Ok(chassis_of(&node));
    }
    let nodes: Api<KubeNode> = Api::all(shared.context.kube.clone());
    Ok(nodes
        .get_metadata_opt(name)
        .await?
        .map_or(Node::Gone, |node| chassis_of(&node)))
}

/// What a Node object says.
pub(crate) fn chassis_of(node: &PartialObjectMeta<KubeNode>) -> Node {
    match node.annotations().get(CHASSIS_ANNOTATION) {
        Some(name) if !name.is_empty() => Node::Chassis(name.clone()),
        _ => Node::Unannounced,
    }
}

/// What a Network object offers.
pub(crate) fn target(network: &Network) -> Net {
    let key = NetworkKey {
        namespace: network.namespace().unwrap_or_default(),
        name: network.name_any(),
    };
    if network.metadata.deletion_timestamp.is_some() {
        return Net::Unusable(format!("network {key} is being deleted"));
    }
    let status = network.status.clone().unwrap_or_default();
    if status.state != Some(NetworkState::Active) {
        let why = status
            .message
            .filter(|message| !message.is_empty())
            .unwrap_or_else(|| "it is being made".into());
        return Net::Unusable(format!("network {key} is not active: {why}"));
    }
    let parsed = || {
        Some(Target {
            key: key.clone(),
            project: status.project_id.as_deref()?.parse().ok()?,
            network: status.network_id.as_deref()?.parse().ok()?,
            subnet: status.subnet_id.as_deref()?.parse().ok()?,
            group: status.security_group_id.as_deref()?.parse().ok()?,
            range: as_made(&network.spec.cidr, Some(&network.spec.gateway)).ok()?,
            mtu: status.mtu?,
        })
    };
    match parsed() {
        Some(target) => Net::Active(Box::new(target)),
        None => Net::Unusable(format!(
            "network {key} is active, but its status lacks an ID: wait, or see its conditions"
        )),
    }
}
