//! Pods that come to another node, because theirs has no address for them.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::{Value, json};
use stackube_api::Port;
use stackube_e2e::{
    admin::create,
    always::always,
    devbox::Devbox,
    nodes::{self, NODES, Node},
    pods,
    tenant::with_two_tenants_of,
    wait,
};

use super::leave;
use crate::shared;

/// From a pod's end to its successor at work.
pub(super) const MOVED: Duration = Duration::from_secs(180);

/// A Deployment of pods that serve `text`, and are found by the Service of its name.
pub(super) fn deployment(namespace: &str, name: &str, replicas: u32, text: &str) -> Value {
    let mut spec = pods::manifest(namespace, name, text)["spec"].take();
    // A lost node is given up at once.
    spec["tolerations"] = ["not-ready", "unreachable"]
        .map(|taint| {
            json!({"key": format!("node.kubernetes.io/{taint}"), "operator": "Exists", "effect": "NoExecute",
                "tolerationSeconds": 1})
        })
        .into();
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": namespace},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"run": name}},
            "template": {"metadata": {"labels": {"run": name}}, "spec": spec}},
    })
}

/// Waits until so many pods `run: NAME` are Ready on the node; their addresses.
pub(super) async fn ready_on(
    devbox: &Devbox,
    node: Node,
    namespace: &str,
    name: &str,
    count: usize,
) -> BTreeSet<String> {
    let pods: Api<Pod> = Api::namespaced(devbox.kube.clone(), namespace);
    let labelled = ListParams::default().labels(&format!("run={name}"));
    wait::until(&format!("{count} pods on {}", node.name), MOVED, || async {
        let found = pods.list(&labelled).await?.items;
        let there: Vec<_> = found.iter().filter(|pod| is_ready_on(pod, node)).collect();
        ensure!(there.len() == count, "{} of {}", there.len(), found.len());
        let addresses = there.iter().filter_map(|pod| pod.status.as_ref()?.pod_ip.clone());
        Ok::<_, anyhow::Error>(addresses.collect())
    })
    .await
}

fn is_ready_on(pod: &Pod, node: Node) -> bool {
    let status = pod.status.clone().unwrap_or_default();
    let conditions = status.conditions.unwrap_or_default();
    let node_name = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
    node_name == Some(node.name)
        && pod.metadata.deletion_timestamp.is_none()
        && conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// What the node has of a namespace's Ports.
pub(super) async fn ports_on(devbox: &Devbox, node: Node, namespace: &str) -> Result<Vec<String>> {
    let ports: Api<Port> = Api::namespaced(devbox.kube.clone(), namespace);
    let found = ports.list(&ListParams::default()).await?.items;
    let there = found.iter().filter(|port| port.spec.node_name == node.name);
    Ok(there.map(ResourceExt::name_any).collect())
}

#[tokio::test]
async fn a_pod_without_an_address_on_its_node_gets_one_on_another() {
    let _guard = shared().await;
    let devbox = nodes::both().await;
    let spec = "network: {cidr: 10.233.0.0/24, gateway: 10.233.0.1}";
    with_two_tenants_of(&devbox, "starved", spec, async |a, b| {
        let taken = NODES[0].run(&devbox, &a.name_any(), "web", "of-a").await;
        leave(&devbox, &b, &[taken.parse().unwrap()]).await;
        let unlabelled = async {
            for node in NODES {
                label(&devbox, node, &format!("{CHOSEN}-")).await;
            }
        };
        always(goes_where_it_is_free(&devbox, &taken, &b.name_any()), unlabelled).await;
    })
    .await;
}

/// Label of the node that the pods of this test go to.
const CHOSEN: &str = "stackube.example/starved";

async fn label(devbox: &Devbox, node: Node, change: &str) {
    devbox.kubectl(&["label", "node", node.name, change], "").await.unwrap();
}

/// A pod of `b`, whose network has but this address, which is taken on the first node.
async fn goes_where_it_is_free(devbox: &Devbox, address: &str, b: &str) {
    let [here, there] = NODES;
    let chosen = format!("{CHOSEN}={b}");
    label(devbox, here, &chosen).await;
    let mut deployment = deployment(b, "web", 1, "of-b");
    deployment["spec"]["template"]["spec"]["nodeSelector"] = json!({CHOSEN: b});
    create(devbox, &deployment).await;
    let bound = format!("a pod of {b} waits on {}", here.name);
    wait::until(&bound, MOVED, || async {
        let ports = ports_on(devbox, here, b).await?;
        ensure!(!ports.is_empty(), "none has a Port");
        Ok::<_, anyhow::Error>(())
    })
    .await;
    // From now on its successor would go to the other node. The scheduler leaves the pod itself where it is.
    label(devbox, here, &format!("{CHOSEN}-")).await;
    label(devbox, there, &chosen).await;
    let addresses = ready_on(devbox, there, b, "web", 1).await;
    assert_eq!(addresses, BTreeSet::from([address.to_owned()]));
    let told = devbox.kubectl(&["-n", b, "get", "events"], "").await.unwrap();
    assert!(told.contains("AddressesExhaustedOnNode"), "{told}");
}
