//! One tenant writes as much as the API server takes: what it costs grows with what was written, and others notice nothing.

use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RecordType;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use prometheus_client::registry::Registry;
use serde_json::json;
use stackube_proxy::dns::{Metrics, Offline, Store};

use crate::cluster::{self, Pods, SHOP_POD};
use crate::support::{config, query};

/// Kibibytes that the process has had at most.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn slice(name: &str, endpoints: impl Iterator<Item = (Ipv4Addr, Option<String>)>, ports: i32) -> EndpointSlice {
    let mut slice: EndpointSlice = serde_json::from_value(json!({
        "metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": "many"}},
        "addressType": "IPv4", "endpoints": [],
    }))
    .unwrap();
    let endpoints = endpoints.map(|(address, hostname)| Endpoint {
        addresses: vec![address.to_string()],
        hostname,
        ..Endpoint::default()
    });
    slice.endpoints = Some(endpoints.collect());
    let ports = (1..=ports).map(|port| EndpointPort {
        name: Some(format!("p{port}")),
        port: Some(port),
        ..EndpointPort::default()
    });
    slice.ports = Some(ports.collect());
    slice
}

/// A cluster whose tenant `shop` has the headless Service `many` without endpoints.
fn store() -> Arc<Store> {
    let store = Store::default();
    cluster::shop(&store);
    cluster::bank(&store);
    cluster::system(&store);
    let headless = json!({"metadata": {"namespace": "shop", "name": "many"}, "spec": {"clusterIP": "None"}});
    store.apply_service(&serde_json::from_value(headless).unwrap());
    Arc::new(store)
}

#[test]
fn endpoints_times_ports_are_never_made() {
    let store = store();
    let metrics = Metrics::register(&mut Registry::default());
    let server = Offline::new(&config(), Arc::clone(&store), Arc::new(Pods), metrics).unwrap();
    let before = peak();
    for n in 0..15_u8 {
        let endpoints = (0..1000_u16).map(|i| {
            let [high, low] = i.to_be_bytes();
            (Ipv4Addr::new(10, n, high, low), None)
        });
        store.apply_slice(&slice(&format!("many-{n}"), endpoints, 5000));
    }
    for (name, rtype) in [
        ("many.shop.svc.cluster.local.", RecordType::A),
        ("_p5000._tcp.many.shop.svc.cluster.local.", RecordType::SRV),
        ("_tcp.many.shop.svc.cluster.local.", RecordType::SRV),
        ("10-14-3-231.many.shop.svc.cluster.local.", RecordType::A),
        ("231.3.14.10.in-addr.arpa.", RecordType::PTR),
    ] {
        let reply = server.message(SHOP_POD, &query(name, rtype).to_vec().unwrap()).unwrap();
        let message = Message::from_vec(&reply).unwrap();
        assert_eq!(message.metadata.response_code, ResponseCode::NoError, "{name}");
        let many = name.starts_with("many") || name.starts_with("_p");
        // What does not fit is said to be missing.
        assert_eq!(message.metadata.truncation, many, "{name}");
        match (many, name.starts_with("_tcp")) {
            (true, _) => assert!(message.answers.len() > 500, "{name}: {} records", message.answers.len()),
            (false, true) => assert!(message.answers.is_empty(), "{name}"),
            (false, false) => assert_eq!(message.answers.len(), 1, "{name}"),
        }
    }
    // 75 million pairs would take 600 MB.
    let grown = peak() - before;
    assert!(grown < 200 * 1024, "{grown} KiB");
}

/// Time of the processor, which does not pass while others have it.
fn clock() -> Duration {
    Duration::try_from(rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime)).unwrap()
}

/// How long it takes to remove `count` names of one address.
fn removal(count: usize) -> Duration {
    let tries = (0..3).map(|_| {
        let store = store();
        let names = (0..count).map(|i| (Ipv4Addr::new(10, 0, 9, 9), Some(format!("h{i}"))));
        store.apply_slice(&slice("many-1", names, 1));
        let began = clock();
        store.remove_slice("shop", "many", "many-1");
        clock() - began
    });
    tries.min().unwrap()
}

#[test]
fn names_go_in_the_time_that_their_number_takes() {
    let (few, many) = (removal(12_500), removal(100_000));
    // 8 times as many. One after another through a list it would be 64 times as long.
    assert!(many < few * 32, "{few:?}, {many:?}");
}
