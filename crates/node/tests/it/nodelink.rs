//! The node's link to its pods: who may use it, and that it comes back.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use stackube_node::nodelink::{ADDRESS, FAR, MARK, NEAR, TABLE};

use crate::lab::api::{API_SERVER_PORT, API_SERVERS};
use crate::lab::namespace::Namespace;
use crate::lab::{Lab, PATIENCE, Pod, require, run};

/// An alias; the table of pods plays no part in these tests.
const ALIAS: &str = "169.254.128.5";

pub(crate) fn nft(netns: &Namespace, arguments: &str) -> String {
    let mut command: Command = netns.command(&require("nft"));
    run(command.args(arguments.split(' ')))
}

/// How many bytes have arrived at the far end.
fn arrived(lab: &Lab) -> u64 {
    let link = &lab.node.json(&["-statistics", "link", "show", FAR])[0];
    link["stats64"]["rx"]["packets"].as_u64().unwrap()
}

/// Begins a TCP connection from the node, with a mark or without; what comes of it at once.
fn connect(lab: &Lab, address: &str, mark: Option<u32>) -> Result<(), ErrorKind> {
    let address: SocketAddr = format!("{address}:80").parse().unwrap();
    lab.node.enter(|| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        if let Some(mark) = mark {
            socket.set_mark(mark).unwrap();
        }
        socket.set_nonblocking(true).unwrap();
        match socket.connect(&address.into()) {
            Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
                Err(error.kind())
            }
            _ => Ok(()),
        }
    })
}

pub(crate) fn pod_routes(lab: &Lab) -> Vec<String> {
    let routes = lab.node.ip(&format!("route show table {TABLE}"));
    routes.lines().map(|line| line.trim().to_owned()).collect()
}

#[test]
fn the_link_is_complete_before_the_first_pod() {
    let lab = Lab::new();
    for name in [NEAR, FAR] {
        let link = &lab.node.json(&["-details", "link", "show", name])[0];
        let flags: Vec<String> = serde_json::from_value(link["flags"].clone()).unwrap();
        assert!(
            flags.contains(&"UP".into()) && flags.contains(&"NOARP".into()),
            "{link}"
        );
        assert_eq!(link["inet6_addr_gen_mode"], "none");
        let rp_filter = lab
            .node
            .enter(|| std::fs::read_to_string(format!("/proc/sys/net/ipv4/conf/{name}/rp_filter")).unwrap());
        assert_eq!(rp_filter.trim(), "2");
    }
    let route = &lab.node.json(&["route", "get", ALIAS])[0];
    assert_eq!(
        (&route["dev"], &route["prefsrc"]),
        (&NEAR.into(), &ADDRESS.to_string().into())
    );
    let rules = lab.node.ip("rule show");
    assert!(rules.contains("fwmark 0x77 lookup 77"), "{rules}");
    assert!(rules.contains("from 169.254.77.1 lookup 77"), "{rules}");
}

#[test]
fn what_somebody_takes_away_comes_back() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    lab.add("c1", &pod, &netns).ok();
    let state = || {
        let devices = [NEAR, FAR].map(|name| {
            let link = &lab.node.json(&["link", "show", name])[0];
            (link["flags"].clone(), link["address"].clone(), link["mtu"].clone())
        });
        (
            devices,
            lab.node.ip("rule show"),
            lab.node.ip("route show table main"),
            pod_routes(&lab),
        )
    };
    let good = state();
    assert_eq!(good.3.len(), 1, "{good:?}");
    let changes = [
        "link delete stackube1",
        "link set stackube0 down",
        "link set stackube1 address 02:00:00:00:00:01 mtu 1400",
        "address flush dev stackube0",
        "rule delete fwmark 0x77",
        "rule delete from 169.254.77.1",
        "rule add from 192.0.2.7 lookup 77",
        "route flush table 77",
        "route add 10.99.0.1/32 dev stackube0 table 77",
        "route delete 169.254.128.0/17",
    ];
    for (restored, change) in (1..).zip(changes) {
        lab.node.ip(change);
        let counted = format!("kubestack_link_restored_total {restored}\n");
        lab.eventually(&format!("the link comes back after {change:?}"), || {
            lab.http("/metrics").contains(&counted) && state() == good
        });
    }
}

#[test]
fn routes_to_pods_come_and_go_with_them() {
    let (lab, a, b) = (Lab::new(), Pod::number(1), Pod::number(2));
    let (a_netns, b_netns) = (lab.pod_namespace("a"), lab.pod_namespace("b"));
    for (container, pod, netns) in [("ca", &a, &a_netns), ("cb", &b, &b_netns)] {
        lab.api.put(pod.port());
        lab.add(container, pod, netns).ok();
    }
    let route = |pod: &Pod| format!("{} dev {NEAR} proto 77 scope link src {ADDRESS}", pod.ip);
    assert_eq!(pod_routes(&lab), [route(&a), route(&b)]);
    lab.del("ca", Some(&a), Some(&a_netns)).ok();
    assert_eq!(pod_routes(&lab), [route(&b)]);
    // A namespace that dies takes the device with it; the clean-up takes the route.
    lab.kill_daemon();
    drop(b_netns);
    lab.eventually("the device goes with its namespace", || lab.devices().is_empty());
    lab.start_daemon(None);
    assert_eq!(pod_routes(&lab), [""; 0]);
}

#[test]
fn an_older_sandbox_of_a_pod_leaves_the_route_to_the_newer() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let (old, new) = (lab.pod_namespace("old"), lab.pod_namespace("new"));
    lab.api.put(pod.port());
    lab.add("old", &pod, &old).ok();
    let result = lab.add("new", &pod, &new).ok();
    lab.del("old", Some(&pod), Some(&old)).ok();
    lab.check("new", &pod, &new, &result).ok();
    lab.node.ip(&format!("route delete {} table {TABLE}", pod.ip));
    let (_, text) = lab.check("new", &pod, &new, &result).error();
    assert!(text.contains("kubelet has no route to 10.244.0.11"), "{text}");
}

#[test]
fn only_marked_sockets_find_a_pod_by_its_address() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    lab.add("c1", &pod, &netns).ok();
    assert_eq!(connect(&lab, &pod.ip, None), Err(ErrorKind::NetworkUnreachable));
    let before = arrived(&lab);
    // The link's own address leads there too, but nothing passes without the mark.
    lab.node.enter(|| {
        let socket = UdpSocket::bind((ADDRESS, 0)).unwrap();
        let sent = socket.send_to(b"x", format!("{}:80", pod.ip)).map_err(|e| e.kind());
        assert_eq!(sent, Err(ErrorKind::PermissionDenied));
    });
    assert_eq!(arrived(&lab), before, "unmarked packets reached the far end");
    connect(&lab, &pod.ip, Some(MARK)).unwrap();
    lab.eventually("a marked packet arrives", || arrived(&lab) > before);
}

#[test]
fn the_host_begins_nothing_toward_an_alias() {
    let lab = Lab::new();
    let before = arrived(&lab);
    for mark in [None, Some(MARK)] {
        connect(&lab, ALIAS, mark).unwrap();
    }
    assert_eq!(arrived(&lab), before);
}

/// A neighbour on the node's own network, who routes to everything through the node; the node forwards.
pub(crate) fn neighbour(lab: &Lab) -> Namespace {
    let outside = lab.pod_namespace("out");
    lab.node.ip(&format!(
        "link add wire type veth peer name wire netns {}",
        outside.name()
    ));
    lab.node.ip("link set wire up");
    lab.node.ip(&format!("address add {}/24 dev wire", API_SERVERS[0]));
    outside.ip("link set wire up");
    outside.ip(&format!("address add {}/24 dev wire", API_SERVERS[1]));
    outside.ip(&format!("route add default via {}", API_SERVERS[0]));
    lab.node
        .enter(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
    outside
}

/// To who answers. What is lost on the way to it is sent again after a second.
fn open(netns: &Namespace, address: &str) -> Result<TcpStream, ErrorKind> {
    connect_within(netns, address, PATIENCE)
}

/// To who is not to be reached.
fn open_in_vain(netns: &Namespace, address: &str) -> ErrorKind {
    connect_within(netns, address, Duration::from_millis(700)).unwrap_err()
}

fn connect_within(netns: &Namespace, address: &str, patience: Duration) -> Result<TcpStream, ErrorKind> {
    let address = address.parse().unwrap();
    netns.enter(|| TcpStream::connect_timeout(&address, patience).map_err(|e| e.kind()))
}

#[test]
fn a_neighbour_on_the_nodes_network_reaches_nothing() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    lab.add("c1", &pod, &netns).ok();
    let outside = neighbour(&lab);
    let _dns = lab.node.enter(|| TcpListener::bind((ADDRESS, 53)).unwrap());
    let dns = format!("{ADDRESS}:53");
    open(&lab.node, &dns).unwrap();
    assert_eq!(open_in_vain(&outside, &dns), ErrorKind::TimedOut);
    let before = arrived(&lab);
    for address in [format!("{ALIAS}:80"), format!("{}:80", pod.ip)] {
        open_in_vain(&outside, &address);
    }
    assert_eq!(arrived(&lab), before, "a neighbour's packets reached the far end");
    // The table is the reason: without it DNS is open to everybody.
    lab.kill_daemon();
    nft(&lab.node, "delete table inet stackube-kubestack");
    open(&outside, &dns).unwrap();
}

/// The far end in a namespace of its own, as if a pod were right behind it.
fn behind_the_link(lab: &Lab) -> Namespace {
    let behind = lab.pod_namespace("behind");
    lab.kill_daemon();
    lab.remove_programs();
    lab.node.ip(&format!("link set {FAR} netns {}", behind.name()));
    behind.ip(&format!("link set {FAR} up"));
    behind.ip(&format!("address add {ALIAS}/32 dev {FAR}"));
    behind.ip(&format!("route add default dev {FAR} src {ALIAS}"));
    // Neither end asks for the other's address: frames go to the other end's.
    behind.ip(&format!("link set {FAR} arp off"));
    let mac = |netns: &Namespace, name: &str| {
        netns.json(&["link", "show", name])[0]["address"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    behind.ip(&format!("link set {FAR} address {}", mac(&lab.node, NEAR)));
    behind
}

#[test]
fn pods_reach_dns_and_the_api_servers_and_nothing_else_of_the_host() {
    let lab = Lab::new();
    let outside = neighbour(&lab);
    lab.eventually("the API servers are known", || {
        nft(&lab.node, "list table inet stackube-kubestack").contains("192.0.2.2:6443")
    });
    let behind = behind_the_link(&lab);
    let port = API_SERVER_PORT;
    let listen = |netns: &Namespace, address: String| netns.enter(|| TcpListener::bind(address).unwrap());
    let _host = [
        format!("{ADDRESS}:53"),
        format!("{ADDRESS}:10250"),
        format!("192.0.2.1:{port}"),
        "192.0.2.1:22".into(),
    ]
    .map(|address| listen(&lab.node, address));
    let remote = listen(&outside, format!("192.0.2.2:{port}"));
    let _other = listen(&outside, "192.0.2.2:22".into());

    for address in [format!("{ADDRESS}:53"), format!("192.0.2.1:{port}")] {
        open(&behind, &address).unwrap_or_else(|e| panic!("{address}: {e}"));
    }
    open(&behind, &format!("192.0.2.2:{port}")).unwrap();
    // It leaves the node with the node's address: nobody else knows aliases.
    assert_eq!(remote.accept().unwrap().1.ip().to_string(), "192.0.2.1");
    for address in [
        format!("{ADDRESS}:10250"),
        "192.0.2.1:22".into(),
        "192.0.2.2:22".into(),
        "192.0.2.1:6444".into(),
    ] {
        assert_eq!(open_in_vain(&behind, &address), ErrorKind::TimedOut, "{address}");
    }
    nft(&lab.node, "add table inet watch");
    nft(
        &lab.node,
        "add chain inet watch input { type filter hook input priority 0 ; }",
    );
    nft(
        &lab.node,
        "add rule inet watch input udp dport 53 ct state untracked counter",
    );
    behind.enter(|| {
        let question = UdpSocket::bind((ALIAS, 0)).unwrap();
        question.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let server = lab.node.enter(|| UdpSocket::bind((ADDRESS, 53)).unwrap());
        question.send_to(b"?", (ADDRESS, 53)).unwrap();
        let (mut buffer, from) = ([0; 1], server.recv_from(&mut [0; 8]).unwrap().1);
        server.send_to(b"!", from).unwrap();
        question.recv(&mut buffer).unwrap();
        assert_eq!((&buffer, from.ip().to_string()), (b"!", ALIAS.to_owned()));
    });
    let counted = nft(&lab.node, "list table inet watch");
    assert!(
        !counted.contains("packets 0 "),
        "questions fill the table of connections: {counted}"
    );
}
