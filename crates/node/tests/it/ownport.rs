//! The node's own port on the system network: what the node reaches by it, and that nobody reaches the node.

mod nodes;
mod ranges;
mod shared;
mod tracking;
mod upkeep;
mod walls;

use std::io::{Read, Write};
use std::net::{SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use stackube_datapath::abi::NetworkKey;
use stackube_datapath::{Protocol, Service, ServiceKey, Services};
use stackube_node::nodelink::ADDRESS;
use stackube_node::ownport::DEVICE;

use crate::lab::api::{API_SERVER_PORT, API_SERVERS};
use crate::lab::namespace::Namespace;
use crate::lab::ovs::is_userspace;
use crate::lab::{Lab, NODE, Pod, require, run};
use crate::nodelink::{neighbour, nft};

/// Namespace and name of the system network.
const SYSTEM: &str = "stackube-system";
/// The node's address there, and its UID.
const OWN: &str = "10.240.0.5";
const UID: &str = "00000000-0000-4000-8000-0000000000aa";
/// The router of the system network.
const ROUTER: &str = "10.240.0.1";
pub(crate) const SERVICES: &str = "10.96.0.0/12";

/// The status of a ready Port of the system network.
fn status(ip: &str, port_id: &str) -> Value {
    let last: u8 = ip.rsplit('.').next().unwrap().parse().unwrap();
    json!({
        "portID": port_id, "ip": ip, "prefixLength": 16, "mac": format!("fa:16:3e:00:f0:{last:02x}"),
        "gateway": ROUTER, "mtu": 1442, "ready": true,
    })
}

/// The node's own Port.
fn node_port() -> Value {
    json!({
        "apiVersion": "stackube.kubernetes.io/v1", "kind": "Port",
        "metadata": {
            "name": UID, "namespace": SYSTEM, "uid": "object-of-the-node",
            "finalizers": ["stackube.kubernetes.io/controller", "stackube.kubernetes.io/node"],
        },
        "spec": {"holder": "Node", "podName": NODE, "podUID": UID, "nodeName": NODE,
                 "networkNamespace": SYSTEM, "networkName": SYSTEM},
        "status": status(OWN, "f0000000-0000-4000-8000-0000000000aa"),
    })
}

/// A node that is plugged in, with Services.
fn plugged() -> Lab {
    let lab = Lab::new();
    lab.api.put(node_port());
    programs(&lab).set_service_cidrs(&[SERVICES.parse().unwrap()]).unwrap();
    wait_until_plugged(&lab);
    lab
}

fn wait_until_plugged(lab: &Lab) {
    lab.eventually("the node is plugged in", || {
        lab.http("/metrics").contains("kubestack_own_port 1\n")
            && lab
                .node
                .ip("rule show")
                .contains(&format!("to {SERVICES} iif lo lookup 78"))
    });
}

pub(crate) fn programs(lab: &Lab) -> Services {
    Services::open(&lab.pin_root()).unwrap()
}

/// A pod on the system network, plugged in.
fn system_pod(lab: &Lab, number: u8) -> (Pod, Namespace) {
    let pod = Pod {
        ip: format!("10.240.0.{}", number + 10),
        ..Pod::number(number)
    };
    let mut port = pod.port();
    port["spec"]["networkNamespace"] = SYSTEM.into();
    port["spec"]["networkName"] = SYSTEM.into();
    port["status"] = status(&pod.ip, &pod.port_id);
    lab.api.put(port);
    let netns = lab.pod_namespace(&format!("system-{number}"));
    lab.add(&format!("system-{number}"), &pod, &netns).ok();
    (pod, netns)
}

/// What OVN's logical router does: a packet for a neighbour of its sender comes back to it.
fn router(lab: &Lab) -> Namespace {
    let router = lab.pod_namespace("router");
    lab.node.ip(&format!(
        "link add router type veth peer name port netns {}",
        router.name()
    ));
    lab.node.ip("link set router up");
    router.ip("link set port up");
    router.ip(&format!("address add {ROUTER}/16 dev port"));
    router.enter(|| {
        for (setting, value) in [
            ("ip_forward", "1"),
            ("conf/all/send_redirects", "0"),
            ("conf/port/send_redirects", "0"),
        ] {
            std::fs::write(format!("/proc/sys/net/ipv4/{setting}"), value).unwrap();
        }
    });
    if is_userspace() {
        let mut ethtool: Command = router.command(&require("ethtool"));
        run(ethtool.args(["-K", "port", "tx", "off"]));
    }
    lab.ovs.vsctl("add-port br-int router");
    router
}

fn service(lab: &Lab, vip: &str, protocol: Protocol, backend: SocketAddrV4, host: bool) {
    service_of(lab, SYSTEM, vip, protocol, backend, host);
}

pub(crate) fn service_of(lab: &Lab, network: &str, vip: &str, protocol: Protocol, backend: SocketAddrV4, host: bool) {
    let vip: SocketAddrV4 = vip.parse().unwrap();
    let key = ServiceKey {
        network: NetworkKey::of(network),
        vip: *vip.ip(),
        port: vip.port(),
        protocol,
    };
    let service = Service {
        backends: vec![backend],
        affinity: None,
        host,
    };
    let mut services = programs(lab);
    services.upsert(key, &service).unwrap();
    services.set_synced(key.network, true).unwrap();
}

pub(crate) fn dial(netns: &Namespace, to: &str) -> std::io::Result<TcpStream> {
    let to = to.parse().unwrap();
    netns.enter(|| TcpStream::connect_timeout(&to, Duration::from_secs(2)))
}

/// Sends much over a connection and has it sent back, so that segments of all sizes go both ways.
pub(crate) fn assert_carries(client: &TcpStream, server: &TcpStream) {
    const SIZE: usize = 300_000;
    let sent: Vec<u8> = (0..SIZE).map(|n| u8::try_from(n % 251).unwrap()).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut served, mut data) = (server, vec![0; SIZE]);
            served.read_exact(&mut data).unwrap();
            served.write_all(&data).unwrap();
        });
        client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let (mut stream, mut back) = (client, vec![0; SIZE]);
        stream.write_all(&sent).unwrap();
        stream.read_exact(&mut back).unwrap();
        assert!(back == sent, "what came back is not what was sent");
    });
}

#[test]
fn the_node_reaches_pods_and_services_of_the_system_network() {
    let lab = plugged();
    let _router = router(&lab);
    let (pod, netns) = system_pod(&lab, 1);
    let server = netns.enter(|| TcpListener::bind("0.0.0.0:80").unwrap());
    let backend: SocketAddrV4 = format!("{}:80", pod.ip).parse().unwrap();
    service(&lab, "10.96.0.50:8080", Protocol::Tcp, backend, false);
    for to in ["10.96.0.50:8080".to_owned(), backend.to_string()] {
        let client = dial(&lab.node, &to).unwrap_or_else(|error| panic!("{to}: {error}"));
        let (served, peer) = server.accept().unwrap();
        assert_eq!(peer.ip().to_string(), OWN, "{to}");
        assert_carries(&client, &served);
    }
    // No Service of this network, and refused at once.
    let refused = dial(&lab.node, "10.96.0.51:80").unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn a_connection_outlives_the_daemon() {
    let lab = plugged();
    let _router = router(&lab);
    let (pod, netns) = system_pod(&lab, 1);
    let server = netns.enter(|| TcpListener::bind("0.0.0.0:80").unwrap());
    let backend = format!("{}:80", pod.ip).parse().unwrap();
    service(&lab, "10.96.0.50:80", Protocol::Tcp, backend, false);
    let mut client = dial(&lab.node, "10.96.0.50:80").unwrap();
    let (mut served, _) = server.accept().unwrap();
    let mut say = |text: &[u8; 2]| {
        served.write_all(text).unwrap();
        let mut heard = [0; 2];
        client.read_exact(&mut heard).unwrap();
        assert_eq!(&heard, text);
    };
    say(b"ok");
    lab.kill_daemon();
    say(b"on");
    dial(&lab.node, "10.96.0.50:80").unwrap();
    lab.start_daemon(None);
    wait_until_plugged(&lab);
    say(b"so");
}

#[test]
fn the_node_reaches_dns_and_the_api_servers_by_their_cluster_ips() {
    let lab = plugged();
    let _router = router(&lab);
    let outside = neighbour(&lab);
    lab.eventually("the API servers are known", || {
        nft(&lab.node, "list table inet stackube-kubestack").contains("192.0.2.2:6443")
    });
    let dns = lab.node.enter(|| UdpSocket::bind((ADDRESS, 53)).unwrap());
    service(
        &lab,
        "10.96.0.10:53",
        Protocol::Udp,
        SocketAddrV4::new(ADDRESS, 53),
        true,
    );
    let asking = lab.node.enter(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    asking.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    asking.send_to(b"?", "10.96.0.10:53").unwrap();
    let mut buffer = [0; 1];
    let (_, from) = dns.recv_from(&mut buffer).unwrap();
    assert_eq!(
        from.ip(),
        lab.identities()[0].alias,
        "the server knows the node by its alias"
    );
    dns.send_to(b"!", from).unwrap();
    let (_, answering) = asking.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer, answering.to_string().as_str()), (b"!", "10.96.0.10:53"));

    // One that is on this node, and one elsewhere, which sees the node's address.
    for (address, on) in [(API_SERVERS[0], &lab.node), (API_SERVERS[1], &outside)] {
        let address = format!("{address}:{API_SERVER_PORT}");
        let server = on.enter(|| TcpListener::bind(&address).unwrap());
        service(&lab, "10.96.0.1:443", Protocol::Tcp, address.parse().unwrap(), true);
        let client = dial(&lab.node, "10.96.0.1:443").unwrap_or_else(|error| panic!("{address}: {error}"));
        assert_carries(&client, &server.accept().unwrap().0);
    }
}

#[test]
fn without_a_port_there_is_nothing_of_it() {
    let lab = Lab::new();
    programs(&lab).set_service_cidrs(&[SERVICES.parse().unwrap()]).unwrap();
    let mut waiting = node_port();
    waiting["status"] = json!({"ready": false, "message": "network stackube-system is not active"});
    lab.api.put(waiting);
    lab.eventually("the daemon says what it waits for", || {
        lab.daemon_log().contains("network stackube-system is not active")
    });
    lab.assert_empty();
    assert!(!lab.node.ip("link show").contains(DEVICE));
    assert!(!lab.node.ip("rule show").contains("lookup 78"));
}
