//! Nothing passes between a pod and the host's IP stack.

use std::process::Command;

use stackube_node::link::host_name;

use crate::lab::namespace::Namespace;
use crate::lab::ovs::is_userspace;
use crate::lab::{Lab, Pod, attachment, require, run};

/// A node that would route: it has an address, forwards, and has somewhere to forward to.
struct Routing {
    lab: Lab,
    pod: Pod,
    netns: Namespace,
    outside: Namespace,
    device: String,
}

/// Addresses of the node, and of somebody behind it (both of TEST-NET-1, in namespaces without a way out).
const NODE_ADDRESS: &str = "192.0.2.1";
const OUTSIDE_ADDRESS: &str = "192.0.2.2";

fn routing() -> Routing {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let (netns, outside) = (lab.pod_namespace("a"), lab.pod_namespace("out"));
    lab.api.put(pod.port());
    lab.add("c1", &pod, &netns).ok();
    lab.node.ip(&format!(
        "link add wire type veth peer name wire netns {}",
        outside.name()
    ));
    lab.node.ip("link set wire up");
    lab.node.ip(&format!("address add {NODE_ADDRESS}/24 dev wire"));
    outside.ip("link set wire up");
    outside.ip(&format!("address add {OUTSIDE_ADDRESS}/24 dev wire"));
    outside.ip(&format!("route add {}/32 via {NODE_ADDRESS}", pod.ip));
    lab.node.enter(|| {
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        for device in ["all", "default", "wire", &host_name(&attachment("c1"))] {
            std::fs::write(format!("/proc/sys/net/ipv4/conf/{device}/rp_filter"), "0").unwrap();
        }
    });
    let device = host_name(&attachment("c1"));
    // The pod sends straight to the MAC address of the host's end, past Open vSwitch.
    let mac = lab.node.json(&["link", "show", &device])[0]["address"]
        .as_str()
        .unwrap()
        .to_owned();
    netns.ip(&format!("neigh replace 10.244.0.1 lladdr {mac} dev eth0"));
    // And the host has what it would need to send to the pod.
    lab.node.ip(&format!("route add {}/32 dev {device}", pod.ip));
    lab.node
        .ip(&format!("neigh replace {} lladdr {} dev {device}", pod.ip, pod.mac()));
    Routing {
        lab,
        pod,
        netns,
        outside,
        device,
    }
}

fn nft(netns: &Namespace, arguments: &str) -> String {
    let mut command: Command = netns.command(&require("nft"));
    run(command.args(arguments.split(' ')))
}

#[test]
fn a_pod_that_sends_to_the_hosts_mac_address_reaches_nothing() {
    let r = routing();
    assert!(!r.netns.pings(NODE_ADDRESS), "the pod reached the node");
    assert!(!r.netns.pings(OUTSIDE_ADDRESS), "the node routed for the pod");
    assert!(!r.lab.node.pings(&r.pod.ip), "the node reached the pod");
    assert!(!r.outside.pings(&r.pod.ip), "the node routed to the pod");
    // Each rule has dropped something, unless the kernel's datapath took the pod's frames before the host's IP stack saw them.
    let idle = |chain: &str| {
        let rules = nft(&r.lab.node, &format!("list chain inet stackube-kubestack {chain}"));
        assert!(rules.contains("sk*\" counter packets"), "{rules}");
        rules.contains("sk*\" counter packets 0 ")
    };
    assert!(!idle("postrouting"), "nothing of the host's came to the table");
    assert_eq!(idle("prerouting"), !is_userspace());
    if !is_userspace() {
        return;
    }
    // All this is due to the table (and to the programs): without them every way is open. (What is measured above can be
    // measured.)
    r.lab.kill_daemon();
    r.lab.remove_programs();
    nft(&r.lab.node, "delete table inet stackube-kubestack");
    // The kernel takes programs off a moment after their pins.
    r.lab.eventually("every way is open", || {
        r.netns.pings(NODE_ADDRESS)
            && r.netns.pings(OUTSIDE_ADDRESS)
            && r.lab.node.pings(&r.pod.ip)
            && r.outside.pings(&r.pod.ip)
    });
}

#[test]
fn the_host_does_not_answer_arp_from_a_pod() {
    let r = routing();
    let ask = |netns: &Namespace| {
        let mut arping = netns.command(&require("arping"));
        arping.args(["-c", "2", "-w", "2", "-I", "eth0", NODE_ADDRESS]);
        arping.output().unwrap().status.success()
    };
    assert!(!ask(&r.netns), "the host answered");
    if !is_userspace() {
        return;
    }
    r.lab.node.ip(&format!("link set {} arp on", r.device));
    assert!(ask(&r.netns), "with ARP on it would answer: the question is a good one");
}

#[test]
fn a_table_that_was_removed_or_changed_comes_back() {
    let lab = Lab::new();
    let table = || nft(&lab.node, "--stateless list table inet stackube-kubestack");
    let good = table();
    assert!(
        good.contains("iifname \"sk*\" counter drop comment \"from a pod to the host\""),
        "{good}"
    );
    let is_good = || nft(&lab.node, "--stateless list ruleset") == good;
    let changes = [
        "flush ruleset",
        "delete table inet stackube-kubestack",
        "flush chain inet stackube-kubestack forward",
        "insert rule inet stackube-kubestack prerouting accept",
        "add table inet stackube-kubestack { flags dormant; }",
    ];
    for (restored, change) in (1..).zip(changes) {
        nft(&lab.node, change);
        let counted = format!("kubestack_firewall_restored_total {restored}\n");
        lab.eventually(&format!("the table comes back after {change:?}"), || {
            lab.http("/metrics").contains(&counted) && is_good()
        });
    }
}

#[test]
fn tables_of_others_are_left_alone() {
    let lab = Lab::new();
    nft(&lab.node, "add table inet other");
    nft(&lab.node, "flush chain inet stackube-kubestack forward");
    lab.eventually("the table comes back", || {
        nft(&lab.node, "list chain inet stackube-kubestack forward").contains("drop")
    });
    nft(&lab.node, "list table inet other");
}
