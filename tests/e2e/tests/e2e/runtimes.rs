//! The same suite for pods on each runtime, and pods of two runtimes that talk to each other.

mod scheduling;
mod storage;
mod volumes;

use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{Api, ResourceExt};
use stackube_e2e::{
    admin::create,
    devbox::Devbox,
    forward,
    pods::{self, assert_cut_off, assert_reaches},
    services::{expose, label},
    tenant::with_tenant,
    wait,
};

use crate::probes::probed;
use crate::services::put_kubectl;
use crate::shared;

/// What gVisor's kernel says when it is asked.
const GVISOR: &str = "gVisor";

/// What holds on every runtime: the class is forced, and probes, hooks, network, Services, names, the API, exec, logs, attach and volumes work
/// as ever, and what pods write to the disk counts.
async fn suite(devbox: &Devbox, namespace: &str, class: &str) {
    // Ready only if every kind of probe and hook reaches it.
    create(devbox, &probed(namespace, "of-web")).await;
    pods::create(devbox, namespace, "client", "client").await.unwrap();
    volumes::make(devbox, namespace).await;
    storage::make(devbox, namespace).await;
    let web = pods::ready(devbox, namespace, "web").await;
    pods::ready(devbox, namespace, "client").await;
    assert_runs_on(devbox, namespace, "web", class).await;

    assert_reaches(devbox, namespace, "client", &web, "of-web").await;
    pods::exec(devbox, namespace, "client", &format!("ping -c 1 -W 3 {web}"))
        .await
        .unwrap();
    pods::exec(devbox, namespace, "client", "ping -c 2 -W 3 172.24.4.1")
        .await
        .unwrap();
    assert_cut_off(devbox, namespace, "client", "10.77.0.11", 6443).await;

    services(devbox, namespace).await;

    let failed = pods::exec(devbox, namespace, "client", "exit 7").await.unwrap_err();
    assert!(
        format!("{failed:#}").contains('7'),
        "the exit status of exec: {failed:#}"
    );
    pods::exec(devbox, namespace, "client", "echo said >/proc/1/fd/1")
        .await
        .unwrap();
    wait::until("the log has it", Duration::from_secs(10), || async {
        let log = devbox.kubectl(&["-n", namespace, "logs", "client"], "").await?;
        ensure!(log.contains("said"), "{log:?}");
        Ok(())
    })
    .await;
    let copied = devbox
        .kubectl(
            &[
                "-n",
                namespace,
                "exec",
                "-i",
                "client",
                "--",
                "sh",
                "-c",
                "cat >/tmp/f; wc -c </tmp/f",
            ],
            "12345",
        )
        .await
        .unwrap();
    assert_eq!(copied.trim(), "5", "standard input of exec");
    volumes::assert_work(devbox, namespace).await;
    storage::assert_evicted(devbox, namespace).await;
}

/// Asserts that the pod has this class, and the kernel that goes with it.
pub(crate) async fn assert_runs_on(devbox: &Devbox, namespace: &str, pod: &str, class: &str) {
    let api: Api<Pod> = Api::namespaced(devbox.kube.clone(), namespace);
    let spec = api.get(pod).await.unwrap().spec.unwrap();
    assert_eq!(spec.runtime_class_name.as_deref(), Some(class));
    let kernel = pods::exec(devbox, namespace, pod, "dmesg 2>&1 || true").await.unwrap();
    assert_eq!(kernel.contains(GVISOR), class == "gvisor", "{class}: {kernel:.200}");
}

/// Asserts that the runtime's own filter of system calls stands before the node's kernel, beside those that the node has itself.
async fn assert_filtered(devbox: &Devbox, namespace: &str, pod: &str) {
    let status = "cat /proc/1/status";
    let filters = |status: &str| -> u32 {
        let count = status.lines().find_map(|line| line.strip_prefix("Seccomp_filters:"));
        count.unwrap().trim().parse().unwrap()
    };
    let inside = pods::exec(devbox, namespace, pod, status).await.unwrap();
    let node = devbox.host(status).await.unwrap();
    assert!(inside.contains("Seccomp:\t2\n"), "no filter: {inside}");
    assert!(filters(&inside) > filters(&node), "no filter of its own: {inside}");
}

/// What the node does for a pod: Services by address and by name, and the API server for the pod's own service account.
async fn services(devbox: &Devbox, namespace: &str) {
    label(devbox, namespace, "web", "web").await;
    let service = expose(devbox, namespace, "web", 80).await;
    for to in [&service, "web", &format!("web.{namespace}.svc.cluster.local")] {
        for pod in ["client", "web"] {
            assert_reaches(devbox, namespace, pod, to, "of-web").await;
        }
    }
    let unknown = "nslookup web.made-up.svc.cluster.local 2>&1; true";
    let seen = pods::exec(devbox, namespace, "client", unknown).await.unwrap();
    assert!(seen.contains("10.96.0.10") && seen.contains("NXDOMAIN"), "{seen}");
    put_kubectl(devbox, namespace, "client").await;
    let seen = pods::exec(devbox, namespace, "client", "/tmp/kubectl get pods -o name").await;
    let expected = "pod/client\npod/filled-root\npod/filled-volume\npod/volumes\npod/web";
    assert_eq!(seen.unwrap().trim(), expected);
}

#[tokio::test]
async fn pods_on_runc() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "runc", "runtimeClassName: runc", async |tenant| {
        let name = tenant.name_any();
        suite(&devbox, &name, "runc").await;
        assert_filtered(&devbox, &name, "web").await;
        let answer = forward::get(&devbox, None, &name, "web").await.unwrap();
        assert!(answer.ends_with("of-web\n"), "{answer:?}");
    })
    .await;
}

#[tokio::test]
async fn pods_on_gvisor() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "gvisor", "runtimeClassName: gvisor", async |tenant| {
        let name = tenant.name_any();
        suite(&devbox, &name, "gvisor").await;
        // Documented: containerd looks for the port outside of the sandbox.
        let answer = forward::get(&devbox, None, &name, "web").await.unwrap_or_default();
        assert_eq!(
            answer, "",
            "port-forward works with gVisor now: say so in docs/operator/runtimes.md"
        );
    })
    .await;
}

#[tokio::test]
async fn pods_of_two_runtimes_of_a_tenant_talk_to_each_other() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "mixed", "runtimeClassName: runc", async |tenant| {
        let name = tenant.name_any();
        let plain = pods::run(&devbox, &name, "plain", "of-plain").await;
        let patch = r#"{"spec":{"runtimeClassName":"gvisor"}}"#;
        devbox
            .kubectl(&["patch", "tenant", &name, "--type=merge", "-p", patch], "")
            .await
            .unwrap();
        let namespaces: Api<Namespace> = Api::all(devbox.kube.clone());
        wait::until("the namespace says gvisor", Duration::from_secs(60), || async {
            let namespace = namespaces.get(&name).await?;
            let class = namespace.labels().get("stackube.kubernetes.io/runtime-class").cloned();
            ensure!(class.as_deref() == Some("gvisor"), "{class:?}");
            Ok(())
        })
        .await;
        // The API server's own view of the namespace follows a moment later.
        let sandboxed = wait::until("a new pod is sandboxed", Duration::from_secs(60), || async {
            pods::create(&devbox, &name, "sandboxed", "of-sandboxed").await?;
            let api: Api<Pod> = Api::namespaced(devbox.kube.clone(), &name);
            let class = api
                .get("sandboxed")
                .await?
                .spec
                .and_then(|spec| spec.runtime_class_name);
            if class.as_deref() != Some("gvisor") {
                devbox
                    .kubectl(&["-n", &name, "delete", "pod", "sandboxed", "--now"], "")
                    .await?;
                anyhow::bail!("{class:?}");
            }
            Ok(pods::ready(&devbox, &name, "sandboxed").await)
        })
        .await;
        assert_reaches(&devbox, &name, "plain", &sandboxed, "of-sandboxed").await;
        assert_reaches(&devbox, &name, "sandboxed", &plain, "of-plain").await;
    })
    .await;
}

#[tokio::test]
async fn a_runtime_that_the_cluster_lacks_is_refused() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    let name = stackube_e2e::tenant::unique("kata");
    stackube_e2e::tenant::create(&devbox, &name, "runtimeClassName: kata")
        .await
        .unwrap();
    let limit = Duration::from_secs(60);
    let tenant = stackube_e2e::tenant::in_state(&devbox, &name, stackube_api::TenantState::Failed, limit).await;
    let message = tenant.status.and_then(|status| status.message).unwrap_or_default();
    assert!(message.contains("no RuntimeClass kata"), "{message}");
    stackube_e2e::tenant::delete(&devbox, &name).await;
}
