//! Services of tests.

use serde_json::json;

use crate::devbox::Devbox;

/// Creates a Service on `port` for the pods with label `run: NAME`; its cluster IP.
///
/// # Panics
/// When the API server refuses.
pub async fn expose(devbox: &Devbox, namespace: &str, name: &str, port: u16) -> String {
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
        "spec": {"selector": {"run": name}, "ports": [{"name": "http", "port": port}]},
    });
    devbox
        .kubectl(&["create", "-f", "-"], &service.to_string())
        .await
        .expect("the API server should accept the Service");
    cluster_ip(devbox, namespace, name).await
}

/// The cluster IP of a Service.
///
/// # Panics
/// When there is no such Service.
pub async fn cluster_ip(devbox: &Devbox, namespace: &str, name: &str) -> String {
    let path = "jsonpath={.spec.clusterIP}";
    devbox
        .kubectl(&["-n", namespace, "get", "service", name, "-o", path], "")
        .await
        .expect("the Service should be there")
}

/// Makes a pod one of those that [`expose`] finds by the name `run`.
///
/// # Panics
/// When there is no such pod.
pub async fn label(devbox: &Devbox, namespace: &str, pod: &str, run: &str) {
    devbox
        .kubectl(
            &[
                "-n",
                namespace,
                "label",
                "pod",
                pod,
                &format!("run={run}"),
                "--overwrite",
            ],
            "",
        )
        .await
        .expect("the pod should be there");
}
