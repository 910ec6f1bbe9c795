//! The two nodes that some tests need, and where their pods run.

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Node as KubeNode;
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::Value;

use crate::{devbox::Devbox, pods};

/// A node of the devbox and the test host that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name in Kubernetes.
    pub name: &'static str,
    /// Its name for SSH.
    pub host: &'static str,
    /// Its addresses: on the management network, and of its tunnels.
    pub addresses: [&'static str; 2],
}

/// As in devbox/inventory/two.yml. The first has everything, the second joined it.
pub const NODES: [Node; 2] = [
    Node {
        name: "stackube",
        host: "devbox-1",
        addresses: ["10.77.0.11", "10.78.0.11"],
    },
    Node {
        name: "stackube-2",
        host: "devbox-2",
        addresses: ["10.77.0.12", "10.78.0.12"],
    },
];

/// A label that each node has with its own name, so that pods of tests can select it: names themselves are not for tenants.
const LABEL: &str = "test.stackube.internal/node";

/// The devbox with both nodes, labelled.
///
/// # Panics
/// When the second has not joined: run `devbox/devbox join`.
pub async fn both() -> Devbox {
    let devbox = Devbox::connect().await;
    for node in NODES {
        let label = format!("{LABEL}={}", node.name);
        devbox
            .kubectl(&["label", "node", node.name, &label, "--overwrite"], "")
            .await
            .expect("the node should be there: run `devbox/devbox join`");
    }
    devbox
}

/// Those of them that the cluster has now.
///
/// # Errors
/// When the API server does not answer.
pub async fn joined(devbox: &Devbox) -> Result<Vec<Node>> {
    let nodes: Api<KubeNode> = Api::all(devbox.kube.clone());
    let known = nodes.list_metadata(&ListParams::default()).await?;
    let names: Vec<String> = known.items.iter().map(ResourceExt::name_any).collect();
    let there = NODES
        .into_iter()
        .filter(|node| names.iter().any(|name| name == node.name));
    Ok(there.collect())
}

impl Node {
    /// The other one.
    pub fn other(self) -> Self {
        if self == NODES[0] { NODES[1] } else { NODES[0] }
    }

    /// Makes a pod's manifest one for this node.
    ///
    /// # Panics
    /// When it is no pod's.
    #[must_use]
    pub fn place(self, mut manifest: Value) -> Value {
        let spec = manifest["spec"].as_object_mut().expect("a pod should have a spec");
        spec.insert("nodeSelector".into(), serde_json::json!({ LABEL: self.name }));
        manifest
    }

    /// Creates a pod on this node that serves `text`, and waits for it; its address.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn run(self, devbox: &Devbox, namespace: &str, name: &str, text: &str) -> String {
        let pod = self.place(pods::manifest(namespace, name, text));
        devbox
            .kubectl(&["create", "-f", "-"], &pod.to_string())
            .await
            .expect("the API server should accept the pod");
        pods::ready(devbox, namespace, name).await
    }

    /// Runs a shell command as root on this node's host.
    ///
    /// # Errors
    /// What it printed on standard error.
    pub async fn shell(self, devbox: &Devbox, script: &str) -> Result<String> {
        devbox.on(self.host, script).await.with_context(|| self.host.to_owned())
    }
}
