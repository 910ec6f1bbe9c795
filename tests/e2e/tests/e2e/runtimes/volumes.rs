//! Volumes of each kind that needs no storage, in a pod of two containers, one of which can be attached to.

use serde_json::json;
use stackube_e2e::{admin::create, devbox::Devbox, pods};

/// Makes the pod `volumes`, which is ready when its containers are.
pub(super) async fn make(devbox: &Devbox, namespace: &str) {
    let metadata = json!({"name": "volumes", "namespace": namespace});
    let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"key": "of-config\n"}});
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"key": "of-secret\n", "other": "hidden"}});
    let busybox = |name: &str, script: &str| {
        json!({
            "name": name, "image": "busybox", "imagePullPolicy": "IfNotPresent", "command": ["sh", "-c", script],
            "volumeMounts": [{"name": "shared", "mountPath": "/shared"}],
        })
    };
    let mut reader = busybox("reader", "exec sleep 3600");
    reader["readinessProbe"] =
        json!({"exec": {"command": ["test", "-e", "/shared/file"]}, "periodSeconds": 1, "timeoutSeconds": 10});
    reader["volumeMounts"] = json!([
        {"name": "shared", "mountPath": "/shared"},
        {"name": "config", "mountPath": "/config"},
        {"name": "secret", "mountPath": "/secret"},
        // In a directory of the image.
        {"name": "secret", "mountPath": "/etc/one", "subPath": "key"},
        {"name": "about", "mountPath": "/about"},
        {"name": "image", "mountPath": "/image"},
        {"name": "all", "mountPath": "/all"},
    ]);
    // It ends when the first who attaches to it does.
    let mut writer = busybox("writer", "echo of-writer >/shared/file; exec cat");
    writer["stdin"] = true.into();
    writer["stdinOnce"] = true.into();
    let name = json!([{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]);
    // What kubelet mounts into every pod is one of these too, but with paths of its own.
    let all = json!([
        {"configMap": {"name": "volumes", "items": [{"key": "key", "path": "config"}]}},
        {"secret": {"name": "volumes", "items": [{"key": "key", "path": "secret"}]}},
        {"downwardAPI": {"items": name}},
        {"serviceAccountToken": {"path": "token", "audience": "example.org", "expirationSeconds": 600}},
    ]);
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
        "spec": {
            "terminationGracePeriodSeconds": 0, "restartPolicy": "Never", "containers": [reader, writer],
            "volumes": [
                {"name": "shared", "emptyDir": {}},
                {"name": "config", "configMap": {"name": "volumes"}},
                {"name": "secret", "secret": {"secretName": "volumes"}},
                {"name": "about", "downwardAPI": {"items": name}},
                {"name": "image", "image": {"reference": "busybox", "pullPolicy": "IfNotPresent"}},
                {"name": "all", "projected": {"sources": all}},
            ],
        },
    });
    create(
        devbox,
        &json!({"apiVersion": "v1", "kind": "List", "items": [config, secret, pod]}),
    )
    .await;
}

/// Asserts that the pod sees what is in its volumes, and hears who is attached to it.
pub(super) async fn assert_work(devbox: &Devbox, namespace: &str) {
    pods::ready(devbox, namespace, "volumes").await;
    let files = "cat /shared/file /config/key /secret/key /etc/one /about/name; ls /secret; test -e /etc/passwd";
    let seen = pods::exec(devbox, namespace, "volumes", files).await.unwrap();
    let expected = "of-writer\nof-config\nof-secret\nof-secret\nvolumeskey\nother";
    assert_eq!(seen.trim(), expected, "what is in volumes");
    let files = "cat /all/config /all/secret /all/name; ls /all; test -s /all/token; cmp /image/bin/busybox /bin/busybox; \
                 touch /image/file 2>&1 || true";
    let seen = pods::exec(devbox, namespace, "volumes", files).await.unwrap();
    let expected =
        "of-config\nof-secret\nvolumesconfig\nname\nsecret\ntoken\ntouch: /image/file: Read-only file system";
    assert_eq!(seen.trim(), expected, "what is in projected volumes and in images");
    let attach = ["-n", namespace, "attach", "--stdin", "volumes", "--container=writer"];
    let heard = devbox.kubectl(&attach, "said-to-it\n").await.unwrap();
    assert!(heard.contains("said-to-it"), "attach: {heard:?}");
}
