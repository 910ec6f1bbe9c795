//! What may not pass, and what is not to be disturbed.

use std::io::ErrorKind;

use super::*;

/// A server on the node that listens on all of its addresses.
const SERVER: u16 = 2222;

#[test]
fn nobody_begins_anything_with_the_node_by_its_own_port() {
    let lab = plugged();
    let outside = neighbour(&lab);
    let (_pod, netns) = system_pod(&lab, 1);
    let _server = lab.node.enter(|| TcpListener::bind(("0.0.0.0", SERVER)).unwrap());
    let own = format!("{OWN}:{SERVER}");
    dial(&lab.node, &own).unwrap();
    for (who, netns) in [("a pod of the system network", &netns), ("a neighbour", &outside)] {
        assert_eq!(dial(netns, &own).unwrap_err().kind(), ErrorKind::TimedOut, "{who}");
        assert!(!netns.pings(OWN), "{who}");
    }
    // Due to the table: without it both ways are open.
    lab.kill_daemon();
    nft(&lab.node, "delete table inet stackube-kubestack");
    for netns in [&netns, &outside] {
        dial(netns, &own).unwrap();
    }
}

#[test]
fn nothing_is_forwarded_to_or_from_the_nodes_own_port() {
    let lab = plugged();
    let outside = neighbour(&lab);
    let (pod, netns) = system_pod(&lab, 1);
    netns.ip(&format!("route add {}/32 via {OWN}", API_SERVERS[1]));
    let listen = |netns: &Namespace| {
        let socket = netns.enter(|| UdpSocket::bind("0.0.0.0:9999").unwrap());
        socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        socket
    };
    let (inside, beyond) = (listen(&netns), listen(&outside));
    let passes = |from: &UdpSocket, to: &UdpSocket, address: &str| {
        let _ = from.send_to(b"x", format!("{address}:9999"));
        to.recv(&mut [0; 8]).is_ok()
    };
    assert!(!passes(&inside, &beyond, API_SERVERS[1]), "the node routed for a pod");
    assert!(!passes(&beyond, &inside, &pod.ip), "the node routed to a pod");
    lab.kill_daemon();
    nft(&lab.node, "delete table inet stackube-kubestack");
    // Nor does the node know a way back to the pod for what it forwards.
    lab.node.enter(|| {
        for device in ["all", DEVICE] {
            std::fs::write(format!("/proc/sys/net/ipv4/conf/{device}/rp_filter"), "0").unwrap();
        }
    });
    lab.eventually("the question is a good one", || {
        passes(&inside, &beyond, API_SERVERS[1])
    });
    assert!(
        !passes(&beyond, &inside, &pod.ip),
        "only what the node sends is routed there"
    );
}

#[test]
fn a_tenants_pod_has_no_more_than_before() {
    let lab = plugged();
    let tenant = Pod::number(2);
    let tenant_netns = lab.pod_namespace("tenant");
    lab.api.put(tenant.port());
    lab.add("tenant", &tenant, &tenant_netns).ok();
    let (system, _netns) = system_pod(&lab, 1);
    service(
        &lab,
        "10.96.0.50:80",
        Protocol::Tcp,
        format!("{}:80", system.ip).parse().unwrap(),
        false,
    );
    programs(&lab).set_synced(NetworkKey::of("test"), true).unwrap();
    tenant_netns.ip("neigh replace 10.244.0.1 lladdr 0a:00:00:00:ff:01 dev eth0");
    // The Service is the system network's, and the node has no address of a tenant's.
    let refused = dial(&tenant_netns, "10.96.0.50:80").unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let route = &lab.node.json(&["route", "get", OWN])[0];
    assert_eq!(route["dev"], "lo", "{route}");
    let unreachable = dial(&lab.node, &format!("{}:80", tenant.ip)).unwrap_err();
    assert_eq!(unreachable.kind(), ErrorKind::NetworkUnreachable);
    assert!(
        !lab.node.ip("route show table 77").contains(OWN),
        "the node does not probe itself"
    );
}

#[test]
fn routes_of_others_are_not_shadowed() {
    let lab = plugged();
    let _outside = neighbour(&lab);
    let over = |arguments: &[&str]| {
        let arguments: Vec<&str> = ["route", "get"].into_iter().chain(arguments.iter().copied()).collect();
        lab.node.json(&arguments)[0]["dev"].as_str().unwrap().to_owned()
    };
    lab.node.ip(&format!("route add default via {}", API_SERVERS[1]));
    lab.node.ip(&format!("route add 10.0.0.0/8 via {}", API_SERVERS[1]));
    lab.node.ip(&format!("route add 10.97.0.0/16 via {}", API_SERVERS[1]));
    for (to, device) in [
        ("10.96.0.1", DEVICE),
        ("10.240.0.9", DEVICE),
        ("10.97.0.1", "wire"),
        ("10.1.0.1", "wire"),
        ("203.0.113.1", "wire"),
    ] {
        assert_eq!(over(&[to]), device, "{to}");
    }
    lab.node.ip(&format!("route add {SERVICES} via {}", API_SERVERS[1]));
    assert_eq!(over(&["10.96.0.1"]), "wire");
    // What the node forwards goes where it went before.
    lab.node.ip(&format!("route delete {SERVICES}"));
    assert_eq!(over(&["10.96.0.1", "from", API_SERVERS[1], "iif", "wire"]), "wire");
}
