//! How many processes a pod may have on its node.

use anyhow::Context;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, ResourceExt};
use serde_json::Value;
use stackube_e2e::{devbox::Devbox, pods, tenant::with_tenant};

use crate::shared;

/// More than `kubectl exec` itself needs.
const ROOM: u64 = 32;

/// The folder of a pod's cgroup on the node that counts processes.
async fn cgroup(devbox: &Devbox, namespace: &str, pod: &str) -> String {
    let api: Api<Pod> = Api::namespaced(devbox.kube.clone(), namespace);
    let uid = api.get(pod).await.unwrap().uid().unwrap().replace('-', "_");
    let find = format!("find /sys/fs/cgroup -path '*-pod{uid}.slice/pids.max'");
    let found = devbox.host(&find).await.unwrap();
    let file = found.lines().next().context("the pod has no cgroup with pids.max");
    file.unwrap().trim_end_matches("/pids.max").to_owned()
}

async fn number(devbox: &Devbox, file: &str) -> u64 {
    let text = devbox.host(&format!("cat {file}")).await.unwrap();
    text.trim().parse().unwrap_or_else(|_| panic!("{file} is {text:?}"))
}

/// Starts that many processes side by side in the pod.
async fn fork(devbox: &Devbox, namespace: &str, pod: &str, count: u64) -> anyhow::Result<String> {
    let script = format!("for i in $(seq {count}); do sleep 3 & done; wait; echo done");
    pods::exec(devbox, namespace, pod, &script).await
}

#[tokio::test]
async fn a_pod_cannot_fork_past_its_limit_and_harms_only_itself() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    let text = devbox
        .kubectl(&["get", "--raw", "/api/v1/nodes/stackube/proxy/configz"], "")
        .await
        .unwrap();
    let configuration: Value = serde_json::from_str(&text).unwrap();
    let limit = configuration["kubeletconfig"]["podPidsLimit"].as_u64();
    let limit = limit.expect("kubelet should limit the processes of a pod");
    with_tenant(&devbox, "processes", "runtimeClassName: runc", async |tenant| {
        let name = tenant.name_any();
        pods::run(&devbox, &name, "greedy", "of-greedy").await;
        pods::run(&devbox, &name, "neighbour", "of-neighbour").await;
        let folder = cgroup(&devbox, &name, "greedy").await;
        assert_eq!(number(&devbox, &format!("{folder}/pids.max")).await, limit);

        assert_eq!(fork(&devbox, &name, "greedy", 2 * ROOM).await.unwrap().trim(), "done");
        // The kernel's answer is the same at any limit; with a low one the test needs few processes.
        let low = number(&devbox, &format!("{folder}/pids.current")).await + ROOM;
        devbox.host(&format!("echo {low} > {folder}/pids.max")).await.unwrap();
        let error = fork(&devbox, &name, "greedy", 2 * ROOM).await.unwrap_err();
        assert!(format!("{error:#}").contains("fork"), "{error:#}");
        let neighbour = fork(&devbox, &name, "neighbour", 2 * ROOM).await.unwrap();
        assert_eq!(neighbour.trim(), "done");
    })
    .await;
}
