//! What the accounts on a node may read and write. The requests that write carry the claim that the API server puts into the token of a pod.

mod accounts;
mod controller;
mod lost;

use kube::ResourceExt;
use serde_json::Value;
use stackube_e2e::{devbox::Devbox, identity::Identity, pods, tenant::with_tenant};

use crate::shared;

/// kubestackd of a node; without a name, a token that is not bound to a pod.
fn daemon(node: &str) -> Identity {
    let claim = ("authentication.kubernetes.io/node-name".to_owned(), node.to_owned());
    Identity {
        extra: if node.is_empty() { vec![] } else { vec![claim] },
        ..Identity::service_account("stackube-system", "kubestack")
    }
}

/// kubelet of a node.
fn kubelet(node: &str) -> Identity {
    Identity {
        user: format!("system:node:{node}"),
        groups: vec!["system:nodes".into()],
        extra: vec![],
    }
}

#[tokio::test]
async fn a_node_changes_only_what_is_its_own() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "node", "", async |tenant| {
        let name = tenant.name_any();
        pods::run(&devbox, &name, "web", "of-a").await;
        let port = devbox
            .kubectl(
                &["-n", &name, "get", "ports", "-o", "jsonpath={.items[0].metadata.name}"],
                "",
            )
            .await
            .unwrap();
        let ports = format!("/apis/stackube.kubernetes.io/v1/namespaces/{name}/ports");
        let (node, _) = lost::place(&devbox, &name, "web").await.unwrap();
        let rows: Vec<Value> = serde_saphyr::from_str(include_str!("nodes/writes.yaml")).unwrap();
        for row in rows {
            let (path, object) = if row["object"] == "port" {
                (ports.as_str(), port.as_str())
            } else {
                ("/api/v1/nodes", node.as_str())
            };
            let from = row["from"].as_str().unwrap();
            let who = daemon(if from == "own" { &node } else { from });
            let answer = who.try_merge(&devbox.kube, path, object, &row["patch"]).await;
            match (answer, row["refused"].as_str()) {
                (Ok(_), None) => {}
                (Err(error), Some(refusal)) if format!("{error:#}").contains(refusal) => {}
                (answer, _) => panic!("{row}: {answer:?}"),
            }
        }
        let configurations = format!("/api/v1/namespaces/{name}/configmaps");
        let label = serde_json::json!({"metadata": {"labels": {"a": "b"}}});
        for (path, object) in [(&ports, port.as_str()), (&configurations, "kube-root-ca.crt")] {
            let answer = kubelet(&node).try_merge(&devbox.kube, path, object, &label).await;
            let error = answer.expect_err("kubelet's account changed it");
            assert!(format!("{error:#}").contains("forbidden"), "{error:#}");
        }
        accounts::daemons(&devbox, &name).await;
        accounts::kubelets(&devbox, &name).await;
        controller::assert_has_no_more(&devbox, &name).await;
        lost::assert_no_pods_invented(&devbox, &name).await;
    })
    .await;
}
