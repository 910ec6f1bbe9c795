//! A node whose power fails, and that never comes back. It runs last: the devbox has one node afterwards.

use std::time::Duration;

use anyhow::ensure;
use kube::ResourceExt;
use stackube_e2e::{
    admin::create,
    nodes::{self, NODES},
    pods::assert_reaches,
    services::expose,
    tenant::with_tenant,
    wait,
};

use super::moves::{deployment, ports_on, ready_on};
use crate::alone;

/// As Kubernetes notices a lost node: 50 s without a heartbeat, and the pods' second.
const NOTICED: Duration = Duration::from_secs(240);

#[tokio::test]
async fn a_node_that_is_lost_keeps_its_ports_until_it_is_deleted() {
    let _guard = alone().await;
    let devbox = nodes::both().await;
    let [here, lost] = NODES;
    with_tenant(&devbox, "lost", "", async |tenant| {
        let name = tenant.name_any();
        here.run(&devbox, &name, "client", "client").await;
        devbox.kubectl(&["cordon", here.name], "").await.unwrap();
        create(&devbox, &deployment(&name, "web", 2, "still-here")).await;
        let address = expose(&devbox, &name, "web", 80).await;
        let before = ready_on(&devbox, lost, &name, "web", 2).await;
        devbox.kubectl(&["uncordon", here.name], "").await.unwrap();
        assert_reaches(&devbox, &name, "client", &address, "still-here").await;
        // The connection ends with the host, so what it says is no failure.
        let _ = lost.shell(&devbox, "systemctl poweroff --force --force").await;
        let after = ready_on(&devbox, here, &name, "web", 2).await;
        assert!(before.is_disjoint(&after), "{before:?}, {after:?}");
        assert_reaches(&devbox, &name, "client", &address, "still-here").await;
        // Nobody knows whether the node still runs its pods.
        let kept = ports_on(&devbox, lost, &name).await.unwrap();
        assert_eq!(kept.len(), before.len(), "{kept:?}");
        devbox.kubectl(&["delete", "node", lost.name], "").await.unwrap();
        for namespace in [&name, "stackube-system"] {
            let gone = format!("{} has no Port in {namespace} any more", lost.name);
            wait::until(&gone, NOTICED, || async {
                let ports = ports_on(&devbox, lost, namespace).await?;
                ensure!(ports.is_empty(), "{ports:?}");
                Ok::<_, anyhow::Error>(())
            })
            .await;
        }
    })
    .await;
}
