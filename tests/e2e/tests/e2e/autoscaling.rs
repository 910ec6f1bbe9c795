//! metrics-server on the node's network, which the API server reaches by its ClusterIP, and what follows for a tenant: `kubectl top`
//! and autoscalers.
//!
//! An API that nobody serves holds up the deletion of every namespace: it is there only while metrics-server is.

use std::time::Duration;

use anyhow::ensure;
use kube::ResourceExt;
use serde_json::{Value, json};
use stackube_e2e::{
    admin::{create, with_admin_namespace},
    always::always,
    desk::Desk,
    devbox::Devbox,
    tenant::with_tenant,
    wait,
};

use crate::shared;

/// What it is made of; `NAMESPACE` stands for a name of the test's.
const MANIFEST: &str = include_str!("autoscaling/metrics-server.yaml");
/// There is one such API, so there is one such namespace.
const NAMESPACE: &str = "e2e-metrics";
/// Metrics are taken every 10 s, autoscalers look every 15 s, and the machine may be busy with other tests.
const LIMIT: Duration = Duration::from_secs(240);

/// The API that metrics-server serves.
fn api(namespace: &str) -> Value {
    json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1beta1.metrics.k8s.io"},
        "spec": {"group": "metrics.k8s.io", "version": "v1beta1", "groupPriorityMinimum": 100, "versionPriority": 100,
            "insecureSkipTLSVerify": true, "service": {"namespace": namespace, "name": "metrics-server", "port": 443}},
    })
}

/// Removes what is not in the namespace: the API first.
async fn remove(devbox: &Devbox) {
    let delegator = format!("clusterrolebinding/{NAMESPACE}-delegator");
    let (role, binding) = (
        format!("clusterrole/{NAMESPACE}"),
        format!("clusterrolebinding/{NAMESPACE}"),
    );
    let reader = format!("rolebinding/{NAMESPACE}");
    for (namespace, what) in [
        ("default", "apiservice/v1beta1.metrics.k8s.io"),
        ("default", &delegator),
        ("default", &binding),
        ("default", &role),
        ("kube-system", &reader),
    ] {
        devbox
            .kubectl(
                &["-n", namespace, "delete", what, "--ignore-not-found", "--timeout=60s"],
                "",
            )
            .await
            .unwrap();
    }
}

/// Something that computes without end, and its autoscaler.
fn busy() -> Value {
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "busy"},
        "spec": {"selector": {"matchLabels": {"app": "busy"}}, "template": {
            "metadata": {"labels": {"app": "busy"}},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [{
                "name": "busy", "image": "busybox", "imagePullPolicy": "IfNotPresent",
                "command": ["sh", "-c", "while :; do :; done"],
                "resources": {"requests": {"cpu": "10m"}, "limits": {"cpu": "50m"}},
            }]},
        }},
    });
    let scaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "busy"},
        "spec": {"scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "busy"},
            "minReplicas": 1, "maxReplicas": 2,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": 50}}}]},
    });
    json!({"apiVersion": "v1", "kind": "List", "items": [deployment, scaler]})
}

#[tokio::test]
async fn a_tenants_autoscaler_follows_what_metrics_server_sees_of_its_pods() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    // A run that was killed may have left it.
    remove(&devbox).await;
    with_admin_namespace(&devbox, NAMESPACE, async |namespace| {
        let body = async {
            let manifest = MANIFEST.replace("NAMESPACE", namespace);
            devbox.kubectl(&["create", "-f", "-"], &manifest).await.unwrap();
            let available = ["wait", "--for=condition=Available", "--timeout=180s"];
            let serves = [&["-n", namespace], &available[..], &["deployment/metrics-server"]].concat();
            devbox.kubectl(&serves, "").await.unwrap();
            create(&devbox, &api(namespace)).await;
            let known = [&available[..], &["apiservice/v1beta1.metrics.k8s.io"]].concat();
            devbox.kubectl(&known, "").await.unwrap();
            with_tenant(&devbox, "metrics", "", async |tenant| {
                let name = tenant.name_any();
                devbox
                    .kubectl(&["-n", &name, "create", "-f", "-"], &busy().to_string())
                    .await
                    .unwrap();
                let desk = Desk::of(&devbox, &tenant).await.unwrap();
                sees_own_pods_only(&desk).await;
                let scaled = ["get", "deployment", "busy", "--output=jsonpath={.status.replicas}"];
                wait::until("the autoscaler adds a pod", LIMIT, || async {
                    let seen = desk.kubectl(&scaled).await?;
                    ensure!(
                        seen == "2",
                        "{seen} replicas: {}",
                        desk.kubectl(&["describe", "hpa", "busy"]).await?
                    );
                    Ok::<_, anyhow::Error>(())
                })
                .await;
            })
            .await;
        };
        always(body, remove(&devbox)).await;
    })
    .await;
}

async fn sees_own_pods_only(desk: &Desk) {
    let top = ["top", "pods", "--no-headers"];
    wait::until("the tenant sees what its pod uses", LIMIT, || async {
        let seen = desk.kubectl(&top).await?;
        ensure!(seen.starts_with("busy-"), "{seen}");
        Ok::<_, anyhow::Error>(())
    })
    .await;
    for others in [
        &["top", "pods", "--all-namespaces"][..],
        &["-n", "kube-system", "top", "pods"],
        &["top", "nodes"],
    ] {
        let refused = desk.kubectl(others).await.unwrap_err().to_string();
        assert!(refused.contains("orbidden"), "{others:?}: {refused}");
    }
}
