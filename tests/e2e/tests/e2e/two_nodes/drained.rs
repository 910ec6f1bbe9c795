//! A node that is emptied. Nobody else's pods are to be scheduled meanwhile, so this runs by itself.

use anyhow::ensure;
use kube::ResourceExt;
use stackube_e2e::{
    admin::create,
    always::always,
    devbox::Devbox,
    nodes::{self, NODES, Node},
    pods::assert_reaches,
    services::expose,
    tenant::with_tenant,
    wait,
};

use super::moves::{MOVED, deployment, ports_on, ready_on};
use crate::alone;

async fn set_schedulable(devbox: &Devbox, node: Node, is_schedulable: bool) {
    let verb = if is_schedulable { "uncordon" } else { "cordon" };
    devbox.kubectl(&[verb, node.name], "").await.unwrap();
}

/// Both nodes take pods again, whatever `body` does.
async fn with_schedule(devbox: &Devbox, body: impl Future<Output = ()>) {
    let _guard = alone().await;
    let again = async {
        for node in NODES {
            set_schedulable(devbox, node, true).await;
        }
    };
    always(body, again).await;
}

#[tokio::test]
async fn pods_of_a_drained_node_go_on_elsewhere() {
    let devbox = nodes::both().await;
    with_tenant(&devbox, "drained", "", async |tenant| {
        let name = tenant.name_any();
        with_schedule(&devbox, go_on_elsewhere(&devbox, &name)).await;
    })
    .await;
}

async fn go_on_elsewhere(devbox: &Devbox, name: &str) {
    let [here, there] = NODES;
    here.run(devbox, name, "client", "client").await;
    set_schedulable(devbox, here, false).await;
    create(devbox, &deployment(name, "web", 3, "still-here")).await;
    let address = expose(devbox, name, "web", 80).await;
    let before = ready_on(devbox, there, name, "web", 3).await;
    assert_reaches(devbox, name, "client", &address, "still-here").await;
    set_schedulable(devbox, here, true).await;
    let drain = [
        "drain",
        there.name,
        "--ignore-daemonsets",
        "--timeout=120s",
        "--pod-selector=run=web",
    ];
    devbox.kubectl(&drain, "").await.unwrap();
    let after = ready_on(devbox, here, name, "web", 3).await;
    assert!(
        before.is_disjoint(&after),
        "an address rests a minute: {before:?}, {after:?}"
    );
    assert_reaches(devbox, name, "client", &address, "still-here").await;
    let empty = format!("nothing of {name} is left on {}", there.name);
    wait::until(&empty, MOVED, || async {
        let ports = ports_on(devbox, there, name).await?;
        ensure!(ports.is_empty(), "{ports:?}");
        Ok::<_, anyhow::Error>(())
    })
    .await;
}
