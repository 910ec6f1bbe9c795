//! What breaks, and what must not: daemons killed at any moment, OpenStack away for a minute.

use std::time::{Duration, Instant};

use kube::ResourceExt;
use stackube_api::TenantState;
use stackube_e2e::{
    always::always,
    cloud,
    devbox::Devbox,
    pods,
    tenant::{self, with_tenant},
    wait,
};

use crate::alone;

/// Kills the processes named `name` on the host, as a crash would.
async fn crash(devbox: &Devbox, name: &str) {
    devbox.host(&format!("pkill -9 -x {name} || true")).await.unwrap();
}

#[tokio::test]
async fn pods_survive_a_daemon_that_is_killed_while_they_start() {
    let _guard = alone().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "daemon", "", async |tenant| {
        let name = tenant.name_any();
        let address = pods::run(&devbox, &name, "before", "before").await;
        for pod in ["a", "b", "c", "d"] {
            pods::create(&devbox, &name, pod, pod).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(1500)).await;
        crash(&devbox, "kubestackd").await;
        for pod in ["a", "b", "c", "d"] {
            pods::ready(&devbox, &name, pod).await;
        }
        pods::assert_reaches(&devbox, &name, "a", &address, "before").await;
        devbox
            .kubectl(&["-n", &name, "delete", "pod", "a", "b", "--wait=false"], "")
            .await
            .unwrap();
        crash(&devbox, "kubestackd").await;
        devbox
            .kubectl(
                &["-n", &name, "wait", "--for=delete", "pod/a", "pod/b", "--timeout=90s"],
                "",
            )
            .await
            .unwrap();
    })
    .await;
}

/// Stops Keystone and Neutron, runs `body`, and starts them again whatever happened: the next test needs them.
async fn with_openstack_away(devbox: &Devbox, body: impl AsyncFnOnce()) {
    devbox.host("systemctl stop keystone neutron-api").await.unwrap();
    always(body(), async {
        devbox.host("systemctl start keystone neutron-api").await.unwrap();
    })
    .await;
}

/// Asserts that the Tenant says that Keystone is away.
async fn assert_says_why(devbox: &Devbox, name: &str, limit: Duration) {
    let pending = tenant::in_state(devbox, name, TenantState::Pending, limit).await;
    let message = pending.status.unwrap().message.unwrap_or_default();
    assert!(
        message.to_lowercase().contains("keystone"),
        "{message:?} does not say what is away"
    );
}

#[tokio::test]
async fn openstack_away_for_a_minute_disturbs_no_running_pod() {
    let _guard = alone().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "outage", "", async |tenant| {
        let name = tenant.name_any();
        let address = pods::run(&devbox, &name, "web", "still-here").await;
        pods::run(&devbox, &name, "client", "x").await;
        let late = tenant::unique("late");
        with_openstack_away(&devbox, async || {
            let away = Instant::now();
            tenant::create(&devbox, &late, "").await.unwrap();
            for i in 0..8 {
                // More than the pool holds, so that some must wait for Neutron.
                pods::create(&devbox, &name, &format!("new-{i}"), "new").await.unwrap();
            }
            assert_says_why(&devbox, &late, Duration::from_secs(180)).await;
            while away.elapsed() < Duration::from_secs(60) {
                pods::assert_reaches(&devbox, &name, "client", &address, "still-here").await;
                tokio::time::sleep(Duration::from_secs(2)).await;
            }
        })
        .await;
        for i in 0..8 {
            pods::ready(&devbox, &name, &format!("new-{i}")).await;
        }
        tenant::active(&devbox, &late).await;
        tenant::delete(&devbox, &late).await;
    })
    .await;
}

#[tokio::test]
async fn a_controller_that_starts_while_openstack_is_away_says_why_tenants_wait() {
    let _guard = alone().await;
    let devbox = Devbox::connect().await;
    let (new, going) = (tenant::unique("unserved"), tenant::unique("going"));
    tenant::create(&devbox, &going, "").await.unwrap();
    let project = tenant::project_of(&tenant::active(&devbox, &going).await);
    with_openstack_away(&devbox, async || {
        crash(&devbox, "stackube-contro").await;
        tenant::create(&devbox, &new, "").await.unwrap();
        devbox
            .kubectl(&["delete", "tenant", &going, "--wait=false"], "")
            .await
            .unwrap();
        // Kubelet starts a container that has crashed before only after a pause of up to a minute or so.
        assert_says_why(&devbox, &new, Duration::from_secs(240)).await;
        wait::until("the deleted Tenant says why", Duration::from_secs(120), || async {
            let shown = devbox
                .kubectl(&["get", "tenant", &going, "-o", "jsonpath={.status.message}"], "")
                .await?;
            anyhow::ensure!(shown.to_lowercase().contains("keystone"), "{shown:?}");
            Ok(())
        })
        .await;
    })
    .await;
    tenant::active(&devbox, &new).await;
    tenant::delete(&devbox, &new).await;
    tenant::delete(&devbox, &going).await;
    cloud::assert_nothing_left(&devbox, &project).await;
}
