//! Pods that write more to their node's disk than they may: into a volume of the node's, and into the container's own files.

use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use serde_json::json;
use stackube_e2e::{admin::create, devbox::Devbox, wait};

/// The pods, and where they write. `/tmp` would not do: without a volume there, gVisor keeps it in memory.
const FILLED: [(&str, &str); 2] = [("filled-root", "/root"), ("filled-volume", "/volume")];

/// Kubelet looks at volumes once a minute.
const LIMIT: Duration = Duration::from_secs(240);

/// Makes pods that write four times of what they may.
pub(super) async fn make(devbox: &Devbox, namespace: &str) {
    let pods = FILLED.map(|(name, path)| {
        let script = format!("dd if=/dev/zero of={path}/filled bs=1M count=40; exec sleep 3600");
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "terminationGracePeriodSeconds": 0, "restartPolicy": "Never",
                "containers": [{
                    "name": "c", "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script],
                    "resources": {"limits": {"ephemeral-storage": "10Mi"}},
                    "volumeMounts": [{"name": "volume", "mountPath": "/volume"}],
                }],
                "volumes": [{"name": "volume", "emptyDir": {}}],
            },
        })
    });
    create(devbox, &json!({"apiVersion": "v1", "kind": "List", "items": pods})).await;
}

/// Asserts that kubelet sees what they have written, and ends them.
pub(super) async fn assert_evicted(devbox: &Devbox, namespace: &str) {
    let pods: Api<Pod> = Api::namespaced(devbox.kube.clone(), namespace);
    for (name, _) in FILLED {
        wait::until(&format!("{name} is evicted"), LIMIT, || async {
            let status = pods.get(name).await?.status.unwrap_or_default();
            let message = status.message.unwrap_or_default();
            let told = message.contains("local storage usage exceeds the total limit of containers 10Mi");
            ensure!(
                told && status.reason.as_deref() == Some("Evicted"),
                "{:?} {message:?}",
                status.phase
            );
            Ok(())
        })
        .await;
    }
}
