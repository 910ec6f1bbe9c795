//! Tables: objects of the API in, entries of a network out.

mod cluster;
mod endpoints;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use serde_json::{Value, json};
use stackube_api::Port;

use super::*;

const HERE: &str = "here";

fn platform() -> Platform {
    Platform {
        dns: [10, 96, 0, 10].into(),
        dns_server: "169.254.77.1:53".parse().unwrap(),
    }
}

fn cluster() -> Cluster {
    let viewpoint = Viewpoint {
        node: HERE.into(),
        zone: Some("z1".into()),
    };
    Cluster::new(platform(), viewpoint)
}

fn service(namespace: &str, name: &str, spec: Value) -> Service {
    let object = json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec});
    serde_json::from_value(object).unwrap()
}

fn web(namespace: &str, ip: &str) -> Service {
    service(namespace, "web", json!({"clusterIP": ip, "ports": [{"port": 80}]}))
}

/// A slice of `service` with unnamed TCP port `port`.
fn slice(namespace: &str, service: &str, port: u16, endpoints: Value) -> EndpointSlice {
    let object = json!({
        "metadata": {"namespace": namespace, "name": format!("{service}-1"), "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4", "ports": [{"port": port, "protocol": "TCP"}], "endpoints": endpoints,
    });
    serde_json::from_value(object).unwrap()
}

fn port(namespace: &str, uid: &str, network: &str, ip: &str) -> Port {
    let object = json!({
        "apiVersion": "stackube.kubernetes.io/v1", "kind": "Port", "metadata": {"namespace": namespace, "name": uid},
        "spec": {"podName": uid, "podUID": uid, "nodeName": HERE, "networkNamespace": network, "networkName": network},
        "status": {"ip": ip, "prefixLength": 16, "ready": true},
    });
    serde_json::from_value(object).unwrap()
}

fn vip(text: &str) -> Vip {
    let (address, protocol) = text.split_once('/').unwrap_or((text, "TCP"));
    let socket: std::net::SocketAddrV4 = address.parse().unwrap();
    Vip {
        address: *socket.ip(),
        port: socket.port(),
        protocol: super::protocol(Some(protocol)).unwrap(),
    }
}

/// Backends as text, `none` without the entry.
fn shown(desired: &Desired, network: &str, address: &str) -> String {
    let Some(target) = desired.get(network, &vip(address)) else {
        return "none".into();
    };
    let backends: Vec<String> = target.backends.iter().map(ToString::to_string).collect();
    format!("{}{}", if target.host { "host " } else { "" }, backends.join(" "))
}

/// All changes at once.
fn settled(cluster: &mut Cluster) -> Desired {
    let mut desired = Desired::default();
    let dirty = cluster.take_dirty();
    desired.update(cluster, &dirty);
    desired
}
