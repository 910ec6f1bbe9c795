//! A cluster of two tenants with equal names, and the system network.

use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};
use stackube_proxy::dns::{Client, Identities, NetworkId, Store};

pub(crate) const SHOP: NetworkId = [1; 16];
pub(crate) const BANK: NetworkId = [2; 16];
pub(crate) const SYSTEM: NetworkId = [3; 16];

/// A pod of each network, and an address that no pod has.
pub(crate) const SHOP_POD: Ipv4Addr = Ipv4Addr::new(127, 0, 1, 7);
pub(crate) const BANK_POD: Ipv4Addr = Ipv4Addr::new(127, 0, 2, 7);
pub(crate) const SYSTEM_POD: Ipv4Addr = Ipv4Addr::new(127, 0, 3, 7);
pub(crate) const NOBODY: Ipv4Addr = Ipv4Addr::new(127, 0, 9, 7);

/// Pods by alias: `127.0.<network>.<n>` is the pod with address `10.0.0.<n>` of that network.
#[derive(Debug)]
pub(crate) struct Pods;

impl Identities for Pods {
    fn client(&self, source: Ipv4Addr) -> Option<Client> {
        let [127, 0, network @ 1..=4, pod] = source.octets() else {
            return None;
        };
        let mut uid = [network; 16];
        uid[0] = pod;
        Some(Client {
            network: [network; 16],
            pod: uid,
            address: Ipv4Addr::new(10, 0, 0, pod),
        })
    }
}

pub(crate) fn service(namespace: &str, name: &str, spec: Value) -> Service {
    serde_json::from_value(json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec})).unwrap()
}

pub(crate) fn cluster_ip(namespace: &str, name: &str, address: &str) -> Service {
    let ports = json!([{"name": "http", "port": 80}, {"name": "Talk", "port": 81, "protocol": "UDP"}, {"port": 82}]);
    service(
        namespace,
        name,
        json!({"clusterIP": address, "clusterIPs": [address], "ports": ports}),
    )
}

pub(crate) fn headless(namespace: &str, name: &str) -> Service {
    service(
        namespace,
        name,
        json!({"clusterIP": "None", "ports": [{"name": "pg", "port": 5432}]}),
    )
}

/// Endpoints as (address, host name, ready), with the port `pg`.
pub(crate) fn slice(
    namespace: &str,
    service: &str,
    name: &str,
    endpoints: &[(&str, Option<&str>, Option<bool>)],
) -> EndpointSlice {
    let endpoints = endpoints.iter().map(|(address, hostname, ready)| {
        json!({"addresses": [address], "hostname": hostname, "conditions": {"ready": ready}})
    });
    serde_json::from_value(json!({
        "metadata": {"namespace": namespace, "name": name, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "endpoints": endpoints.collect::<Vec<_>>(),
        "ports": [{"name": "pg", "port": 5432, "protocol": "TCP"}, {"port": 1}],
    }))
    .unwrap()
}

/// What `shop` has.
pub(crate) fn shop(store: &Store) {
    store.set_namespace("shop", SHOP, "shop");
    store.apply_service(&cluster_ip("shop", "nginx", "10.96.1.1"));
    store.apply_service(&service("shop", "waiting", json!({"clusterIP": "", "ports": []})));
    store.apply_service(&headless("shop", "db"));
    store.apply_slice(&slice(
        "shop",
        "db",
        "db-a",
        &[
            ("10.0.0.11", Some("db-0"), Some(true)),
            ("10.0.0.12", None, None),
            ("10.0.0.13", Some("db-2"), Some(false)),
        ],
    ));
    // The controller may show an endpoint in two slices while it moves.
    store.apply_slice(&slice(
        "shop",
        "db",
        "db-b",
        &[
            ("10.0.0.11", Some("db-0"), Some(true)),
            ("10.0.0.14", Some("db-0"), Some(true)),
        ],
    ));
    store.apply_service(&headless("shop", "idle"));
    store.apply_slice(&slice(
        "shop",
        "idle",
        "idle-a",
        &[("10.0.0.21", Some("idle-0"), Some(false))],
    ));
    let early = json!({"clusterIP": "None", "publishNotReadyAddresses": true, "ports": []});
    store.apply_service(&service("shop", "early", early));
    store.apply_slice(&slice(
        "shop",
        "early",
        "early-a",
        &[("10.0.0.22", Some("early-0"), Some(false))],
    ));
    for (name, target) in [
        ("web", "www.example.test"),
        ("inner", "nginx.shop.svc.cluster.local"),
        ("circle", "circle.shop.svc.cluster.local"),
        ("nosy", "vault.bank.svc.cluster.local"),
    ] {
        store.apply_service(&service(
            "shop",
            name,
            json!({"type": "ExternalName", "externalName": target}),
        ));
    }
    store.set_pod("shop", Ipv4Addr::new(10, 0, 0, 30));
}

/// What `bank` has.
pub(crate) fn bank(store: &Store) {
    store.set_namespace("bank", BANK, "bank");
    store.apply_service(&cluster_ip("bank", "nginx", "10.96.2.1"));
    store.apply_service(&cluster_ip("bank", "vault", "10.96.2.2"));
    store.apply_service(&headless("bank", "db"));
    store.apply_slice(&slice(
        "bank",
        "db",
        "db-x",
        &[
            ("10.0.0.11", Some("db-0"), Some(true)),
            ("10.0.0.99", Some("db-9"), None),
        ],
    ));
    store.set_pod("bank", Ipv4Addr::new(10, 0, 0, 31));
}

/// What the system network has. `infra/registry` is shared by configuration.
pub(crate) fn system(store: &Store) {
    for namespace in ["default", "kube-system", "infra"] {
        store.set_namespace(namespace, SYSTEM, "stackube-system");
    }
    let https = json!([{"name": "https", "port": 443}]);
    store.apply_service(&service(
        "default",
        "kubernetes",
        json!({"clusterIP": "10.96.0.1", "ports": https}),
    ));
    store.apply_service(&cluster_ip("kube-system", "kube-dns", "10.96.0.10"));
    store.apply_service(&cluster_ip("kube-system", "metrics", "10.96.0.99"));
    store.apply_service(&cluster_ip("infra", "registry", "10.96.0.50"));
    store.apply_service(&headless("infra", "peers"));
    store.apply_slice(&slice(
        "infra",
        "peers",
        "peers-a",
        &[("10.0.0.77", Some("peer-0"), None)],
    ));
}
