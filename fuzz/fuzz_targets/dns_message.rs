//! What a pod may send to the DNS server, by UDP and by TCP.

#![no_main]

use std::net::Ipv4Addr;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use prometheus_client::registry::Registry;
use serde_json::json;
use stackube_proxy::dns::{Client, Config, Identities, Metrics, Offline, Store};

const POD: Ipv4Addr = Ipv4Addr::new(169, 254, 128, 1);

struct Pods;

impl Identities for Pods {
    fn client(&self, source: Ipv4Addr) -> Option<Client> {
        (source == POD).then_some(Client { network: [1; 16], pod: [1; 16], address: Ipv4Addr::new(10, 0, 0, 7) })
    }
}

static SERVER: LazyLock<Offline> = LazyLock::new(|| {
    let store = Store::default();
    store.set_namespace("shop", [1; 16], "shop");
    for service in [
        json!({"metadata": {"namespace": "shop", "name": "nginx"},
               "spec": {"clusterIP": "10.96.1.1", "ports": [{"name": "http", "port": 80}]}}),
        json!({"metadata": {"namespace": "shop", "name": "db"},
               "spec": {"clusterIP": "None", "ports": [{"name": "pg", "port": 5432}]}}),
        json!({"metadata": {"namespace": "shop", "name": "inner"},
               "spec": {"type": "ExternalName", "externalName": "nginx.shop.svc.cluster.local"}}),
    ] {
        store.apply_service(&serde_json::from_value(service).expect("a Service"));
    }
    let endpoints: Vec<_> = (1..=200)
        .map(|n| json!({"addresses": [format!("10.0.0.{n}")], "hostname": format!("db-{n}")}))
        .collect();
    let slice = json!({
        "metadata": {"namespace": "shop", "name": "db-a", "labels": {"kubernetes.io/service-name": "db"}},
        "addressType": "IPv4", "endpoints": endpoints, "ports": [{"name": "pg", "port": 5432, "protocol": "TCP"}],
    });
    store.apply_slice(&serde_json::from_value(slice).expect("an EndpointSlice"));
    let config = Config { pod_rate: u32::MAX, pod_burst: u32::MAX, ..Config::default() };
    let metrics = Metrics::register(&mut Registry::default());
    Offline::new(&config, Arc::new(store), Arc::new(Pods), metrics).expect("a server")
});

fuzz_target!(|bytes: &[u8]| {
    if let Some(reply) = SERVER.datagram(POD, bytes) {
        assert!(reply.len() <= 1232 && reply[..2] == bytes[..2] && reply[2] & 0x80 != 0);
    }
    let _reply = SERVER.message(POD, bytes);
    let _reply = SERVER.datagram(Ipv4Addr::new(169, 254, 128, 2), bytes);
});
