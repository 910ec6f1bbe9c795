use rstest::rstest;

use super::*;

fn chosen(mut spec: Value, slices: &[EndpointSlice]) -> String {
    spec["clusterIP"] = json!("10.96.1.1");
    if spec["ports"].is_null() {
        spec["ports"] = json!([{"port": 80}]);
    }
    let mut cluster = cluster();
    cluster.namespace("t", Some("t"));
    cluster.port(&port("t", "p", "t", "10.244.0.9"));
    cluster.service(&service("t", "web", spec));
    slices.iter().for_each(|slice| cluster.slice(slice));
    shown(&settled(&mut cluster), "t", "10.96.1.1:80")
}

#[rstest]
#[case::ready(json!([{"addresses": ["10.244.0.1"], "conditions": {"ready": true}}]), "10.244.0.1:8080")]
#[case::unknown_counts_as_ready(json!([{"addresses": ["10.244.0.1"]}]), "10.244.0.1:8080")]
#[case::sorted_and_once(
    json!([{"addresses": ["10.244.0.2"]}, {"addresses": ["10.244.0.1"]}, {"addresses": ["10.244.0.2"]}]),
    "10.244.0.1:8080 10.244.0.2:8080")]
#[case::not_ready(json!([{"addresses": ["10.244.0.1"], "conditions": {"ready": false, "serving": false}}]), "")]
#[case::not_ready_but_serving_is_not_enough(
    json!([{"addresses": ["10.244.0.1"], "conditions": {"ready": false, "serving": true, "terminating": false}}]), "")]
#[case::terminating_only_when_nothing_is_ready(
    json!([{"addresses": ["10.244.0.1"], "conditions": {"ready": false, "serving": true, "terminating": true}},
           {"addresses": ["10.244.0.2"], "conditions": {"ready": true}}]), "10.244.0.2:8080")]
#[case::all_terminating(
    json!([{"addresses": ["10.244.0.1"], "conditions": {"ready": false, "serving": true, "terminating": true}},
           {"addresses": ["10.244.0.2"], "conditions": {"ready": false, "serving": false, "terminating": true}}]),
    "10.244.0.1:8080")]
#[case::published_although_not_ready(
    json!([{"addresses": ["10.244.0.1"], "conditions": {"ready": true, "serving": false, "terminating": true}}]),
    "10.244.0.1:8080")]
#[case::only_inside_the_network(
    json!([{"addresses": ["10.77.0.11"]}, {"addresses": ["169.254.77.1"]}, {"addresses": ["127.0.0.1"]},
           {"addresses": ["10.245.0.1"]}, {"addresses": ["10.244.255.1"]}]),
    "10.244.255.1:8080")]
#[case::not_an_address(json!([{"addresses": ["fd00::1"]}, {"addresses": []}]), "")]
fn conditions(#[case] endpoints: Value, #[case] expected: &str) {
    assert_eq!(chosen(json!({}), &[slice("t", "web", 8080, endpoints)]), expected);
}

fn hinted(address: &str, nodes: &[&str], zones: &[&str]) -> Value {
    let names = |names: &[&str]| names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>();
    json!({"addresses": [address], "hints": {"forNodes": names(nodes), "forZones": names(zones)}})
}

#[rstest]
#[case::own_zone(&[hinted("10.244.0.1", &[], &["z1"]), hinted("10.244.0.2", &[], &["z2"])], "10.244.0.1:8080")]
#[case::several_zones(&[hinted("10.244.0.1", &[], &["z2", "z1"]), hinted("10.244.0.2", &[], &["z2"])], "10.244.0.1:8080")]
#[case::zone_without_endpoints(&[hinted("10.244.0.2", &[], &["z2"])], "10.244.0.2:8080")]
#[case::one_without_hint(
    &[hinted("10.244.0.1", &[], &["z1"]), hinted("10.244.0.2", &[], &[])], "10.244.0.1:8080 10.244.0.2:8080")]
#[case::own_node(&[hinted("10.244.0.1", &[HERE], &["z1"]), hinted("10.244.0.2", &["other"], &["z1"])], "10.244.0.1:8080")]
#[case::node_without_endpoints_falls_back_to_the_zone(
    &[hinted("10.244.0.1", &["other"], &["z1"]), hinted("10.244.0.2", &["third"], &["z2"])], "10.244.0.1:8080")]
fn traffic_distribution(#[case] endpoints: &[Value], #[case] expected: &str) {
    assert_eq!(
        chosen(json!({}), &[slice("t", "web", 8080, json!(endpoints))]),
        expected
    );
}

#[rstest]
#[case::own_node(json!([{"addresses": ["10.244.0.1"], "nodeName": HERE}, {"addresses": ["10.244.0.2"], "nodeName": "other"}]),
    "10.244.0.1:8080")]
#[case::none_here(json!([{"addresses": ["10.244.0.2"], "nodeName": "other"}, {"addresses": ["10.244.0.3"]}]), "")]
#[case::terminating_here(
    json!([{"addresses": ["10.244.0.1"], "nodeName": HERE, "conditions": {"ready": false, "serving": true, "terminating": true}},
           {"addresses": ["10.244.0.2"], "nodeName": "other"}]), "10.244.0.1:8080")]
fn internal_traffic_policy_local(#[case] endpoints: Value, #[case] expected: &str) {
    let spec = json!({"internalTrafficPolicy": "Local"});
    assert_eq!(chosen(spec, &[slice("t", "web", 8080, endpoints)]), expected);
}

#[rstest]
#[case::by_name("TCP", "b", "10.244.0.1:9002")]
#[case::by_protocol("UDP", "b", "10.244.0.1:5353")]
#[case::sctp("SCTP", "c", "10.244.0.1:9999")]
#[case::unknown_name("TCP", "x", "")]
fn ports_meet_by_name_and_protocol(#[case] protocol: &str, #[case] name: &str, #[case] expected: &str) {
    let mut slice = slice("t", "web", 1, json!([{"addresses": ["10.244.0.1"]}]));
    let ports = json!([
        {"name": "a", "port": 9001, "protocol": "TCP"}, {"name": "b", "port": 9002, "protocol": "TCP"},
        {"name": "b", "port": 5353, "protocol": "UDP"}, {"name": "c", "port": 9999, "protocol": "SCTP"},
    ]);
    slice.ports = serde_json::from_value(ports).unwrap();
    let mut cluster = cluster();
    cluster.namespace("t", Some("t"));
    cluster.port(&port("t", "p", "t", "10.244.0.9"));
    let ports = json!([{"name": name, "port": 80, "protocol": protocol}]);
    cluster.service(&service("t", "web", json!({"clusterIP": "10.96.1.1", "ports": ports})));
    cluster.slice(&slice);
    assert_eq!(
        shown(&settled(&mut cluster), "t", &format!("10.96.1.1:80/{protocol}")),
        expected
    );
}

/// While pods of a Deployment with a named container port change it, slices with both numbers stand side by side.
#[test]
fn slices_with_different_numbers_add_up() {
    let mut other = slice("t", "web", 9090, json!([{"addresses": ["10.244.0.2"]}]));
    other.metadata.name = Some("web-2".into());
    let slices = [slice("t", "web", 8080, json!([{"addresses": ["10.244.0.1"]}])), other];
    assert_eq!(chosen(json!({}), &slices), "10.244.0.1:8080 10.244.0.2:9090");
}

#[rstest]
#[case(json!({}), None)]
#[case(json!({"sessionAffinity": "None"}), None)]
#[case(json!({"sessionAffinity": "ClientIP"}), Some(10_800))]
#[case(json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 30}}}), Some(30))]
fn session_affinity(#[case] mut spec: Value, #[case] expected: Option<u64>) {
    spec["clusterIP"] = json!("10.96.1.1");
    let affinity = ServiceRecord::read(&service("t", "web", spec)).unwrap().affinity;
    assert_eq!(affinity.map(|time| time.as_secs()), expected);
}

#[rstest]
#[case::headless(json!({"clusterIP": "None"}))]
#[case::external_name(json!({"type": "ExternalName", "externalName": "example.com"}))]
#[case::not_allocated(json!({}))]
#[case::ipv6_only(json!({"clusterIP": "fd00::1", "clusterIPs": ["fd00::1"], "ipFamilies": ["IPv6"]}))]
fn without_a_virtual_address(#[case] spec: Value) {
    assert_eq!(ServiceRecord::read(&service("t", "web", spec)), None);
}

#[test]
fn the_ipv4_address_of_two_is_used() {
    let spec =
        json!({"clusterIP": "fd00::1", "clusterIPs": ["fd00::1", "10.96.1.2"], "ipFamilyPolicy": "PreferDualStack"});
    let record = ServiceRecord::read(&service("t", "web", spec)).unwrap();
    assert_eq!(record.cluster_ip, Ipv4Addr::new(10, 96, 1, 2));
}

#[test]
fn another_proxys_service_is_left_alone() {
    let mut service = web("t", "10.96.1.1");
    service.metadata.labels = Some([("service.kubernetes.io/service-proxy-name".into(), "mesh".into())].into());
    assert_eq!(ServiceRecord::read(&service), None);
}
