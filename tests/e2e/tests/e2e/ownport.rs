//! The node's own port on the system network: what the host and hostNetwork pods reach by it (the API server: `extensions`), and
//! that tenants have no part in it.

use std::time::Duration;

use anyhow::ensure;
use kube::{Api, ResourceExt};
use serde_json::json;
use stackube_api::{Port, PortHolder};
use stackube_e2e::{
    admin::{create, with_admin_namespace},
    devbox::Devbox,
    pods::{self, assert_cut_off},
    services::{expose, label},
    tenant::{unique, with_tenant},
    wait,
};

use crate::shared;

/// The address of the node's own port.
async fn own_address(devbox: &Devbox) -> String {
    let ports: Api<Port> = Api::namespaced(devbox.kube.clone(), "stackube-system");
    wait::until("the node's own Port is ready", Duration::from_secs(120), || async {
        let found = ports.list(&Default::default()).await?.items;
        let own = found.into_iter().find(|port| port.spec.holder == PortHolder::Node);
        let status = own.and_then(|port| port.status).unwrap_or_default();
        ensure!(status.ready, "{:?}", status.message);
        Ok(status.ip.unwrap_or_default())
    })
    .await
}

async fn assert_host_gets(devbox: &Devbox, address: &str, text: &str) {
    wait::until(
        &format!("the host reaches {address}"),
        Duration::from_secs(30),
        || async {
            let seen = devbox.host(&format!("curl -s -S -m 3 http://{address}/")).await?;
            ensure!(seen.trim() == text, "the answer is {seen:?}");
            Ok::<_, anyhow::Error>(())
        },
    )
    .await;
}

#[tokio::test]
async fn the_host_and_hostnetwork_pods_reach_services_of_the_system_network() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_admin_namespace(&devbox, &unique("own-port"), async |namespace| {
        let pod = pods::run(&devbox, namespace, "web", "of-system").await;
        label(&devbox, namespace, "web", "web").await;
        let address = expose(&devbox, namespace, "web", 80).await;
        for to in [&address, &pod] {
            assert_host_gets(&devbox, to, "of-system").await;
        }
        let host = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "host", "namespace": namespace},
            "spec": {"hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet", "terminationGracePeriodSeconds": 0,
                "tolerations": [{"operator": "Exists"}],
                "containers": [{"name": "shell", "image": "busybox", "imagePullPolicy": "IfNotPresent",
                    "command": ["sleep", "86400"]}]},
        });
        create(&devbox, &host).await;
        pods::ready(&devbox, namespace, "host").await;
        // By name: DNS knows the node by its alias.
        for to in [address.clone(), format!("web.{namespace}.svc.cluster.local")] {
            pods::assert_reaches(&devbox, namespace, "host", &to, "of-system").await;
        }
        let script = "nc -w 3 $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT </dev/null && echo open";
        let seen = pods::exec(&devbox, namespace, "host", script).await.unwrap();
        assert_eq!(seen.trim(), "open");
    })
    .await;
}

#[tokio::test]
async fn tenants_have_no_part_in_the_nodes_own_port() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    let own = own_address(&devbox).await;
    let held = devbox.host("ip -4 -o address show dev stackube-sys").await.unwrap();
    assert!(held.contains(&own), "{held}");
    with_admin_namespace(&devbox, &unique("own-walls"), async |namespace| {
        pods::run(&devbox, namespace, "web", "of-system").await;
        label(&devbox, namespace, "web", "web").await;
        let address = expose(&devbox, namespace, "web", 80).await;
        assert_host_gets(&devbox, &address, "of-system").await;
        with_tenant(&devbox, "own-walls", "", async |tenant| {
            let name = tenant.name_any();
            pods::run(&devbox, &name, "client", "client").await;
            assert_cut_off(&devbox, &name, "client", &address, 80).await;
            for port in [22, 2379, 6443, 9696, 10250] {
                assert_cut_off(&devbox, &name, "client", &own, port).await;
                // Nor has the system network itself a way to the node.
                assert_cut_off(&devbox, namespace, "web", &own, port).await;
            }
        })
        .await;
    })
    .await;
}
