//! What keeps a namespace from going away, in words.

use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{ListParams, ObjectList, PartialObjectMeta};
use kube::{Api, Client, ResourceExt};
use stackube_api::Network;

/// So many pods are named.
const NAMED: u32 = 3;

/// Looks at the namespace's pods and its Network, and tells all that keeps it.
///
/// # Errors
/// Those of the API server.
pub(super) async fn look(kube: &Client, namespace: &Namespace) -> Result<String, kube::Error> {
    let name = namespace.name_any();
    let networks: Api<Network> = Api::namespaced(kube.clone(), &name);
    let pods: Api<Pod> = Api::namespaced(kube.clone(), &name);
    let some = ListParams::default().limit(NAMED);
    let (network, pods) = tokio::try_join!(networks.get_opt(&name), pods.list_metadata(&some))?;
    Ok(sentence(namespace, pods_left(&pods), network.as_ref()))
}

/// The API server deletes pods first, and says nothing in the namespace while they take the time that they were given.
fn pods_left(pods: &ObjectList<PartialObjectMeta<Pod>>) -> Option<String> {
    let mut names: Vec<String> = pods.iter().map(ResourceExt::name_any).collect();
    let more = pods
        .metadata
        .remaining_item_count
        .and_then(|more| usize::try_from(more).ok());
    let count = names.len() + more.unwrap_or_default();
    if count > names.len() {
        names.push("…".to_owned());
    }
    let have = if count == 1 { "pod has" } else { "pods have" };
    (count > 0).then(|| format!("{count} {have} not ended: {}", names.join(", ")))
}

/// In the API server's words and the Network's.
fn sentence(namespace: &Namespace, pods: Option<String>, network: Option<&Network>) -> String {
    let mut text = format!("waiting for namespace {} to be removed", namespace.name_any());
    let conditions = namespace
        .status
        .iter()
        .flat_map(|status| status.conditions.iter().flatten());
    let remaining = conditions
        .filter(|condition| condition.status == "True")
        .filter_map(|condition| condition.message.clone())
        .filter(|message| !message.is_empty());
    let network = network.and_then(|network| network.status.as_ref()?.message.clone());
    for cause in pods.into_iter().chain(remaining).chain(network) {
        text.push_str("; ");
        text.push_str(&cause);
    }
    text
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case(&[], None, None)]
    #[case(&["a"], None, Some("1 pod has not ended: a"))]
    #[case(&["a", "b"], Some(0), Some("2 pods have not ended: a, b"))]
    #[case(&["a", "b", "c"], Some(2), Some("5 pods have not ended: a, b, c, …"))]
    fn pods_are_counted_and_some_named(
        #[case] names: &[&str],
        #[case] more: Option<i64>,
        #[case] expected: Option<&str>,
    ) {
        let items: Vec<_> = names.iter().map(|name| json!({"metadata": {"name": name}})).collect();
        let pods = json!({"metadata": {"remainingItemCount": more}, "items": items});
        assert_eq!(pods_left(&serde_json::from_value(pods).unwrap()).as_deref(), expected);
    }

    #[test]
    fn everything_that_keeps_a_namespace_is_told() {
        let namespace = json!({
            "metadata": {"name": "test"},
            "status": {"conditions": [
                {"type": "NamespaceContentRemaining", "status": "True", "message": "Some resources are remaining"},
                {"type": "NamespaceDeletionContentFailure", "status": "False", "message": "All content deleted"},
            ]},
        });
        let network = json!({
            "apiVersion": "stackube.kubernetes.io/v1", "kind": "Network", "metadata": {"name": "test"},
            "spec": {"cidr": "10.244.0.0/16", "gateway": "10.244.0.1"}, "status": {"message": "1 pod is still on this network"},
        });
        let (namespace, network) = (
            serde_json::from_value(namespace).unwrap(),
            serde_json::from_value(network).unwrap(),
        );
        assert_eq!(
            sentence(&namespace, Some("1 pod has not ended: a".into()), Some(&network)),
            "waiting for namespace test to be removed; 1 pod has not ended: a; Some resources are remaining; \
             1 pod is still on this network"
        );
        assert_eq!(
            sentence(&Namespace::default(), None, None),
            "waiting for namespace  to be removed"
        );
    }
}
