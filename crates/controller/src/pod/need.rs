//! What a pod needs, judged by the pod alone.

use k8s_openapi::api::core::v1::Pod;
use kube::{Resource, ResourceExt};
use stackube_api::{Port, PortHolder, PortSpec};

use crate::port::{NetworkKey, order};

/// Annotation of a mirror pod: the API server's picture of a static pod that a kubelet runs from a file.
pub(super) const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

/// What a pod needs of its Port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// No Port is made for it; one that exists stays until the pod is gone.
    Nothing,
    /// A Port, for this node.
    Port {
        /// Kubernetes name of the node.
        node: String,
    },
    /// It has finished for good: its address goes back although the Pod object may stay for a long time.
    Release,
}

/// Mirror pods never get a Port. Their kubelet may write any namespace and labels into them, so a lost node could plug itself
/// into every tenant; and the runtime knows a static pod by another UID than its mirror has.
pub(crate) fn need(pod: &Pod) -> Need {
    let Some(spec) = &pod.spec else { return Need::Nothing };
    if spec.host_network == Some(true) || pod.annotations().contains_key(MIRROR_ANNOTATION) {
        return Need::Nothing;
    }
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    if matches!(phase, Some("Succeeded" | "Failed")) {
        return Need::Release;
    }
    match &spec.node_name {
        Some(node) if !node.is_empty() && pod.metadata.deletion_timestamp.is_none() => {
            Need::Port { node: node.clone() }
        }
        _ => Need::Nothing,
    }
}

/// The Port of a pod. `None` for an object without name and UID.
pub(super) fn port(pod: &Pod, node: &str, network: NetworkKey) -> Option<Port> {
    let spec = PortSpec {
        holder: PortHolder::Pod,
        pod_name: pod.metadata.name.clone()?,
        pod_uid: pod.metadata.uid.clone()?,
        node_name: node.to_owned(),
        network_namespace: network.namespace,
        network_name: network.name,
    };
    // The owner is not blocked: a pod may go while its Port waits for the node.
    Some(order(spec, pod.metadata.namespace.clone(), pod.owner_ref(&())?))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};
    use stackube_api::names::{CONTROLLER_FINALIZER, NODE_FINALIZER};

    use super::*;

    fn pod(change: &Value) -> Pod {
        let mut pod = json!({
            "metadata": {"name": "web-0", "namespace": "test", "uid": "u-1"},
            "spec": {"nodeName": "n1", "containers": []},
            "status": {"phase": "Pending"},
        });
        for (part, fields) in change.as_object().unwrap() {
            for (name, value) in fields.as_object().unwrap() {
                pod[part][name] = value.clone();
            }
        }
        serde_json::from_value(pod).unwrap()
    }

    fn on_n1() -> Need {
        Need::Port { node: "n1".into() }
    }

    #[rstest]
    #[case::bound(json!({}), on_n1())]
    #[case::running(json!({"status": {"phase": "Running"}}), on_n1())]
    #[case::unknown(json!({"status": {"phase": "Unknown"}}), on_n1())]
    #[case::not_bound(json!({"spec": {"nodeName": null}}), Need::Nothing)]
    #[case::bound_to_nothing(json!({"spec": {"nodeName": ""}}), Need::Nothing)]
    #[case::host_network(json!({"spec": {"hostNetwork": true}}), Need::Nothing)]
    #[case::not_host_network(json!({"spec": {"hostNetwork": false}}), on_n1())]
    #[case::mirror(json!({"metadata": {"annotations": {MIRROR_ANNOTATION: "x"}}}), Need::Nothing)]
    #[case::mirror_with_empty_hash(json!({"metadata": {"annotations": {MIRROR_ANNOTATION: ""}}}), Need::Nothing)]
    #[case::deleted(json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}), Need::Nothing)]
    #[case::succeeded(json!({"status": {"phase": "Succeeded"}}), Need::Release)]
    #[case::failed(json!({"status": {"phase": "Failed"}}), Need::Release)]
    #[case::failed_and_deleted(
        json!({"status": {"phase": "Failed"}, "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}}),
        Need::Release
    )]
    fn needs(#[case] change: Value, #[case] expected: Need) {
        assert_eq!(need(&pod(&change)), expected);
    }

    #[test]
    fn the_port_is_tied_to_the_pod_and_held_by_both_finalizers() {
        let network = NetworkKey {
            namespace: "test".into(),
            name: "test".into(),
        };
        let port = port(&pod(&json!({})), "n1", network).unwrap();
        assert_eq!(
            (port.name_any().as_str(), port.namespace().as_deref()),
            ("u-1", Some("test"))
        );
        assert_eq!(port.finalizers(), [CONTROLLER_FINALIZER, NODE_FINALIZER]);
        let owner = &port.owner_references()[0];
        assert_eq!(
            (owner.kind.as_str(), owner.uid.as_str(), owner.block_owner_deletion),
            ("Pod", "u-1", None)
        );
        assert_eq!(
            (port.spec.pod_uid.as_str(), port.spec.node_name.as_str()),
            ("u-1", "n1")
        );
    }
}
