//! A lost node as the actor: kubelet's account invents pods, and lies about those that it has.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kube::ResourceExt;
use serde_json::{Value, json};
use stackube_e2e::{
    devbox::Devbox,
    events::told,
    identity::Identity,
    pods,
    services::{expose, label},
    tenant::with_two_tenants,
    wait,
};

use super::kubelet;
use crate::shared;

/// kubelet writes a pod's true status again when it looks for differences, every ten seconds.
const PUT_RIGHT: Duration = Duration::from_secs(60);

/// Asserts that kubelet's account cannot invent a pod in the tenant's namespace.
pub(super) async fn assert_no_pods_invented(devbox: &Devbox, tenant: &str) {
    let path = ["get", "node", "stackube", "-o", "jsonpath={.metadata.uid}"];
    let uid = devbox.kubectl(&path, "").await.unwrap();
    let owner = json!({"apiVersion": "v1", "kind": "Node", "name": "stackube", "uid": uid, "controller": true});
    let path = format!("/api/v1/namespaces/{tenant}/pods");
    let rows: Vec<Value> = serde_saphyr::from_str(include_str!("pods.yaml")).unwrap();
    for row in rows {
        let who = match row["from"].as_str() {
            Some(node) => kubelet(node),
            None => Identity::in_group("system:masters"),
        };
        let mut spec = row["spec"].clone();
        spec["containers"] = json!([{"name": "c", "image": "busybox"}]);
        let metadata = json!({"name": "invented", "annotations": row["annotations"], "ownerReferences": [&owner]});
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec});
        let refused = who.try_create(&devbox.kube, &path, &pod).await;
        let error = refused.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains(row["refused"].as_str().unwrap()), "{row}: {error:?}");
    }
}

/// The kubelet of a pod's node, which lies about the pod's address.
struct Liar<'a> {
    devbox: &'a Devbox,
    namespace: &'a str,
    who: Identity,
}

impl Liar<'_> {
    async fn lie(&self, pod: &str, address: &str) -> Result<Value> {
        let path = format!("/api/v1/namespaces/{}/pods", self.namespace);
        let status = json!({"status": {"podIP": address, "podIPs": [{"ip": address}]}});
        let name = format!("{pod}/status");
        self.who.merge(&self.devbox.kube, &path, &name, &status).await
    }

    /// Says it again and again: the true kubelet puts it right.
    async fn insist(&self, pod: &str, address: &str) -> ! {
        loop {
            self.lie(pod, address).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }
}

#[tokio::test]
async fn a_false_address_of_a_pod_leads_its_service_to_nobody_else() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_two_tenants(&devbox, "lies", async |a, b| {
        let (name, other) = (a.name_any(), b.name_any());
        let (address, foreign, _) = tokio::join!(
            pods::run(&devbox, &name, "web", "of-a"),
            pods::run(&devbox, &other, "web", "of-b"),
            pods::run(&devbox, &name, "client", "x"),
        );
        assert_ne!(address, foreign, "addresses are random, and these two are equal");
        label(&devbox, &name, "web", "web").await;
        let service = expose(&devbox, &name, "web", 80).await;
        pods::assert_reaches(&devbox, &name, "client", &service, "of-a").await;
        let (node, at) = place(&devbox, &name, "web").await.unwrap();
        let liar = Liar {
            devbox: &devbox,
            namespace: &name,
            who: kubelet(&node),
        };
        assert_stays_in_the_network(&liar, &at, &service).await;
        assert_leads_to_own_pods_only(&liar, &foreign, &service).await;
        wait::until("the true kubelet puts it right", PUT_RIGHT, || async {
            let answer = pods::fetch(&devbox, &name, "client", &service).await?;
            ensure!(answer == "of-a", "{answer}");
            Ok::<_, anyhow::Error>(())
        })
        .await;
    })
    .await;
}

/// Name and address of the node that a pod runs on.
pub(super) async fn place(devbox: &Devbox, namespace: &str, pod: &str) -> Result<(String, String)> {
    let path = "jsonpath={.spec.nodeName} {.status.hostIP}";
    let text = devbox
        .kubectl(&["-n", namespace, "get", "pod", pod, "-o", path], "")
        .await?;
    let (node, address) = text.split_once(' ').context("a node and its address")?;
    Ok((node.to_owned(), address.to_owned()))
}

/// An address outside of the tenant's network is refused to Kubernetes' own controller too, and the Service stays as it was.
async fn assert_stays_in_the_network(liar: &Liar<'_>, address: &str, service: &str) {
    let (devbox, name) = (liar.devbox, liar.namespace);
    let refused = told(
        devbox,
        name,
        Some("web"),
        "FailedToUpdateEndpointSlices",
        &["every address must be in the network of the tenant"],
        PUT_RIGHT,
    );
    tokio::select! {
        never = liar.insist("web", address) => never,
        () = refused => {}
    }
    let slices = [
        "-n",
        name,
        "get",
        "endpointslices",
        "-o",
        "jsonpath={.items[*].endpoints[*].addresses}",
    ];
    let slices = devbox.kubectl(&slices, "").await.unwrap();
    assert!(!slices.is_empty() && !slices.contains(address), "{slices}");
    pods::assert_reaches(devbox, name, "client", service, "of-a").await;
}

/// Networks of tenants may have equal ranges: such an address leads to whoever has it in the tenant's own, here to nobody.
async fn assert_leads_to_own_pods_only(liar: &Liar<'_>, address: &str, service: &str) {
    let (devbox, name) = (liar.devbox, liar.namespace);
    let followed = wait::until("the Service follows the lie", PUT_RIGHT, || async {
        match pods::fetch(devbox, name, "client", service).await {
            Ok(answer) => {
                assert_eq!(answer, "of-a", "the Service leads to somebody else's pod");
                anyhow::bail!("it leads to the pod still")
            }
            Err(_) => Ok(()),
        }
    });
    tokio::select! {
        never = liar.insist("web", address) => never,
        () = followed => {}
    }
}
