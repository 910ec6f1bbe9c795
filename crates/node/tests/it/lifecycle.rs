//! A pod's network from ADD to DEL.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use stackube_node::link::host_name;

use crate::lab::namespace::Namespace;
use crate::lab::{Lab, Pod, attachment};

#[test]
fn a_pod_gets_what_its_port_says() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    let result = lab.add("c1", &pod, &netns).ok();

    let device = host_name(&attachment("c1"));
    let netns_path = netns.path().display().to_string();
    assert_eq!(
        result,
        json!({
            "cniVersion": "1.1.0",
            "interfaces": [
                {"name": device, "mtu": 1442},
                {"name": "eth0", "mac": "fa:16:3e:00:00:0b", "mtu": 1442, "sandbox": netns_path},
            ],
            "ips": [{"interface": 1, "address": "10.244.0.11/16", "gateway": "10.244.0.1"}],
            "routes": [{"dst": "0.0.0.0/0", "gw": "10.244.0.1"}],
        })
    );
    assert_pod_side(&netns);
    assert_host_side(&lab, &pod, &device);

    lab.check("c1", &pod, &netns, &result).ok();
    lab.status().ok();
    lab.del("c1", Some(&pod), Some(&netns)).ok();
    lab.assert_empty();
    let left = netns.json(&["link", "show"]);
    assert!(
        left.as_array().unwrap().iter().all(|link| link["ifname"] != "eth0"),
        "{left}"
    );
    lab.del("c1", Some(&pod), Some(&netns)).ok();
}

fn assert_pod_side(netns: &Namespace) {
    let link = &netns.json(&["-details", "link", "show", "eth0"])[0];
    assert_eq!(link["address"], "fa:16:3e:00:00:0b");
    assert_eq!(link["mtu"], 1442);
    assert_eq!(link["inet6_addr_gen_mode"], "none");
    assert!(flags(link).contains(&"UP".to_owned()));
    assert!(flags(&netns.json(&["link", "show", "lo"])[0]).contains(&"UP".to_owned()));
    let addresses = netns.json(&["address", "show", "eth0"]);
    let addresses: Vec<_> = addresses[0]["addr_info"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| &a["local"])
        .collect();
    assert_eq!(addresses, [&json!("10.244.0.11")], "one address, and none of IPv6");
    let default = &netns.json(&["route", "show", "default"])[0];
    assert_eq!(default["gateway"], "10.244.0.1");
    assert_eq!(default["dev"], "eth0");
}

fn assert_host_side(lab: &Lab, pod: &Pod, device: &str) {
    let host = &lab.node.json(&["-details", "link", "show", device])[0];
    assert_eq!(host["mtu"], 1442);
    assert_eq!(host["inet6_addr_gen_mode"], "none");
    for flag in ["UP", "NOARP"] {
        assert!(flags(host).contains(&flag.to_owned()), "{flag} is missing: {host}");
    }
    assert!(host["ifalias"].as_str().unwrap().contains(&pod.uid));
    let addresses = &lab.node.json(&["address", "show", device])[0]["addr_info"];
    assert_eq!(addresses, &json!([]), "the host has no address on a pod's device");

    let records = lab.ovs.records();
    let record = records.iter().find(|r| r.device == device).unwrap();
    assert_eq!(record.iface_id.as_deref(), Some(pod.port_id.as_str()));
    assert_eq!(record.mac, Some(pod.mac()));
    assert!(record.installed && record.ofport.unwrap() > 0);
}

fn flags(link: &Value) -> Vec<String> {
    serde_json::from_value(link["flags"].clone()).unwrap()
}

#[test]
fn pods_exchange_data() {
    let lab = Lab::new();
    let (a, b) = (Pod::number(1), Pod::number(2));
    let (a_netns, b_netns) = (lab.pod_namespace("a"), lab.pod_namespace("b"));
    for (container, pod, netns) in [("ca", &a, &a_netns), ("cb", &b, &b_netns)] {
        lab.api.put(pod.port());
        lab.add(container, pod, netns).ok();
    }
    lab.eventually("the pods reach each other", || a_netns.pings(&b.ip));
    // TCP: with checksums left to the kernel it would never connect.
    let listener = b_netns.enter(|| TcpListener::bind((b.ip.as_str(), 8080)).unwrap());
    let sent: Vec<u8> = (0..200_000u32).map(|n| n.to_le_bytes()[0]).collect();
    let received = std::thread::scope(|scope| {
        scope.spawn(|| listener.accept().unwrap().0.write_all(&sent).unwrap());
        a_netns.enter(|| {
            let address = format!("{}:8080", b.ip).parse().unwrap();
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let mut received = vec![];
            stream.read_to_end(&mut received).unwrap();
            received
        })
    });
    assert!(received == sent, "{} of {} bytes", received.len(), sent.len());
}

#[test]
fn a_repeated_add_changes_nothing() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    let first = lab.add("c1", &pod, &netns).ok();
    let index = |netns: &Namespace| netns.json(&["link", "show", "eth0"])[0]["ifindex"].clone();
    let before = (index(&netns), lab.ovs.records());
    let second = lab.add("c1", &pod, &netns).ok();
    assert_eq!(first, second);
    assert_eq!(before, (index(&netns), lab.ovs.records()));
}

#[test]
fn a_repeated_add_mends_what_is_broken() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    let first = lab.add("c1", &pod, &netns).ok();
    netns.ip("address flush dev eth0");
    let second = lab.add("c1", &pod, &netns).ok();
    assert_eq!(first, second);
    lab.check("c1", &pod, &netns, &second).ok();
    assert_eq!((lab.plugged().len(), lab.devices().len()), (1, 1));
}

#[test]
fn check_says_what_differs() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    let result = lab.add("c1", &pod, &netns).ok();
    let device = host_name(&attachment("c1"));
    let expect = |difference: &str| {
        let (code, text) = lab.check("c1", &pod, &netns, &result).error();
        assert_eq!(code, 101);
        assert!(text.contains(difference), "{text:?} does not say {difference:?}");
    };
    netns.ip("link set eth0 mtu 1000");
    expect("the MTU of eth0 is not 1442");
    netns.ip("link set eth0 mtu 1442");
    netns.ip("route delete default");
    expect("the default route is not through 10.244.0.1");
    netns.ip("route add default via 10.244.0.1 dev eth0");
    lab.check("c1", &pod, &netns, &result).ok();
    netns.ip("address delete 10.244.0.11/16 dev eth0");
    expect("eth0 does not have the address 10.244.0.11/16");
    netns.ip("address add 10.244.0.11/16 dev eth0");
    netns.ip("link set eth0 address fa:16:3e:00:00:99");
    expect("eth0 has another MAC address");
    netns.ip("link set eth0 address fa:16:3e:00:00:0b");
    lab.node.ip(&format!("link set {device} down"));
    expect("is down");
    lab.node.ip(&format!("link set {device} up"));
    let mut wrong = result.clone();
    wrong["ips"][0]["address"] = json!("10.244.0.99/16");
    assert!(
        lab.check("c1", &pod, &netns, &wrong)
            .error()
            .1
            .contains("another address")
    );
    lab.ovs.vsctl(&format!("--no-wait del-port br-int {device}"));
    expect("the pod is not on the bridge");
}

#[test]
fn del_needs_neither_namespace_nor_pod_nor_previous_result() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    lab.add("c1", &pod, &netns).ok();
    drop(netns);
    lab.eventually("the device goes with its namespace", || lab.devices().is_empty());
    lab.del("c1", None, None).ok();
    lab.assert_empty();
}

#[test]
fn an_old_sandbox_cannot_take_down_a_newer_one() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let (old, new) = (lab.pod_namespace("old"), lab.pod_namespace("new"));
    lab.api.put(pod.port());
    lab.add("old", &pod, &old).ok();
    let result = lab.add("new", &pod, &new).ok();
    // One row with the logical port: OVN would ignore the second.
    assert_eq!(lab.plugged(), ["new"]);
    lab.del("old", Some(&pod), Some(&old)).ok();
    assert_eq!(
        (lab.plugged(), lab.devices()),
        (vec!["new".to_owned()], vec![host_name(&attachment("new"))])
    );
    lab.check("new", &pod, &new, &result).ok();
}

#[test]
fn thirty_pods_at_once() {
    let lab = Lab::new();
    let pods: Vec<_> = (1..=30)
        .map(|n| (Pod::number(n), lab.pod_namespace(&format!("p{n}")), format!("c{n}")))
        .collect();
    let calls: Vec<_> = pods
        .iter()
        .map(|(pod, netns, container)| lab.start_add(container, pod, netns))
        .collect();
    pods.iter().for_each(|(pod, ..)| lab.api.put(pod.port()));
    calls.into_iter().for_each(|call| drop(call.answer().ok()));
    assert_eq!((lab.plugged().len(), lab.devices().len()), (30, 30));
    let metrics = lab.http("/metrics");
    assert!(metrics.contains("kubestack_sandboxes 30"), "{metrics}");
    assert!(
        metrics.contains(r#"kubestack_cni_calls_total{command="ADD",code="0"} 30"#),
        "{metrics}"
    );
}
