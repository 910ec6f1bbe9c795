//! Nodes: each whose daemon has announced itself gets a Port of its own on the system network, named by the Node's UID. By it
//! the API server, host processes and hostNetwork pods reach what runs there.
//!
//! Everything after that is as for a pod: the Port waits until the system network is there, and goes with the Node.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use kube::api::PartialObjectMeta;
use kube::runtime::controller::{Action, Controller};
use kube::runtime::reflector::{self, ObjectRef};
use kube::runtime::watcher::{self, watcher};
use kube::runtime::{PredicateConfig, WatchStreamExt, predicates};
use kube::{Api, Client, Resource, ResourceExt};
use stackube_api::names::{CHASSIS_ANNOTATION, SYSTEM_NAMESPACE};
use stackube_api::{Port, PortHolder, PortSpec};
use tracing::info;

use crate::port::{Shared, after, chassis_of, make, order};
use crate::stop::Stop;

/// A Node without what kubelet writes into its status every few minutes.
pub(crate) type NodeMeta = PartialObjectMeta<Node>;

/// All Nodes, when their annotations change.
pub(crate) fn controller(client: Client) -> Controller<NodeMeta> {
    let (reader, writer) = reflector::store();
    let nodes = watcher(Api::<NodeMeta>::all(client), watcher::Config::default())
        .default_backoff()
        .modify(prune)
        .reflect(writer)
        .applied_objects()
        .predicate_filter(predicates::annotations, PredicateConfig::default());
    Controller::for_stream(nodes, reader)
}

/// Of the annotations one matters; others change all the time.
fn prune(node: &mut NodeMeta) {
    node.metadata.managed_fields = None;
    node.metadata.labels = None;
    if let Some(annotations) = &mut node.metadata.annotations {
        annotations.retain(|key, _| key == CHASSIS_ANNOTATION);
    }
}

/// Makes the Port of a node that has none.
pub(crate) async fn reconcile(node: Arc<NodeMeta>, shared: Arc<Shared>) -> Result<Action, Stop> {
    let Some(port) = port(&node) else {
        return Ok(Action::await_change());
    };
    let known = shared.ports.get(&ObjectRef::from_obj(&port));
    if known.is_none() && make(&shared, &port).await? {
        info!(node = node.name_any(), "ordered the node's own port");
    }
    Ok(after(known.as_deref()))
}

/// Whether a node lacks its Port.
pub(crate) fn lacks_port(node: &NodeMeta, shared: &Shared) -> bool {
    port(node).is_some_and(|port| shared.ports.get(&ObjectRef::from_obj(&port)).is_none())
}

/// The Port of a node; `None` while nobody there could plug it in, and for a Node that is going.
fn port(node: &NodeMeta) -> Option<Port> {
    let (name, uid) = (node.metadata.name.clone()?, node.metadata.uid.clone()?);
    let is_announced = matches!(chassis_of(node), crate::port::Node::Chassis(_));
    if node.metadata.deletion_timestamp.is_some() || !is_announced {
        return None;
    }
    let spec = PortSpec {
        holder: PortHolder::Node,
        pod_name: name.clone(),
        pod_uid: uid,
        node_name: name,
        network_namespace: SYSTEM_NAMESPACE.into(),
        network_name: SYSTEM_NAMESPACE.into(),
    };
    Some(order(spec, Some(SYSTEM_NAMESPACE.into()), node.owner_ref(&())?))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};
    use stackube_api::names::{CONTROLLER_FINALIZER, NODE_FINALIZER};

    use super::*;

    fn node(change: &Value) -> NodeMeta {
        let mut metadata = json!({"name": "n1", "uid": "u-n1", "annotations": {CHASSIS_ANNOTATION: "n1.example"}});
        for (name, value) in change.as_object().unwrap() {
            metadata[name] = value.clone();
        }
        serde_json::from_value(
            json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata}),
        )
        .unwrap()
    }

    #[rstest]
    #[case::announced(json!({}), true)]
    #[case::not_announced(json!({"annotations": {}}), false)]
    #[case::announced_nothing(json!({"annotations": {CHASSIS_ANNOTATION: ""}}), false)]
    #[case::going(json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}), false)]
    fn only_nodes_that_can_plug_it_in_get_a_port(#[case] change: Value, #[case] gets_one: bool) {
        assert_eq!(port(&node(&change)).is_some(), gets_one);
    }

    #[test]
    fn the_port_is_the_nodes_and_on_the_system_network() {
        let port = port(&node(&json!({}))).unwrap();
        assert_eq!(port.name_any(), "u-n1");
        assert_eq!(port.namespace().as_deref(), Some(SYSTEM_NAMESPACE));
        assert_eq!(port.finalizers(), [CONTROLLER_FINALIZER, NODE_FINALIZER]);
        let owner = &port.owner_references()[0];
        assert_eq!(
            (owner.kind.as_str(), owner.api_version.as_str(), owner.uid.as_str()),
            ("Node", "v1", "u-n1")
        );
        assert_eq!(port.spec.holder, PortHolder::Node);
        assert_eq!(
            (port.spec.node_name.as_str(), port.spec.network_namespace.as_str()),
            ("n1", SYSTEM_NAMESPACE)
        );
    }

    #[test]
    fn what_is_left_of_a_node_leads_to_the_same_port() {
        let annotations = json!({CHASSIS_ANNOTATION: "n1.example", "other": "x"});
        let mut pruned = node(&json!({"annotations": annotations, "labels": {"a": "b"}}));
        let before = port(&pruned);
        prune(&mut pruned);
        assert_eq!(port(&pruned), before);
        assert_eq!(pruned.annotations().len(), 1);
    }
}
