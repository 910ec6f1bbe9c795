//! The administrator's network across nodes: hosts, hostNetwork pods, the API server, and what is shared with tenants.

use std::time::Duration;

use anyhow::ensure;
use kube::ResourceExt;
use serde_json::json;
use stackube_e2e::{
    admin::{create, with_admin_namespace},
    devbox::Devbox,
    nodes::{self, NODES},
    pods::{self, assert_cut_off, assert_reaches},
    services::{expose, label},
    tenant::{unique, with_tenant},
    wait,
};

use crate::shared;

/// As in devbox/stackube/configuration.yaml.
const SHARED: (&str, &str) = ("e2e-shared", "web");

#[tokio::test]
async fn hosts_reach_services_of_the_system_network_on_any_node() {
    let _guard = shared().await;
    let devbox = nodes::both().await;
    with_admin_namespace(&devbox, &unique("far-system"), async |namespace| {
        for node in NODES {
            let far = node.other();
            let (name, text) = (format!("web-{}", far.name), format!("at-{}", far.name));
            far.run(&devbox, namespace, &name, &text).await;
            label(&devbox, namespace, &name, &name).await;
            let address = expose(&devbox, namespace, &name, 80).await;
            wait::until(&format!("{} reaches {name}", node.host), Duration::from_secs(30), || async {
                let seen = node.shell(&devbox, &format!("curl -s -S -m 3 http://{address}/")).await?;
                ensure!(seen.trim() == text, "the answer is {seen:?}");
                Ok::<_, anyhow::Error>(())
            })
            .await;
            let host = node.place(json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": format!("host-{}", node.name), "namespace": namespace},
                "spec": {"hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet", "terminationGracePeriodSeconds": 0,
                    "containers": [{"name": "shell", "image": "busybox", "imagePullPolicy": "IfNotPresent",
                        "command": ["sleep", "86400"]}]},
            }));
            create(&devbox, &host).await;
            let host = format!("host-{}", node.name);
            pods::ready(&devbox, namespace, &host).await;
            assert_reaches(&devbox, namespace, &host, &format!("{name}.{namespace}.svc.cluster.local"), &text).await;
        }
        api_server_asks(&devbox, namespace).await;
    })
    .await;
}

/// The API server, on the first node, asks a Service on the second: as it asks webhooks and aggregated APIs.
async fn api_server_asks(devbox: &Devbox, namespace: &str) {
    let far = NODES[1].name;
    let path = format!("/api/v1/namespaces/{namespace}/services/web-{far}:80/proxy/");
    let seen = devbox.kubectl(&["get", "--raw", &path], "").await.unwrap();
    assert_eq!(seen.trim(), format!("at-{far}"));
}

#[tokio::test]
async fn tenants_use_what_is_shared_on_another_node() {
    let _guard = shared().await;
    let devbox = nodes::both().await;
    let (namespace, name) = SHARED;
    with_admin_namespace(&devbox, namespace, async |namespace| {
        let backend = NODES[0].run(&devbox, namespace, "web", "for-all").await;
        label(&devbox, namespace, "web", name).await;
        let address = expose(&devbox, namespace, name, 80).await;
        with_tenant(&devbox, "far-shared", "", async |tenant| {
            let tenant = tenant.name_any();
            NODES[1].run(&devbox, &tenant, "client", "client").await;
            for to in [&address, &format!("{name}.{namespace}.svc.cluster.local")] {
                assert_reaches(&devbox, &tenant, "client", to, "for-all").await;
            }
            assert_cut_off(&devbox, &tenant, "client", &backend, 80).await;
        })
        .await;
    })
    .await;
}
