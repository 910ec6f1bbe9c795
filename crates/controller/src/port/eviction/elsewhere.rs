//! Whether there is another node that a pod could go to. Pure.
//!
//! The scheduler knows more (resources, affinity): what is overlooked here costs the pod a start, and the pause between evictions
//! keeps that rare. So this only has to tell nodes that will never take the pod.

use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};
use kube::ResourceExt;
use stackube_api::names::CHASSIS_ANNOTATION;

/// Whether one of `nodes`, not being `this`, would take the pod: OVN knows it, it is ready and schedulable, has the labels that
/// the pod (or its RuntimeClass) selects, and no taint that the pod does not tolerate.
pub(super) fn exists(nodes: &[Node], this: &str, pod: &Pod) -> bool {
    nodes
        .iter()
        .any(|node| node.name_any() != this && would_take(node, pod))
}

fn would_take(node: &Node, pod: &Pod) -> bool {
    let spec = node.spec.clone().unwrap_or_default();
    let wanted = pod.spec.clone().unwrap_or_default();
    let has_chassis = node
        .annotations()
        .get(CHASSIS_ANNOTATION)
        .is_some_and(|name| !name.is_empty());
    let is_selected = wanted
        .node_selector
        .iter()
        .flatten()
        .all(|(key, value)| node.labels().get(key) == Some(value));
    let tolerations = wanted.tolerations.unwrap_or_default();
    let repels = |taint: &Taint| {
        matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute")
            && !tolerations.iter().any(|toleration| tolerates(toleration, taint))
    };
    has_chassis
        && node.metadata.deletion_timestamp.is_none()
        && is_ready(node)
        && spec.unschedulable != Some(true)
        && is_selected
        && !spec.taints.unwrap_or_default().iter().any(repels)
}

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions
        .filter(|condition| condition.type_ == "Ready")
        .any(|condition| condition.status == "True")
}

/// As the scheduler has it. Of the operators that compare numbers nothing is known here: as if they did not fit.
fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let key = toleration.key.as_deref().unwrap_or_default();
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let value = || taint.value.as_deref().unwrap_or_default();
    (effect.is_empty() || effect == taint.effect)
        && match toleration.operator.as_deref().unwrap_or_default() {
            "Exists" => key.is_empty() || key == taint.key,
            "" | "Equal" => key == taint.key && toleration.value.as_deref().unwrap_or_default() == value(),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    /// A node that would take any pod.
    fn node(name: &str) -> Value {
        json!({
            "metadata": {"name": name, "annotations": {CHASSIS_ANNOTATION: name}, "labels": {"disk": "ssd"}},
            "spec": {},
            "status": {"conditions": [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": "True"}]},
        })
    }

    fn pod(spec: &Value) -> Pod {
        let mut all = json!({"containers": []});
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        serde_json::from_value(json!({"metadata": {"name": "p"}, "spec": all})).unwrap()
    }

    fn takes(path: &str, value: Value, spec: &Value) -> bool {
        let mut other = node("n-2");
        let (parent, key) = path.rsplit_once('/').unwrap();
        other
            .pointer_mut(parent)
            .unwrap()
            .as_object_mut()
            .unwrap()
            .insert(key.into(), value);
        let nodes = [node("n-1"), other].map(|node| serde_json::from_value(node).unwrap());
        exists(&nodes, "n-1", &pod(spec))
    }

    fn ready(status: &str) -> Value {
        json!([{"type": "Ready", "status": status}])
    }

    #[rstest]
    #[case::as_it_is("/spec/unschedulable", json!(false), true)]
    #[case::this_very_node("/metadata/name", json!("n-1"), false)]
    #[case::unknown_to_ovn("/metadata/annotations", json!({}), false)]
    #[case::without_a_name_in_ovn("/metadata/annotations", json!({CHASSIS_ANNOTATION: ""}), false)]
    #[case::cordoned("/spec/unschedulable", json!(true), false)]
    #[case::not_ready("/status/conditions", ready("False"), false)]
    #[case::silent("/status/conditions", ready("Unknown"), false)]
    #[case::never_heard_of("/status/conditions", json!([]), false)]
    #[case::going("/metadata/deletionTimestamp", json!("2026-01-01T00:00:00Z"), false)]
    #[case::control_plane(
        "/spec/taints", json!([{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]), false
    )]
    #[case::being_emptied("/spec/taints", json!([{"key": "k", "effect": "NoExecute"}]), false)]
    #[case::not_preferred("/spec/taints", json!([{"key": "k", "effect": "PreferNoSchedule"}]), true)]
    fn a_node_counts_if_pods_can_run_there(#[case] path: &str, #[case] value: Value, #[case] expected: bool) {
        assert_eq!(takes(path, value, &json!({})), expected);
    }

    #[rstest]
    #[case::none(json!([]), false)]
    #[case::of_this_taint(json!([{"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}]), true)]
    #[case::equal_unless_said(json!([{"key": "k", "value": "v"}]), true)]
    #[case::of_another_value(json!([{"key": "k", "value": "w"}]), false)]
    #[case::whatever_value(json!([{"key": "k", "operator": "Exists"}]), true)]
    #[case::of_another_key(json!([{"key": "l", "operator": "Exists"}]), false)]
    #[case::of_another_effect(json!([{"key": "k", "operator": "Exists", "effect": "NoExecute"}]), false)]
    #[case::of_everything(json!([{"operator": "Exists"}]), true)]
    #[case::of_no_key(json!([{"operator": "Equal"}]), false)]
    #[case::by_numbers(json!([{"key": "k", "operator": "Gt", "value": "v"}]), false)]
    fn a_taint_counts_unless_it_is_tolerated(#[case] tolerations: Value, #[case] expected: bool) {
        let taints = json!([{"key": "k", "value": "v", "effect": "NoSchedule"}]);
        assert_eq!(
            takes("/spec/taints", taints, &json!({"tolerations": tolerations})),
            expected
        );
    }

    #[rstest]
    #[case(json!({"disk": "ssd"}), true)]
    #[case(json!({"disk": "hdd"}), false)]
    #[case(json!({"disk": "ssd", "gpu": "yes"}), false)]
    fn a_node_counts_if_the_pod_selects_it(#[case] selector: Value, #[case] expected: bool) {
        let spec = json!({"nodeSelector": selector});
        assert_eq!(takes("/spec/unschedulable", json!(false), &spec), expected);
    }
}
