//! Daemons of a node that are restarted or killed under a steady load.

use std::time::Duration;

use anyhow::ensure;
use kube::ResourceExt;
use stackube_e2e::{
    devbox::Devbox,
    pods,
    services::{expose, label},
    tenant::with_tenant,
    wait,
};

use crate::alone;
use crate::services::{assert_outcome, put_kubectl};

/// A rolling restart of both daemons of the nodes.
async fn restart_daemons(devbox: &Devbox) {
    for daemon in ["daemonset/kubestack", "daemonset/stackube-proxy"] {
        devbox
            .kubectl(&["-n", "stackube-system", "rollout", "restart", daemon], "")
            .await
            .unwrap();
        let status = ["-n", "stackube-system", "rollout", "status", daemon, "--timeout=120s"];
        devbox.kubectl(&status, "").await.unwrap();
    }
}

/// Requests one after the other, each with a connection of its own, until `body` is done. None may fail.
async fn under_load(devbox: &Devbox, namespace: &str, host: &str, body: impl AsyncFnOnce()) {
    let load = format!(
        "rm -f /tmp/stop /tmp/results; \
         (while [ ! -e /tmp/stop ]; do if [ \"$(wget -q -O - -T 2 http://{host}/ 2>>/tmp/errors)\" = of-web ]; \
         then echo ok; else echo failed; fi >>/tmp/results; done; echo end >>/tmp/results) </dev/null >/dev/null 2>&1 &"
    );
    pods::exec(devbox, namespace, "client", &load).await.unwrap();
    body().await;
    pods::exec(devbox, namespace, "client", "touch /tmp/stop")
        .await
        .unwrap();
    let results = wait::until("the load ends", Duration::from_secs(20), || async {
        let results = pods::exec(devbox, namespace, "client", "cat /tmp/results").await?;
        ensure!(results.ends_with("end\n"), "not yet");
        Ok::<_, anyhow::Error>(results)
    })
    .await;
    let ok = results.lines().filter(|line| *line == "ok").count();
    let failed = results.lines().filter(|line| *line == "failed").count();
    let errors = pods::exec(devbox, namespace, "client", "cat /tmp/errors")
        .await
        .unwrap();
    assert!(
        failed == 0 && ok > 20,
        "{host}: {ok} requests answered, {failed} failed: {errors}"
    );
}

/// Kills stackube-proxy as a crash would, and waits until kubelet has started it again and it writes the maps.
async fn kill_proxy(devbox: &Devbox) {
    let process = || async {
        let ids = devbox.host("pgrep -x stackube-proxy || true").await.unwrap();
        ids.trim().to_owned()
    };
    let before = process().await;
    devbox.host(&format!("kill -9 {before}")).await.unwrap();
    wait::until("stackube-proxy writes again", Duration::from_secs(60), || async {
        let now = process().await;
        ensure!(!now.is_empty() && now != before, "its process is {now:?}");
        let metrics = devbox.host("curl -sS http://127.0.0.1:9474/metrics").await?;
        ensure!(metrics.contains("stackube_proxy_writer 1\n"), "it does not write");
        Ok::<_, anyhow::Error>(())
    })
    .await;
}

#[tokio::test]
async fn no_request_fails_while_the_daemons_are_restarted() {
    let _guard = alone().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "rolling", "", async |tenant| {
        let name = tenant.name_any();
        pods::run(&devbox, &name, "web", "of-web").await;
        pods::run(&devbox, &name, "client", "client").await;
        label(&devbox, &name, "web", "web").await;
        let address = expose(&devbox, &name, "web", 80).await;
        assert_outcome(&devbox, &name, "client", "web", "of-web").await;
        // Asked for anew with each request; the final point saves the search path.
        let host = format!("web.{name}.svc.cluster.local.");
        under_load(&devbox, &name, &host, async || restart_daemons(&devbox).await).await;
        // Only names need a process: what is programmed stays while there is none.
        under_load(&devbox, &name, &address, async || kill_proxy(&devbox).await).await;
        assert_outcome(&devbox, &name, "client", "web", "of-web").await;
    })
    .await;
}

#[tokio::test]
async fn the_api_server_answers_pods_and_a_watch_survives_restarts() {
    let _guard = alone().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "api", "", async |tenant| {
        let name = tenant.name_any();
        pods::run(&devbox, &name, "client", "client").await;
        put_kubectl(&devbox, &name, "client").await;
        let seen = pods::exec(&devbox, &name, "client", "/tmp/kubectl get pods -o name").await.unwrap();
        assert_eq!(seen.trim(), "pod/client");
        let denied = pods::exec(&devbox, &name, "client", "/tmp/kubectl get pods -n kube-system 2>&1 || true").await.unwrap();
        assert!(denied.contains("Forbidden"), "{denied}");
        // `get --watch` ends when its connection does: it never connects again by itself.
        let watch = "(/tmp/kubectl get configmaps --watch -o name >/tmp/seen 2>&1; echo ended >>/tmp/seen) </dev/null >/dev/null 2>&1 &";
        pods::exec(&devbox, &name, "client", watch).await.unwrap();
        has_seen(&devbox, &name, "kube-root-ca.crt").await;
        restart_daemons(&devbox).await;
        devbox.kubectl(&["-n", &name, "create", "configmap", "after-restart"], "").await.unwrap();
        has_seen(&devbox, &name, "after-restart").await;
    })
    .await;
}

async fn has_seen(devbox: &Devbox, namespace: &str, text: &str) {
    wait::until(
        &format!("the watch tells of {text}"),
        Duration::from_secs(30),
        || async {
            let seen = pods::exec(devbox, namespace, "client", "cat /tmp/seen").await?;
            ensure!(!seen.contains("ended"), "the watch has ended: {seen}");
            ensure!(seen.contains(text), "{seen}");
            Ok::<_, anyhow::Error>(())
        },
    )
    .await;
}
