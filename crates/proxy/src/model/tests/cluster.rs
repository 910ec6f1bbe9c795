use proptest::prelude::*;
use rstest::rstest;

use super::*;
use crate::program::Share;

#[test]
fn ports_times_endpoints_stop_at_the_share() {
    let mut cluster = cluster();
    cluster.namespace("t", Some("t"));
    cluster.port(&port("t", "p", "t", "10.244.0.9"));
    // 2 million backends, if each port had all of its own.
    let ports: Vec<_> = (1..=1000)
        .map(|n| json!({"name": format!("p{n}"), "port": n}))
        .collect();
    cluster.service(&service("t", "web", json!({"clusterIP": "10.96.1.1", "ports": ports})));
    for n in 0..2 {
        let endpoints =
            (0..1000).map(|i| json!({"addresses": [format!("10.244.{}.{}", 1 + 4 * n + i / 250, i % 250)]}));
        let mut slice = slice("t", "web", 80, endpoints.collect());
        slice.metadata.name = Some(format!("web-{n}"));
        slice.ports = serde_json::from_value(ports.clone().into()).unwrap();
        cluster.slice(&slice);
    }
    let desired = settled(&mut cluster);
    let of = |n| {
        desired
            .get("t", &vip(&format!("10.96.1.1:{n}")))
            .unwrap()
            .backends
            .len()
    };
    assert_eq!(of(1), 2000);
    // One more than may be, so that the writer sees that something is left out.
    assert_eq!((1..=1000).map(of).sum::<usize>(), Share::LIMIT.backends + 1);
    assert_eq!(of(1000), 0, "the address is still there, and refuses");
}

/// Two tenants with everything equal, and the administrator's namespace.
fn two_tenants() -> Cluster {
    let mut cluster = cluster();
    for tenant in ["a", "b"] {
        cluster.namespace(tenant, Some(tenant));
        cluster.port(&port(tenant, &format!("pod-{tenant}"), tenant, "10.244.0.5"));
    }
    cluster.namespace("kube-system", None);
    cluster.service(&web("a", "10.96.1.1"));
    cluster.service(&web("b", "10.96.1.2"));
    cluster.slice(&slice("a", "web", 80, json!([{"addresses": ["10.244.0.1"]}])));
    cluster.slice(&slice("b", "web", 80, json!([{"addresses": ["10.244.0.2"]}])));
    cluster
}

fn kubernetes(cluster: &mut Cluster) {
    let ports = json!([{"name": "https", "port": 443, "protocol": "TCP"}]);
    cluster.namespace("default", None);
    cluster.service(&service(
        "default",
        "kubernetes",
        json!({"clusterIP": "10.96.0.1", "ports": ports}),
    ));
    let mut slice = slice(
        "default",
        "kubernetes",
        6443,
        json!([{"addresses": ["10.77.0.11"]}, {"addresses": ["10.77.0.12"]}]),
    );
    slice.ports.as_mut().unwrap()[0].name = Some("https".into());
    cluster.slice(&slice);
}

#[test]
fn each_tenant_has_its_own_services_only() {
    let desired = settled(&mut two_tenants());
    assert_eq!(shown(&desired, "a", "10.96.1.1:80"), "10.244.0.1:80");
    assert_eq!(shown(&desired, "a", "10.96.1.2:80"), "none");
    assert_eq!(shown(&desired, "b", "10.96.1.2:80"), "10.244.0.2:80");
    assert_eq!(shown(&desired, "b", "10.96.1.1:80"), "none");
}

#[test]
fn every_network_has_dns_and_the_api_servers() {
    let mut cluster = two_tenants();
    kubernetes(&mut cluster);
    cluster.port(&port("kube-system", "pod-s", "stackube-system", "10.240.0.5"));
    let desired = settled(&mut cluster);
    for network in ["a", "b", "stackube-system"] {
        assert_eq!(shown(&desired, network, "10.96.0.10:53/UDP"), "host 169.254.77.1:53");
        assert_eq!(shown(&desired, network, "10.96.0.10:53/TCP"), "host 169.254.77.1:53");
        assert_eq!(
            shown(&desired, network, "10.96.0.1:443"),
            "host 10.77.0.11:6443 10.77.0.12:6443"
        );
    }
}

#[rstest]
#[case::dns("10.96.0.10:53/UDP", "10.96.0.10", json!([{"port": 53, "protocol": "UDP"}]), "host 169.254.77.1:53")]
#[case::api("10.96.0.1:443", "10.96.0.1", json!([{"port": 443}]), "host 10.77.0.11:6443 10.77.0.12:6443")]
fn nobody_takes_the_place_of_the_platform(
    #[case] at: &str,
    #[case] ip: &str,
    #[case] ports: Value,
    #[case] expected: &str,
) {
    let mut cluster = two_tenants();
    kubernetes(&mut cluster);
    cluster.service(&service("a", "aaa", json!({"clusterIP": ip, "ports": ports})));
    cluster.slice(&slice("a", "aaa", 1, json!([{"addresses": ["10.244.0.66"]}])));
    assert_eq!(shown(&settled(&mut cluster), "a", at), expected);
}

#[test]
fn a_namespace_whose_label_is_unknown_or_wrong_has_no_network() {
    let mut cluster = two_tenants();
    cluster.namespace("x", Some("a"));
    cluster.service(&web("x", "10.96.9.1"));
    cluster.service(&web("unknown", "10.96.9.2"));
    cluster.port(&port("kube-system", "pod-s", "stackube-system", "10.240.0.5"));
    let desired = settled(&mut cluster);
    for network in ["a", "stackube-system"] {
        assert_eq!(shown(&desired, network, "10.96.9.1:80"), "none");
        assert_eq!(shown(&desired, network, "10.96.9.2:80"), "none");
    }
}

#[test]
fn a_shared_service_is_passed_on_in_the_networks_of_others_and_real_in_its_own() {
    let names = ["default/registry", "a/web"].map(|name| name.split_once('/').unwrap());
    let mut cluster = two_tenants().sharing(names.map(|(namespace, name)| ObjectName::new(namespace, name)).into());
    cluster.namespace("default", None);
    cluster.port(&port("default", "pod-s", "stackube-system", "10.240.0.5"));
    let ports = json!([{"name": "tcp", "port": 5000}, {"name": "sctp", "port": 5001, "protocol": "SCTP"}]);
    let mut desired = settled(&mut cluster);
    assert_eq!(shown(&desired, "a", "10.96.7.7:5000"), "none");
    cluster.service(&service(
        "default",
        "registry",
        json!({"clusterIP": "10.96.7.7", "ports": ports}),
    ));
    cluster.service(&service(
        "default",
        "other",
        json!({"clusterIP": "10.96.7.8", "ports": [{"port": 80}]}),
    ));
    let dirty = cluster.take_dirty();
    desired.update(&cluster, &dirty);
    let mut anew = Desired::default();
    let networks = Dirty {
        networks: true,
        ..Dirty::default()
    };
    anew.update(&cluster, &networks);
    for desired in [&desired, &anew] {
        for network in ["a", "b"] {
            assert_eq!(shown(desired, network, "10.96.7.7:5000"), "host 10.96.7.7:5000");
            assert_eq!(shown(desired, network, "10.96.7.7:5001/SCTP"), "none");
            assert_eq!(shown(desired, network, "10.96.7.8:80"), "none", "not on the list");
        }
        assert_eq!(shown(desired, "stackube-system", "10.96.7.7:5000"), "");
        // A tenant's Service is nobody else's, whatever the list says.
        assert_eq!(shown(desired, "b", "10.96.1.1:80"), "none");
    }
    cluster.service_gone(&ObjectName::new("default", "registry"));
    let dirty = cluster.take_dirty();
    desired.update(&cluster, &dirty);
    assert_eq!(shown(&desired, "a", "10.96.7.7:5000"), "none");
}

#[rstest]
#[case::node("kube-system", "10.240.0.5", 80, json!([{"addresses": ["10.77.0.11"], "nodeName": "n1"}, {"addresses": ["10.77.0.12"], "nodeName": "n2"}]), "host 10.77.0.11:4443 10.77.0.12:4443")]
#[case::pods_first("kube-system", "10.240.0.5", 80, json!([{"addresses": ["10.77.0.11"], "nodeName": "n1"}, {"addresses": ["10.240.0.6"], "nodeName": "n2"}]), "10.240.0.6:4443")]
#[case::not_ready("kube-system", "10.240.0.5", 80, json!([{"addresses": ["10.77.0.11"], "nodeName": "n1", "conditions": {"ready": false}}]), "")]
#[case::by_hand("kube-system", "10.240.0.5", 80, json!([{"addresses": ["10.77.0.11"]}]), "")]
#[case::a_tenants("a", "10.244.0.5", 80, json!([{"addresses": ["10.77.0.11"], "nodeName": "n1"}]), "")]
#[case::not_over_the_link("kube-system", "10.240.0.5", 81, json!([{"addresses": ["10.77.0.11"], "nodeName": "n1"}]), "")]
fn services_of_the_system_network_may_lead_to_nodes(
    #[case] namespace: &str,
    #[case] pod: &str,
    #[case] at: u16,
    #[case] endpoints: Value,
    #[case] expected: &str,
) {
    let mut cluster = two_tenants();
    cluster.namespace("kube-system", None);
    let network = if namespace == "a" { "a" } else { "stackube-system" };
    cluster.port(&port(namespace, "pod-s", network, pod));
    let ports = json!([{"name": "tcp", "port": 80}, {"name": "sctp", "port": 81, "protocol": "SCTP"}]);
    cluster.service(&service(
        namespace,
        "metrics",
        json!({"clusterIP": "10.96.7.9", "ports": ports}),
    ));
    let mut slice = slice(namespace, "metrics", 4443, endpoints);
    slice.ports = serde_json::from_value(json!([
        {"name": "tcp", "port": 4443, "protocol": "TCP"}, {"name": "sctp", "port": 4444, "protocol": "SCTP"}]))
    .unwrap();
    cluster.slice(&slice);
    let protocol = if at == 81 { "SCTP" } else { "TCP" };
    let desired = settled(&mut cluster);
    assert_eq!(
        shown(&desired, network, &format!("10.96.7.9:{at}/{protocol}")),
        expected
    );
}

#[test]
fn networks_come_and_go_with_their_ports() {
    let mut cluster = two_tenants();
    let mut desired = Desired::default();
    let mut step = |cluster: &mut Cluster| {
        let dirty = cluster.take_dirty();
        desired.update(cluster, &dirty)
    };
    let first = step(&mut cluster);
    assert_eq!((first.added.len(), first.removed.len(), first.touched.len()), (2, 0, 0));
    cluster.port(&port("a", "second", "a", "10.244.0.6"));
    assert_eq!(step(&mut cluster), Update::default());
    cluster.port_gone(&ObjectName::new("a", "pod-a"));
    assert_eq!(step(&mut cluster), Update::default());
    cluster.port_gone(&ObjectName::new("a", "second"));
    let last = step(&mut cluster);
    assert_eq!((last.removed, last.added.len()), (["a".to_owned()].into(), 0));
    // A Port that has no address yet brings nothing: its network's range is not known.
    let mut waiting = port("a", "third", "a", "10.244.0.7");
    waiting.status = None;
    cluster.port(&waiting);
    assert_eq!(step(&mut cluster), Update::default());
}

#[test]
fn one_changed_endpoint_touches_one_address() {
    let mut cluster = two_tenants();
    let mut desired = settled(&mut cluster);
    cluster.slice(&slice("a", "web", 80, json!([{"addresses": ["10.244.0.7"]}])));
    let dirty = cluster.take_dirty();
    let update = desired.update(&cluster, &dirty);
    assert_eq!(update.touched, [("a".to_owned(), vip("10.96.1.1:80"))].into());
    assert_eq!(shown(&desired, "a", "10.96.1.1:80"), "10.244.0.7:80");
    // The same again is no change.
    cluster.slice(&slice("a", "web", 80, json!([{"addresses": ["10.244.0.7"]}])));
    assert_eq!(cluster.take_dirty(), Dirty::default());
}

#[rstest]
#[case::vip(json!([{"ip": "172.24.4.50", "ipMode": "VIP"}]), json!({}), "10.244.0.1:80")]
#[case::default_mode(json!([{"ip": "172.24.4.50"}]), json!({}), "10.244.0.1:80")]
#[case::proxy(json!([{"ip": "172.24.4.50", "ipMode": "Proxy"}]), json!({}), "none")]
#[case::ranges_are_kept_by_the_balancer(
    json!([{"ip": "172.24.4.50"}]), json!({"loadBalancerSourceRanges": ["192.0.2.0/24"]}), "none")]
#[case::not_inside_of_the_network(json!([{"ip": "10.244.0.50"}]), json!({}), "none")]
fn a_load_balancers_address(#[case] ingress: Value, #[case] more: Value, #[case] expected: &str) {
    let mut cluster = two_tenants();
    let mut spec = json!({"type": "LoadBalancer", "clusterIP": "10.96.1.1", "ports": [{"port": 80}], "internalTrafficPolicy": "Local"});
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut web = service("a", "web", spec);
    web.status = serde_json::from_value(json!({"loadBalancer": {"ingress": ingress}})).unwrap();
    cluster.service(&web);
    let at = format!("{}:80", ingress[0]["ip"].as_str().unwrap());
    let desired = settled(&mut cluster);
    assert_eq!(shown(&desired, "a", &at), expected);
    // The cluster IP keeps its own policy: no endpoint is on this node.
    assert_eq!(shown(&desired, "a", "10.96.1.1:80"), "");
}

#[test]
fn service_ranges_add_up() {
    let mut cluster = cluster();
    cluster.service_range("kubernetes", &["10.96.0.0/12".into(), "fd00::/108".into()]);
    cluster.service_range("more", &["10.200.0.0/24".into()]);
    assert!(cluster.take_dirty().ranges);
    assert_eq!(cluster.service_ranges().len(), 2);
    cluster.service_range_gone("more");
    assert_eq!(cluster.service_ranges(), ["10.96.0.0/12".parse().unwrap()].into());
}

#[derive(Clone, Debug)]
enum Step {
    Service(u8, u8),
    NoService(u8),
    Slice(u8, u8, Vec<u8>),
    NoSlice(u8, u8),
    Port(u8),
    NoPort(u8),
    Namespace(u8, bool),
    NoNamespace(u8),
    Zone(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..6u8, 0..4u8).prop_map(|(s, ip)| Step::Service(s, ip)),
        (0..6u8).prop_map(Step::NoService),
        (0..6u8, 0..2u8, prop::collection::vec(0..5u8, 0..4)).prop_map(|(s, n, e)| Step::Slice(s, n, e)),
        (0..6u8, 0..2u8).prop_map(|(s, n)| Step::NoSlice(s, n)),
        (0..4u8).prop_map(Step::Port),
        (0..4u8).prop_map(Step::NoPort),
        (0..3u8, any::<bool>()).prop_map(|(n, label)| Step::Namespace(n, label)),
        (0..3u8).prop_map(Step::NoNamespace),
        any::<bool>().prop_map(Step::Zone),
    ];
    prop::collection::vec(step, 1..60)
}

fn apply(cluster: &mut Cluster, step: &Step) {
    let namespace = |n: u8| format!("ns{}", n % 3);
    let slice_of = |s: u8, n: u8, endpoints: &[u8]| {
        let endpoints: Vec<Value> = endpoints
            .iter()
            .map(|e| json!({"addresses": [format!("10.244.0.{e}")], "hints": {"forZones": [{"name": if e % 2 == 0 {"z1"} else {"z2"}}]}}))
            .collect();
        let mut slice = slice(&namespace(s), &format!("s{}", s / 3), 80, json!(endpoints));
        slice.metadata.name = Some(format!("slice{}-{n}", s / 3));
        slice
    };
    match step {
        Step::Service(s, ip) => {
            let spec = json!({"clusterIP": format!("10.96.1.{ip}"), "ports": [{"port": 80}]});
            cluster.service(&service(&namespace(*s), &format!("s{}", s / 3), spec));
        }
        Step::NoService(s) => cluster.service_gone(&ObjectName::new(namespace(*s), format!("s{}", s / 3))),
        Step::Slice(s, n, endpoints) => cluster.slice(&slice_of(*s, *n, endpoints)),
        Step::NoSlice(s, n) => cluster.slice_gone(&ObjectName::new(namespace(*s), format!("slice{}-{n}", s / 3))),
        Step::Port(n) => cluster.port(&port(&namespace(*n), &format!("p{n}"), &namespace(*n), "10.244.0.9")),
        Step::NoPort(n) => cluster.port_gone(&ObjectName::new(namespace(*n), format!("p{n}"))),
        Step::Namespace(n, label) => cluster.namespace(&namespace(*n), label.then(|| namespace(*n)).as_deref()),
        Step::NoNamespace(n) => cluster.namespace_gone(&namespace(*n)),
        Step::Zone(first) => cluster.zone(Some(if *first { "z1" } else { "z2" })),
    }
}

proptest! {
    /// Whatever happens in whatever order, step by step comes to the same as all at once, and what was not touched is as before.
    #[test]
    fn incremental_equals_from_scratch(steps in steps(), pause in 1..5usize) {
        let mut cluster = cluster();
        let mut desired = Desired::default();
        let contents = |d: &Desired| -> std::collections::BTreeMap<(String, Vip), Target> {
            let all = d.networks().flat_map(|n| d.vips(n).into_iter().map(move |vip| (n.clone(), vip)));
            all.map(|(n, vip)| { let target = d.get(&n, &vip).unwrap().as_ref().clone(); ((n, vip), target) }).collect()
        };
        for chunk in steps.chunks(pause) {
            chunk.iter().for_each(|step| apply(&mut cluster, step));
            let before = contents(&desired);
            let dirty = cluster.take_dirty();
            let update = desired.update(&cluster, &dirty);
            let mut fresh = Desired::default();
            fresh.update(&cluster, &Dirty { networks: true, ..Dirty::default() });
            let after = contents(&desired);
            prop_assert_eq!(&after, &contents(&fresh));
            for key in before.keys().chain(after.keys()) {
                let said = update.touched.contains(key) || update.added.contains(&key.0) || update.removed.contains(&key.0);
                prop_assert!(said || before.get(key) == after.get(key), "{:?} changed without a word", key);
            }
        }
    }
}
