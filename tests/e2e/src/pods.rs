//! Pods of tests and what they can reach.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::Api;

use crate::{devbox::Devbox, wait};

/// From `kubectl create` to Ready.
pub const READY: Duration = Duration::from_secs(300);

/// A pod that serves `text` on port 80 and has a shell.
///
/// # Errors
/// What the API server refuses.
pub async fn create(devbox: &Devbox, namespace: &str, name: &str, text: &str) -> Result<()> {
    let manifest = manifest(namespace, name, text);
    devbox
        .kubectl(&["create", "-f", "-"], &manifest.to_string())
        .await
        .map(drop)
}

/// Many such pods by one call, each of which serves its own name.
///
/// # Errors
/// What the API server refuses.
pub async fn create_all(devbox: &Devbox, namespace: &str, names: &[String]) -> Result<()> {
    let items: Vec<_> = names.iter().map(|name| manifest(namespace, name, name)).collect();
    let list = serde_json::json!({"apiVersion": "v1", "kind": "List", "items": items});
    devbox
        .kubectl(&["create", "-f", "-"], &list.to_string())
        .await
        .map(drop)
}

/// The manifest of such a pod.
pub fn manifest(namespace: &str, name: &str, text: &str) -> serde_json::Value {
    serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
        "spec": {"terminationGracePeriodSeconds": 0, "containers": [{
            "name": "web", "image": "busybox", "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", format!("mkdir /tmp/www && echo {text} > /tmp/www/index.html && exec httpd -f -p 80 -h /tmp/www")],
        }]},
    })
}

/// Waits until the pod is Ready; its address.
///
/// # Panics
/// When it is not in time; the message carries the pod's last Events.
pub async fn ready(devbox: &Devbox, namespace: &str, name: &str) -> String {
    let pods: Api<Pod> = Api::namespaced(devbox.kube.clone(), namespace);
    wait::until(&format!("pod {namespace}/{name} Ready"), READY, || async {
        let status = pods.get(name).await?.status.unwrap_or_default();
        let is_ready = status
            .conditions
            .iter()
            .flatten()
            .any(|c| c.type_ == "Ready" && c.status == "True");
        if !is_ready {
            let field = format!("--field-selector=involvedObject.name={name}");
            let events = devbox.kubectl(&["-n", namespace, "get", "events", &field], "").await?;
            anyhow::bail!("{:?}\n{events}", status.phase);
        }
        status.pod_ip.context("no address")
    })
    .await
}

/// Creates a pod that serves `text`, and waits for it; its address.
///
/// # Panics
/// When it does not start.
pub async fn run(devbox: &Devbox, namespace: &str, name: &str, text: &str) -> String {
    create(devbox, namespace, name, text)
        .await
        .expect("the API server should accept the pod");
    ready(devbox, namespace, name).await
}

/// Runs a shell command in the pod.
///
/// # Errors
/// Its exit status and standard error.
pub async fn exec(devbox: &Devbox, namespace: &str, pod: &str, script: &str) -> Result<String> {
    devbox
        .kubectl(&["-n", namespace, "exec", pod, "--", "sh", "-c", script], "")
        .await
}

/// What `http://address/` answers to the pod within three seconds.
///
/// # Errors
/// When nothing does.
pub async fn fetch(devbox: &Devbox, namespace: &str, pod: &str, address: &str) -> Result<String> {
    Ok(
        exec(devbox, namespace, pod, &format!("wget -q -O - -T 3 http://{address}/"))
            .await?
            .trim()
            .to_owned(),
    )
}

/// Asserts that the pod gets `text` from `address`.
///
/// # Panics
/// When it does not.
pub async fn assert_reaches(devbox: &Devbox, namespace: &str, pod: &str, address: &str, text: &str) {
    wait::until(
        &format!("{namespace}/{pod} reaches {address}"),
        Duration::from_secs(30),
        || async {
            let answer = fetch(devbox, namespace, pod, address).await?;
            ensure!(answer == text, "the answer is {answer:?} instead of {text:?}");
            Ok(())
        },
    )
    .await;
}

/// Asserts that the pod is refused at once at `address` on all `ports`, as the eBPF programs do, and that no ping is answered: without
/// them, an address to which there is no way would only keep silent.
///
/// # Panics
/// When one is not.
pub async fn assert_refused(devbox: &Devbox, namespace: &str, pod: &str, address: &str, ports: &[u16]) {
    let list: Vec<String> = ports.iter().map(u16::to_string).collect();
    let script = format!(
        "for port in {}; do nc -w 2 {address} $port </dev/null 2>&1; done | grep -c 'Connection refused'; \
         ping -c 1 -W 2 {address} >/dev/null 2>&1 && echo ping; echo done",
        list.join(" ")
    );
    let seen = exec(devbox, namespace, pod, &script)
        .await
        .expect("a shell in the pod should work");
    let expected = format!("{}\ndone", ports.len());
    assert_eq!(seen.trim(), expected, "{namespace}/{pod} at {address}");
}

/// The node's address on the system network, which keeps silent instead of refusing: pods there have to reach it with their answers.
///
/// # Panics
/// When the node has none.
pub async fn own_port(devbox: &Devbox) -> String {
    let address = devbox
        .host("ip -4 -o address show dev stackube-sys | awk '{print $4}'")
        .await;
    let address = address.expect("the node should have a port of its own");
    address.trim().trim_end_matches("/32").to_owned()
}

/// Asserts that nothing answers the pod at `address` on `port`, neither by TCP nor by ping, although the pod's own shell
/// works.
///
/// # Panics
/// When something does.
pub async fn assert_cut_off(devbox: &Devbox, namespace: &str, pod: &str, address: &str, port: u16) {
    let script = format!(
        "nc -w 2 {address} {port} </dev/null >/dev/null 2>&1 && echo open; ping -c 1 -W 2 {address} >/dev/null 2>&1 && echo ping; echo done"
    );
    let seen = exec(devbox, namespace, pod, &script)
        .await
        .expect("a shell in the pod should work");
    assert_eq!(seen.trim(), "done", "{namespace}/{pod} reaches {address}:{port}");
}
