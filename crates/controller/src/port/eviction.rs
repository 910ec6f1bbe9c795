//! Moving a pod to another node when this one has no address for it (finding N23).
//!
//! Addresses are unique on a node, so tenants with small ranges can use up each other's. Only the scheduler can help, and it
//! does so for a new pod: the old one is evicted if something will make a new one, and if there is another node to go to.

use k8s_openapi::api::core::v1::Pod;
use kube::api::EvictParams;
use kube::{Api, ResourceExt};
use stackube_api::{Port, PortHolder};
use tracing::{info, warn};

use super::book::Exhausted;
use super::dereference::{Node, chassis_of};
use super::{Shared, status};
use crate::stop::Stop;

/// Reason of Events: the range is full.
const EXHAUSTED: &str = "AddressesExhausted";
/// Reason of Events: the range is full on this node only, for good.
const EXHAUSTED_ON_NODE: &str = "AddressesExhaustedOnNode";

/// The stable reason for a lack of addresses.
pub(super) fn reason(full: Exhausted) -> &'static str {
    match full {
        Exhausted::Node { resting: 0 } => EXHAUSTED_ON_NODE,
        Exhausted::Node { .. } | Exhausted::Network { .. } => EXHAUSTED,
    }
}

/// Evicts the pod if that is the way out. Failures are logged: the pod goes on waiting.
pub(super) async fn consider(shared: &Shared, port: &Port, stop: &Stop) {
    let is_pod = port.spec.holder == PortHolder::Pod;
    if !is_pod || stop.reason() != EXHAUSTED_ON_NODE || !has_another_node(shared, &port.spec.node_name) {
        return;
    }
    let pods: Api<Pod> = Api::namespaced(shared.context.kube.clone(), &port.namespace().unwrap_or_default());
    match pods.get_opt(&port.spec.pod_name).await {
        Ok(Some(pod)) if may_be_evicted(&pod, &port.spec.pod_uid) => evict(shared, port, &pods).await,
        Ok(_) => {}
        Err(error) => warn!("cannot look whether the pod may be evicted: {error}"),
    }
}

async fn evict(shared: &Shared, port: &Port, pods: &Api<Pod>) {
    match pods.evict(&port.spec.pod_name, &EvictParams::default()).await {
        Ok(_) => {
            info!(
                pod = port.spec.pod_name,
                node = port.spec.node_name,
                "evicted: the node has no address for it"
            );
            let note = format!(
                "node {} has no free address for this pod: another node may",
                port.spec.node_name
            );
            status::tell(shared, port, "Evict", EXHAUSTED_ON_NODE, note).await;
        }
        Err(error) => warn!(pod = port.spec.pod_name, "not evicted: {error}"),
    }
}

fn has_another_node(shared: &Shared, this: &str) -> bool {
    let others = shared.nodes.state().into_iter().filter(|node| node.name_any() != this);
    others
        .into_iter()
        .any(|node| matches!(chassis_of(&node), Node::Chassis(_)))
}

/// Something makes a new pod in its place, and not on this very node again (a DaemonSet would).
fn may_be_evicted(pod: &Pod, uid: &str) -> bool {
    let controller = pod
        .owner_references()
        .iter()
        .find(|owner| owner.controller == Some(true));
    pod.uid().as_deref() == Some(uid)
        && pod.metadata.deletion_timestamp.is_none()
        && controller.is_some_and(|owner| owner.kind != "DaemonSet")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn owner(kind: &str, controller: bool) -> Value {
        json!([{"apiVersion": "apps/v1", "kind": kind, "name": "o", "uid": "o", "controller": controller}])
    }

    #[rstest]
    #[case::replica_set(json!({"ownerReferences": owner("ReplicaSet", true)}), true)]
    #[case::job(json!({"ownerReferences": owner("Job", true)}), true)]
    #[case::bare_pod(json!({}), false)]
    #[case::owned_but_not_controlled(json!({"ownerReferences": owner("ReplicaSet", false)}), false)]
    #[case::daemon_set(json!({"ownerReferences": owner("DaemonSet", true)}), false)]
    #[case::successor(json!({"ownerReferences": owner("StatefulSet", true), "uid": "u-2"}), false)]
    #[case::going_already(
        json!({"ownerReferences": owner("Job", true), "deletionTimestamp": "2026-01-01T00:00:00Z"}), false
    )]
    fn evicts_only_what_comes_back_elsewhere(#[case] metadata: Value, #[case] expected: bool) {
        let mut pod = json!({"metadata": {"name": "p", "namespace": "n", "uid": "u-1"}});
        pod["metadata"]
            .as_object_mut()
            .unwrap()
            .extend(metadata.as_object().unwrap().clone());
        assert_eq!(may_be_evicted(&serde_json::from_value(pod).unwrap(), "u-1"), expected);
    }
}
