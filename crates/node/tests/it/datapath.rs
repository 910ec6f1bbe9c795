//! The eBPF programs on pods' devices: there before the pod, as long as the pod, whatever happens to the daemon.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use stackube_datapath::abi::{LAYOUT, NetworkKey};
use stackube_datapath::{Protocol, Service, ServiceKey, Services};
use stackube_node::link::host_name;
use stackube_node::nodelink::{ADDRESS, ALIASES, FAR, MARK};

use crate::lab::api::{API_SERVER_PORT, API_SERVERS, OTHER_NODE};
use crate::lab::namespace::Namespace;
use crate::lab::{Lab, Pod, attachment};
use crate::nodelink::{neighbour, nft};

fn index(netns: &Namespace, device: &str) -> u32 {
    let link = &netns.json(&["link", "show", device])[0];
    u32::try_from(link["ifindex"].as_u64().unwrap()).unwrap()
}

#[test]
fn the_programs_know_a_pod_as_long_as_it_is_plugged_in() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    lab.add("c1", &pod, &netns).ok();
    let device = index(&lab.node, &host_name(&attachment("c1")));
    let identities = lab.identities();
    let [identity] = identities.as_slice() else {
        panic!("{identities:?}");
    };
    assert_eq!(identity.ifindex, device);
    assert_eq!(identity.network, NetworkKey::of("test"));
    assert_eq!(identity.ip.to_string(), pod.ip);
    assert_eq!(identity.gateway.to_string(), "10.244.0.1");
    assert_eq!(identity.mac, [0xfa, 0x16, 0x3e, 0, 0, 0x0b]);
    assert_eq!(identity.uid[15], 1);
    assert!(ALIASES.contains(&identity.alias));
    assert_eq!(lab.pins(), [format!("from-{device}"), format!("to-{device}")]);
    lab.del("c1", Some(&pod), Some(&netns)).ok();
    lab.assert_empty();
}

#[test]
fn pods_with_one_address_in_two_networks_have_two_aliases() {
    // One after the other, since a node never has an address twice; the aliases still differ.
    let (lab, a, b) = (Lab::new(), Pod::number(1), Pod::number(2));
    let (a_netns, b_netns) = (lab.pod_namespace("a"), lab.pod_namespace("b"));
    lab.api.put(a.port());
    let mut port = b.port();
    port["spec"]["networkNamespace"] = "other".into();
    lab.api.put(port);
    lab.add("ca", &a, &a_netns).ok();
    lab.add("cb", &b, &b_netns).ok();
    let identities = lab.identities();
    assert_eq!(identities.len(), 2);
    assert_ne!(identities[0].alias, identities[1].alias);
    assert!(
        identities
            .iter()
            .any(|identity| identity.network == NetworkKey::of("other"))
    );
}

#[test]
fn a_new_daemon_takes_over_what_the_old_one_attached() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    let result = lab.add("c1", &pod, &netns).ok();
    let before = (lab.identities(), lab.pins());
    lab.kill_daemon();
    assert_eq!((lab.identities(), lab.pins()), before, "nothing goes with the daemon");
    lab.start_daemon(None);
    assert_eq!((lab.identities(), lab.pins()), before);
    lab.check("c1", &pod, &netns, &result).ok();
}

#[test]
fn a_new_daemon_takes_over_what_one_of_another_layout_attached() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    let result = lab.add("c1", &pod, &netns).ok();
    let before = (lab.identities(), lab.pins());
    lab.kill_daemon();
    let (ours, theirs) = (lab.pin_root().join(LAYOUT), lab.pin_root().join("v0"));
    std::fs::rename(ours, &theirs).unwrap();
    lab.start_daemon(None);
    lab.check("c1", &pod, &netns, &result).ok();
    assert_eq!((lab.identities(), lab.pins()), before);
    assert!(!theirs.exists());
}

#[test]
fn a_pod_that_has_no_programs_gets_them() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    let result = lab.add("c1", &pod, &netns).ok();
    lab.kill_daemon();
    // As after an upgrade from a daemon without programs, or when somebody empties the directory.
    lab.remove_programs();
    lab.start_daemon(None);
    lab.check("c1", &pod, &netns, &result).ok();
    assert_eq!((lab.identities().len(), lab.pins().len()), (1, 2));
}

#[test]
fn check_says_that_programs_are_missing() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    let result = lab.add("c1", &pod, &netns).ok();
    let device = index(&lab.node, &host_name(&attachment("c1")));
    let links = lab.pin_root().join(LAYOUT).join("links");
    for pin in ["from", "to"] {
        std::fs::remove_file(links.join(format!("{pin}-{device}"))).unwrap();
    }
    let (code, text) = lab.check("c1", &pod, &netns, &result).error();
    assert!(
        code == 101 && text.contains("the eBPF programs are not on device"),
        "{text}"
    );
}

#[test]
fn the_far_end_of_a_link_that_was_made_anew_has_the_programs() {
    let lab = Lab::new();
    let pinned = || {
        let pin = format!("link-{}", index(&lab.node, FAR));
        lab.pin_root().join(LAYOUT).join("links").join(pin).exists()
    };
    assert!(pinned());
    let before = index(&lab.node, FAR);
    lab.node.ip(&format!("link delete {FAR}"));
    lab.eventually("the link is back", || {
        lab.http("/metrics").contains("kubestack_link_restored_total 1\n") && pinned()
    });
    assert_ne!(before, index(&lab.node, FAR));
}

#[test]
fn a_pod_waits_for_the_services_of_its_network() {
    let (lab, pod) = (Lab::without_daemon(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.services.set(true);
    lab.start_daemon(None);
    lab.api.put(pod.port());
    let (code, text) = lab.add("c1", &pod, &netns).error();
    assert_eq!(code, 11);
    assert!(
        text.contains("stackube-proxy has not written the services of network test after 2 s"),
        "{text}"
    );
    lab.assert_empty();
    let call = lab.start_add("c2", &pod, &netns);
    lab.eventually("the ADD waits", || lab.plugged() == ["c2"]);
    Services::open(&lab.pin_root())
        .unwrap()
        .set_synced(NetworkKey::of("test"), true)
        .unwrap();
    call.answer().ok();
}

/// A pod with a next hop that somebody would answer for.
fn plugged(lab: &Lab) -> (Pod, Namespace) {
    let (pod, netns) = (Pod::number(1), lab.pod_namespace("a"));
    lab.api.put(pod.port());
    lab.add("c1", &pod, &netns).ok();
    netns.ip("neigh replace 10.244.0.1 lladdr 0a:00:00:00:ff:01 dev eth0");
    (pod, netns)
}

/// What a pod's service may lead to besides other pods.
fn host_service(lab: &Lab, vip: &str, backend: SocketAddrV4) {
    let mut services = Services::open(&lab.pin_root()).unwrap();
    let network = NetworkKey::of("test");
    let vip: SocketAddrV4 = vip.parse().unwrap();
    let key = ServiceKey {
        network,
        vip: *vip.ip(),
        port: vip.port(),
        protocol: Protocol::Tcp,
    };
    let service = Service {
        backends: vec![backend],
        affinity: None,
        host: true,
    };
    services.set_service_cidrs(&["10.96.0.0/12".parse().unwrap()]).unwrap();
    services.upsert(key, &service).unwrap();
    services.set_synced(network, true).unwrap();
}

#[test]
fn kubelet_reaches_a_pod_by_its_mark_and_others_do_not() {
    let lab = Lab::new();
    let (pod, netns) = plugged(&lab);
    let address: SocketAddr = format!("{}:80", pod.ip).parse().unwrap();
    let server = netns.enter(|| TcpListener::bind("0.0.0.0:80").unwrap());
    let dial = |mark: Option<u32>| {
        lab.node.enter(|| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            if let Some(mark) = mark {
                socket.set_mark(mark).unwrap();
            }
            socket
                .connect_timeout(&address.into(), Duration::from_secs(2))
                .map(|()| socket)
        })
    };
    assert!(dial(None).is_err(), "a socket without the mark reached the pod");
    let mut client: TcpStream = dial(Some(MARK)).unwrap().into();
    let (mut served, peer) = server.accept().unwrap();
    assert_eq!(peer.ip(), ADDRESS);
    served.write_all(b"ok").unwrap();
    let mut answer = [0; 2];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"ok");
    // The connection outlives the daemon, and its successor.
    lab.kill_daemon();
    lab.start_daemon(None);
    served.write_all(b"so").unwrap();
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"so");
}

#[test]
fn kubelet_hears_at_once_that_a_pods_own_firewall_rejects_a_probe() {
    let lab = Lab::new();
    let (pod, netns) = plugged(&lab);
    nft(&netns, "add table inet own");
    nft(
        &netns,
        "add chain inet own input { type filter hook input priority 0 ; }",
    );
    nft(&netns, "add rule inet own input tcp dport 80 reject");
    let address: SocketAddr = format!("{}:80", pod.ip).parse().unwrap();
    let refused = lab.node.enter(|| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_mark(MARK).unwrap();
        socket.connect_timeout(&address.into(), Duration::from_secs(5))
    });
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

/// How many packets were refused since their destination is of the nodes or the infrastructure.
pub(crate) fn refused(lab: &Lab) -> u64 {
    let text = lab.http("/metrics");
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(r#"kubestack_packets_total{decision="refused_infrastructure"} "#));
    line.unwrap_or_else(|| panic!("{text}")).parse().unwrap()
}

#[test]
fn a_pod_is_refused_the_addresses_of_nodes() {
    let lab = Lab::new();
    let (_, netns) = plugged(&lab);
    let dial = |address: &str| {
        let (begin, to) = (Instant::now(), format!("{address}:22").parse().unwrap());
        let error = netns.enter(|| TcpStream::connect_timeout(&to, Duration::from_millis(900)).unwrap_err());
        assert!(error.kind() == ErrorKind::TimedOut || begin.elapsed() < Duration::from_millis(900));
        error.kind()
    };
    // An address of nobody goes its way, and nobody answers.
    let address = "198.51.100.3";
    assert_eq!(dial(address), ErrorKind::TimedOut);
    // While the range is being written, a segment may be refused that is not the first of its dial: none is under way when this counts.
    let assert_refused_once = |address: &str| {
        let before = refused(&lab);
        assert_eq!(dial(address), ErrorKind::ConnectionRefused);
        assert_eq!(refused(&lab), before + 1);
    };
    lab.eventually("another node's address is refused", || {
        dial(OTHER_NODE) == ErrorKind::ConnectionRefused
    });
    assert_refused_once(OTHER_NODE);
    lab.node.ip(&format!("address add {address}/32 dev lo"));
    lab.eventually("so is an address that this node was given", || {
        dial(address) == ErrorKind::ConnectionRefused
    });
    assert_refused_once(address);
    lab.node.ip(&format!("address delete {address}/32 dev lo"));
    lab.eventually("it is nobody's again", || dial(address) == ErrorKind::TimedOut);
}

#[test]
fn a_pod_reaches_dns_and_an_api_server_elsewhere_by_its_alias() {
    let lab = Lab::new();
    let outside = neighbour(&lab);
    lab.eventually("the API servers are known", || {
        nft(&lab.node, "list table inet stackube-kubestack").contains("192.0.2.2:6443")
    });
    let (_, netns) = plugged(&lab);
    let alias = lab.identities()[0].alias;
    let dns = lab.node.enter(|| TcpListener::bind((ADDRESS, 53)).unwrap());
    host_service(&lab, "10.96.0.10:53", SocketAddrV4::new(ADDRESS, 53));
    let _seen =
        netns.enter(|| TcpStream::connect_timeout(&"10.96.0.10:53".parse().unwrap(), Duration::from_secs(3)).unwrap());
    assert_eq!(dns.accept().unwrap().1.ip(), alias);

    let api = format!("{}:{API_SERVER_PORT}", API_SERVERS[1]);
    let server = outside.enter(|| TcpListener::bind(&api).unwrap());
    host_service(&lab, "10.96.0.1:443", api.parse().unwrap());
    let dial = |to: &str| {
        let to = to.parse().unwrap();
        netns.enter(|| TcpStream::connect_timeout(&to, Duration::from_secs(2)))
    };
    dial("10.96.0.1:443").unwrap();
    assert_eq!(
        server.accept().unwrap().1.ip().to_string(),
        API_SERVERS[0],
        "it leaves with the node's address"
    );
    // What the link could carry, but no service leads to. Each is counted by its reason.
    let before = refused(&lab);
    for address in [format!("{ADDRESS}:53"), format!("{ADDRESS}:22"), format!("{alias}:80")] {
        assert!(dial(&address).is_err(), "{address}");
    }
    assert_eq!(refused(&lab), before + 3);
}
