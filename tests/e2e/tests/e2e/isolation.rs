//! Two tenants with equal ranges: each reaches its own pods and the outside, and nothing else.

use kube::ResourceExt;
use stackube_e2e::{
    devbox::Devbox,
    pods::{self, assert_cut_off, assert_reaches, assert_refused},
    tenant::{with_tenant, with_two_tenants},
};

use crate::shared;

#[tokio::test]
async fn equal_ranges_names_and_ports_do_not_meet() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_two_tenants(&devbox, "equal", async |a, b| {
        let (a, b) = (a.name_any(), b.name_any());
        let (web_a, web_b) = (
            pods::run(&devbox, &a, "web", "of-a").await,
            pods::run(&devbox, &b, "web", "of-b").await,
        );
        pods::run(&devbox, &a, "client", "client").await;
        pods::run(&devbox, &b, "client", "client").await;
        assert_reaches(&devbox, &a, "client", &web_a, "of-a").await;
        assert_reaches(&devbox, &b, "client", &web_b, "of-b").await;
        assert_cut_off(&devbox, &a, "client", &web_b, 80).await;
        assert_cut_off(&devbox, &b, "client", &web_a, 80).await;
    })
    .await;
}

#[tokio::test]
async fn pods_get_out_through_their_router_but_reach_no_node_address() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "egress", "", async |tenant| {
        let name = tenant.name_any();
        pods::run(&devbox, &name, "client", "client").await;
        pods::exec(&devbox, &name, "client", "ping -c 2 -W 3 172.24.4.1")
            .await
            .expect("the external gateway should answer");
        let addresses = devbox.host("hostname -I").await.unwrap();
        let addresses: Vec<&str> = addresses.split_whitespace().filter(|a| !a.contains(':')).collect();
        assert!(addresses.contains(&"10.77.0.11"), "{addresses:?}");
        let own_port = pods::own_port(&devbox).await;
        assert!(addresses.contains(&&*own_port), "{addresses:?}");
        for address in addresses.into_iter().filter(|address| *address != own_port) {
            let ports = [22, 2379, 3306, 5000, 6443, 6641, 9696, 10250];
            assert_refused(&devbox, &name, "client", address, &ports).await;
        }
        assert_cut_off(&devbox, &name, "client", &own_port, 22).await;
    })
    .await;
}

#[tokio::test]
async fn a_tenant_and_the_system_network_do_not_meet() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "system", "", async |tenant| {
        let name = tenant.name_any();
        let namespace = format!("{name}-admin");
        devbox.kubectl(&["create", "namespace", &namespace], "").await.unwrap();
        let system = pods::run(&devbox, &namespace, "web", "of-system").await;
        let peer = pods::run(&devbox, &namespace, "peer", "of-peer").await;
        let own = pods::run(&devbox, &name, "client", "client").await;
        assert!(
            system.starts_with("10.240."),
            "a pod of the administrator should be on the system network, not at {system}"
        );
        assert_reaches(&devbox, &namespace, "peer", &system, "of-system").await;
        assert_cut_off(&devbox, &name, "client", &system, 80).await;
        assert_cut_off(&devbox, &namespace, "peer", &own, 80).await;
        assert_ne!(system, peer);
        devbox
            .kubectl(&["delete", "namespace", &namespace, "--timeout=120s"], "")
            .await
            .unwrap();
    })
    .await;
}
