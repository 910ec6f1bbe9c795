//! The part of a pod that is kept in memory.

use k8s_openapi::api::core::v1::{Pod, PodSpec, PodStatus};

use super::need::MIRROR_ANNOTATION;

/// Drops everything that no decision depends on: a cluster has many pods, and most of a pod is its containers.
pub(super) fn prune(pod: &mut Pod) {
    let meta = &mut pod.metadata;
    meta.managed_fields = None;
    meta.labels = None;
    meta.owner_references = None;
    meta.finalizers = None;
    if let Some(annotations) = &mut meta.annotations {
        annotations.retain(|key, _| key == MIRROR_ANNOTATION);
    }
    if let Some(spec) = &mut pod.spec {
        let (node_name, host_network) = (spec.node_name.take(), spec.host_network);
        *spec = PodSpec {
            node_name,
            host_network,
            ..PodSpec::default()
        };
    }
    if let Some(status) = &mut pod.status {
        *status = PodStatus {
            phase: status.phase.take(),
            ..PodStatus::default()
        };
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pod::need;

    #[test]
    fn what_is_left_leads_to_the_same_decision() {
        let mut pod: Pod = serde_json::from_value(json!({
            "metadata": {"name": "p", "uid": "u", "namespace": "n", "resourceVersion": "7", "labels": {"a": "b"},
                "annotations": {"kubernetes.io/config.mirror": "x", "other": "y"}, "managedFields": [{"manager": "m"}]},
            "spec": {"nodeName": "n1", "hostNetwork": false, "containers": [{"name": "c", "image": "i"}]},
            "status": {"phase": "Running", "podIP": "10.0.0.1"},
        }))
        .unwrap();
        let before = need(&pod);
        prune(&mut pod);
        assert_eq!(need(&pod), before);
        assert_eq!(
            serde_json::to_value(&pod).unwrap(),
            json!({"apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": "p", "uid": "u", "namespace": "n", "resourceVersion": "7",
                    "annotations": {"kubernetes.io/config.mirror": "x"}},
                "spec": {"nodeName": "n1", "hostNetwork": false, "containers": []},
                "status": {"phase": "Running"}})
        );
    }
}
