//! Tenants of equal addresses, each on both nodes.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::ensure;
use futures::join;
use kube::ResourceExt;
use stackube_api::Tenant;
use stackube_e2e::{
    devbox::Devbox,
    nodes::{self, NODES, Node},
    pods::{self, assert_cut_off, assert_reaches, assert_refused},
    services::{cluster_ip, expose, label},
    tenant::{with_tenant, with_two_tenants, with_two_tenants_of},
    wait,
};

use super::leave;
use crate::{services::put_kubectl, shared, traffic};

/// SSH, the API server, kubelet; Geneve's control is none of TCP.
const PORTS: [u16; 3] = [22, 6443, 10250];
/// A host on the external network.
const OUTSIDE: &str = "172.24.4.1";

#[tokio::test]
async fn pods_of_a_tenant_meet_across_nodes_and_nobody_else() {
    let _guard = shared().await;
    let devbox = nodes::both().await;
    with_two_tenants(&devbox, "across", async |a, b| {
        let (a, b) = (a.name_any(), b.name_any());
        join!(in_one(&devbox, &a), in_one(&devbox, &b));
        let of_b = cluster_ip(&devbox, &b, "web").await;
        for node in NODES {
            assert_refused(&devbox, &a, &format!("at-{}", node.name), &of_b, &[80]).await;
        }
    })
    .await;
}

/// A pod on each node: they reach each other, their Service on either node by address and name, what is outside, and no node.
async fn in_one(devbox: &Devbox, tenant: &str) {
    let mut pods = vec![];
    for node in NODES {
        let name = format!("at-{}", node.name);
        let text = format!("{tenant}-{name}");
        let address = node.run(devbox, tenant, &name, &text).await;
        label(devbox, tenant, &name, "web").await;
        pods.push((name, address, text));
    }
    expose(devbox, tenant, "web", 80).await;
    let texts: BTreeSet<_> = pods.iter().map(|(_, _, text)| text.clone()).collect();
    for (pod, _, _) in &pods {
        for (_, address, text) in &pods {
            assert_reaches(devbox, tenant, pod, address, text).await;
        }
        spread(devbox, tenant, pod, &texts).await;
        let ping = format!("ping -c 1 -W 3 {OUTSIDE}");
        pods::exec(devbox, tenant, pod, &ping).await.unwrap();
        for address in NODES.iter().flat_map(|node| node.addresses) {
            assert_refused(devbox, tenant, pod, address, &PORTS).await;
        }
    }
}

/// The Service's name leads to its pods on both nodes.
async fn spread(devbox: &Devbox, tenant: &str, pod: &str, texts: &BTreeSet<String>) {
    wait::until(
        &format!("{tenant}/{pod} finds both"),
        Duration::from_secs(30),
        || async {
            let script = "for n in $(seq 20); do wget -q -O - -T 3 http://web/ || exit 1; done";
            let seen = pods::exec(devbox, tenant, pod, script).await?;
            let seen: BTreeSet<_> = seen.lines().map(str::to_owned).collect();
            ensure!(seen == *texts, "{seen:?}");
            Ok::<_, anyhow::Error>(())
        },
    )
    .await;
}

#[tokio::test]
async fn what_passes_through_a_service_arrives_whole_from_the_other_node() {
    let _guard = shared().await;
    let devbox = nodes::both().await;
    with_tenant(&devbox, "wire", "", async |tenant| {
        let name = tenant.name_any();
        // The client is alone on its node.
        let places = [NODES[0], NODES[1], NODES[1]];
        let pods = std::array::from_fn(|n| places[n].place(traffic::pod_manifest(&name, traffic::PODS[n])));
        traffic::passes(&devbox, &name, pods).await;
    })
    .await;
}

#[tokio::test]
async fn one_address_on_two_nodes_is_two_pods() {
    let _guard = shared().await;
    let devbox = nodes::both().await;
    let spec = "network: {cidr: 10.233.0.0/24, gateway: 10.233.0.1}";
    with_two_tenants_of(&devbox, "same", spec, async |a, b| {
        let first = one_and_two(&devbox, &a, NODES[0]).await;
        leave(&devbox, &b, &Vec::from_iter(first.clone())).await;
        let second = one_and_two(&devbox, &b, NODES[1]).await;
        assert_eq!(second, first);
        for tenant in [a.name_any(), b.name_any()] {
            for address in &first {
                assert_reaches(&devbox, &tenant, "one", &address.to_string(), &format!("of-{tenant}")).await;
            }
            // Nor does the API server, by its proxy, reach a pod by an address that another one has on its own node.
            let proxied = format!("/api/v1/namespaces/{tenant}/pods/one:80/proxy/");
            let proxied = devbox
                .kubectl(&["get", "--raw", &proxied, "--request-timeout=5s"], "")
                .await;
            assert!(proxied.is_err(), "{proxied:?}");
        }
    })
    .await;
}

/// Two pods of a tenant on a node, which say whose they are; their addresses.
async fn one_and_two(devbox: &Devbox, tenant: &Tenant, node: Node) -> BTreeSet<Ipv4Addr> {
    let name = tenant.name_any();
    let mut found = BTreeSet::new();
    for pod in ["one", "two"] {
        let address = node.run(devbox, &name, pod, &format!("of-{name}")).await;
        found.insert(address.parse().unwrap());
    }
    found
}

#[tokio::test]
async fn a_pod_of_the_second_node_asks_the_api_server() {
    let _guard = shared().await;
    let devbox = nodes::both().await;
    with_tenant(&devbox, "far-api", "", async |tenant| {
        let name = tenant.name_any();
        NODES[1].run(&devbox, &name, "client", "client").await;
        put_kubectl(&devbox, &name, "client").await;
        let seen = pods::exec(&devbox, &name, "client", "/tmp/kubectl get pods -o name")
            .await
            .unwrap();
        assert_eq!(seen.trim(), "pod/client");
        let logs = devbox.kubectl(&["-n", &name, "logs", "client"], "").await;
        logs.expect("kubelet of the second node should give logs");
        // The way to the API server is no way to the node that it is on.
        assert_cut_off(&devbox, &name, "client", "10.96.0.1", 10250).await;
    })
    .await;
}
