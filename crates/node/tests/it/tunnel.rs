//! Two nodes, whose bridges a Geneve tunnel joins: pods' traffic and that of Services from one to the other.

use std::io;
use std::net::{SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::process::Command;
use std::time::Duration;

use stackube_datapath::Protocol;

use crate::lab::namespace::Namespace;
use crate::lab::ovs::is_userspace;
use crate::lab::{Lab, Pod, require, run};
use crate::ownport::{SERVICES, assert_carries, dial, programs, service_of};

const VIP: &str = "10.96.0.7:80";
/// Of the network between the nodes; a packet in the tunnel has 58 bytes more: Ethernet, Geneve with OVN's option, UDP, IP.
const OUTER_MTU: usize = 1500;
const MTU: usize = OUTER_MTU - 58;
/// IP and UDP.
const HEADERS: usize = 28;
/// How often a datagram is sent, with 3 s between.
const TRIES: usize = 6;

struct Node {
    lab: Lab,
    pod: Pod,
    netns: Namespace,
}

impl Node {
    fn new(number: u8) -> Self {
        let (lab, pod) = (Lab::new(), Pod::number(number));
        let netns = lab.pod_namespace("pod");
        lab.api.put(pod.port());
        lab.add("pod", &pod, &netns).ok();
        Self { lab, pod, netns }
    }

    /// A tunnel over the device `outer` to the node with the other number.
    fn tunnel(&self, number: u8, other: u8) {
        let (node, ovs) = (&self.lab.node, &self.lab.ovs);
        let device = if is_userspace() {
            // Open vSwitch sends the packets of its tunnels itself, through a bridge that has the node's address.
            ovs.vsctl(
                "--timeout=20 add-br br-outer -- set bridge br-outer datapath_type=netdev fail-mode=standalone -- add-port br-outer outer",
            );
            "br-outer"
        } else {
            "outer"
        };
        node.ip(&format!("address add 198.51.100.{number}/24 dev {device}"));
        node.ip(&format!("link set {device} up"));
        ovs.vsctl(&format!(
            "--timeout=20 add-port br-int tunnel -- set interface tunnel type=geneve options:key=7 options:remote_ip=198.51.100.{other}"
        ));
    }

    /// What a router does with packets to Services once their address is a pod's: here they are addressed to the pod at once.
    fn route_to(&self, other: &Self) {
        self.netns
            .ip(&format!("neigh replace 10.244.0.1 lladdr {} dev eth0", other.pod.mac()));
    }

    fn offloads(&self, pod: &str, outer: &str) {
        for (netns, device, state) in [(&self.netns, "eth0", pod), (&self.lab.node, "outer", outer)] {
            let mut ethtool = netns.command(&require("ethtool"));
            run(ethtool.args(["-K", device]).args(
                ["tx", "rx", "sg", "tso", "gso", "gro"]
                    .iter()
                    .flat_map(|feature| [*feature, state]),
            ));
        }
    }

    fn checksum_errors(&self) -> u64 {
        self.netns.checksum_errors() + self.lab.node.checksum_errors()
    }

    /// Packets that came over the network between the nodes.
    fn arrived(&self) -> u64 {
        let link = &self.lab.node.json(&["-statistics", "link", "show", "outer"])[0];
        link["stats64"]["rx"]["packets"].as_u64().unwrap()
    }
}

fn nodes() -> (Node, Node) {
    let (a, b) = (Node::new(1), Node::new(2));
    let mut ip = Command::new(require("ip"));
    let link = format!(
        "-n {} link add outer type veth peer name outer netns {}",
        a.lab.node.name(),
        b.lab.node.name()
    );
    run(ip.args(link.split(' ')));
    for (node, number, other) in [(&a, 1, 2), (&b, 2, 1)] {
        node.lab.node.ip(&format!("link set outer mtu {OUTER_MTU} up"));
        node.tunnel(number, other);
    }
    a.route_to(&b);
    b.route_to(&a);
    let backend: SocketAddrV4 = format!("{}:8080", b.pod.ip).parse().unwrap();
    programs(&a.lab)
        .set_service_cidrs(&[SERVICES.parse().unwrap()])
        .unwrap();
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        service_of(&a.lab, "test", VIP, protocol, backend, false);
    }
    a.lab
        .eventually("the pods reach each other", || a.netns.pings(&b.pod.ip));
    (a, b)
}

/// A connection, and datagrams of all lengths that matter, there and back.
fn exchange(a: &Node, b: &Node, to: &str) {
    let server = b.netns.enter(|| TcpListener::bind("0.0.0.0:8080").unwrap());
    let client = dial(&a.netns, to).unwrap_or_else(|error| panic!("{to}: {error}"));
    let (served, peer) = server.accept().unwrap();
    assert_eq!(peer.ip().to_string(), a.pod.ip);
    assert_carries(&client, &served);

    let server = b.netns.enter(|| UdpSocket::bind("0.0.0.0:8080").unwrap());
    let client = a.netns.enter(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    }
    client.connect(to).unwrap();
    // At the MTU, one less and one more, and what needs many fragments.
    for length in [1, MTU - HEADERS - 1, MTU - HEADERS, MTU - HEADERS + 1, 6000] {
        let sent: Vec<u8> = (0..length).map(|n| u8::try_from(n % 251).unwrap()).collect();
        let peer =
            arrives(&server, &sent, || client.send(&sent)).unwrap_or_else(|e| panic!("{to}, {length} bytes: {e}"));
        arrives(&client, &sent, || server.send_to(&sent, peer))
            .unwrap_or_else(|e| panic!("{to}, {length} bytes back: {e}"));
    }
}

/// Sends a datagram until it is there; who sent it. A datagram whose later fragment overtakes the first is lost on its way through
/// a Service, and the first ones do so while a switch still asks what to do with them.
fn arrives(receiver: &UdpSocket, sent: &[u8], send: impl Fn() -> io::Result<usize>) -> io::Result<SocketAddr> {
    let mut data = vec![0; 65_536];
    for _ in 0..TRIES {
        send()?;
        // What was sent before, and again, may still be under way: each length is sent once.
        while let Ok((received, from)) = receiver.recv_from(&mut data) {
            if received == sent.len() {
                assert!(data[..received] == *sent, "{received} bytes are others");
                return Ok(from);
            }
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

#[test]
fn services_and_pods_of_two_nodes_reach_each_other_through_a_tunnel() {
    let (a, b) = nodes();
    let direct = format!("{}:8080", b.pod.ip);
    let before = (a.arrived(), b.arrived());
    // In user space a pod makes its checksums itself, and nothing else works; the daemon has set it so.
    // With the pod's on and the other's off, what the pod left out is made after the program has changed the packet.
    let states: &[_] = if is_userspace() {
        &[None]
    } else {
        &[Some(("on", "on")), Some(("on", "off")), Some(("off", "off"))]
    };
    for state in states {
        if let Some((pod, outer)) = state {
            [&a, &b].iter().for_each(|node| node.offloads(pod, outer));
        }
        for to in [VIP, &direct] {
            exchange(&a, &b, to);
        }
        assert_eq!(a.checksum_errors() + b.checksum_errors(), 0, "offloads {state:?}");
    }
    assert!(a.arrived() > before.0 + 20 && b.arrived() > before.1 + 20);
}
