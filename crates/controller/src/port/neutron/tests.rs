//! What is adopted, repaired, thrown away and refused.

use rstest::rstest;
use serde_json::{Value, json};
use stackube_api::address::{AddressRules, Subnet};

use super::*;
use crate::port::NetworkKey;

const HOST: &str = "n1.example";

fn target() -> Target {
    Target {
        key: NetworkKey {
            namespace: "test".into(),
            name: "test".into(),
        },
        project: "project".parse().unwrap(),
        network: "network".parse().unwrap(),
        subnet: "subnet".parse().unwrap(),
        group: "group".parse().unwrap(),
        range: Subnet::new("10.244.0.0/16", None, &AddressRules::default()).unwrap(),
        mtu: 1442,
    }
}

fn identity() -> Identity {
    Identity {
        cluster: "c-1".into(),
        uid: "u-1".into(),
        name: "kube-test-web".into(),
    }
}

fn port(change: &Value) -> NeutronPort {
    let mut port = json!({
        "id": "p-1", "name": "kube-test-web", "project_id": "project", "network_id": "network", "status": "DOWN",
        "mac_address": "fa:16:3e:00:00:01", "fixed_ips": [{"subnet_id": "subnet", "ip_address": "10.244.0.7"}],
        "security_groups": ["group"], "device_owner": "compute:stackube", "device_id": "u-1", "admin_state_up": true,
        "port_security_enabled": true, "allowed_address_pairs": [], "binding:host_id": HOST, "binding:vif_type": "ovs",
        "tags": ["stackube-cluster=c-1", "stackube-owner=u-1"], "description": "u-1", "revision_number": 3,
    });
    for (name, value) in change.as_object().unwrap() {
        port[name] = value.clone();
    }
    serde_json::from_value(port).unwrap()
}

fn settled(found: Vec<NeutronPort>) -> Settlement {
    settle(found, &identity(), &target(), HOST)
}

#[test]
fn the_request_carries_all_that_tells_whose_the_port_is() {
    let request = serde_json::to_value(create_request(
        &identity(),
        &target(),
        HOST,
        "10.244.0.7".parse().unwrap(),
    ));
    assert_eq!(
        request.unwrap(),
        json!({
            "project_id": "project", "network_id": "network", "name": "kube-test-web", "description": "u-1",
            "tags": ["stackube-cluster=c-1", "stackube-owner=u-1"],
            "fixed_ips": [{"subnet_id": "subnet", "ip_address": "10.244.0.7"}], "security_groups": ["group"],
            "device_owner": "compute:stackube", "device_id": "u-1", "admin_state_up": true, "binding:host_id": HOST,
        })
    );
}

#[test]
fn a_port_that_is_as_made_is_used_as_it_is() {
    let Settlement::Use { ip, change, .. } = settled(vec![port(&json!({}))]) else {
        panic!("not used")
    };
    assert_eq!((ip.to_string().as_str(), change), ("10.244.0.7", None));
}

#[test]
fn nothing_found_means_to_make_one() {
    assert_eq!(settled(vec![]), Settlement::Make);
}

#[rstest]
#[case::other_project(json!({"project_id": "other"}))]
#[case::no_project(json!({"project_id": ""}))]
#[case::other_network(json!({"network_id": "other"}))]
#[case::not_a_pods(json!({"device_owner": "compute:nova"}))]
#[case::other_pod(json!({"device_id": "u-2"}))]
#[case::description_of_another(json!({"description": "u-2"}))]
fn a_port_that_only_claims_to_be_the_pods_is_passed_over(#[case] change: Value) {
    assert_eq!(settled(vec![port(&change)]), Settlement::Make);
    let both = settled(vec![port(&json!({})), port(&change)]);
    assert!(matches!(both, Settlement::Use { port, .. } if port.project_id == Some(target().project)));
}

#[test]
fn two_that_match_are_refused_whatever_their_order() {
    let (a, b) = (port(&json!({})), port(&json!({"id": "p-2"})));
    let refused = Settlement::Refuse {
        ids: vec!["p-1".into(), "p-2".into()],
    };
    assert_eq!(settled(vec![a.clone(), b.clone()]), refused);
    assert_eq!(settled(vec![b, a]), refused);
}

#[rstest]
#[case::no_address(json!([]))]
#[case::outside(json!([{"subnet_id": "subnet", "ip_address": "10.245.0.7"}]))]
#[case::other_subnet(json!([{"subnet_id": "other", "ip_address": "10.244.0.7"}]))]
#[case::the_gateway(json!([{"subnet_id": "subnet", "ip_address": "10.244.0.1"}]))]
#[case::ipv6(json!([{"subnet_id": "subnet", "ip_address": "fd00::7"}]))]
#[case::two(json!([{"subnet_id": "subnet", "ip_address": "10.244.0.7"}, {"subnet_id": "subnet", "ip_address": "10.244.0.8"}]))]
fn a_port_with_unusable_addresses_is_discarded(#[case] fixed_ips: Value) {
    let found = settled(vec![port(&json!({"fixed_ips": fixed_ips}))]);
    assert!(matches!(found, Settlement::Discard { .. }), "{found:?}");
}

#[rstest]
#[case::group(json!({"security_groups": []}), json!({"security_groups": ["group"]}))]
#[case::extra_group(json!({"security_groups": ["group", "open"]}), json!({"security_groups": ["group"]}))]
#[case::port_security(json!({"port_security_enabled": false}), json!({"port_security_enabled": true}))]
#[case::address_pairs(
    json!({"allowed_address_pairs": [{"ip_address": "0.0.0.0/0"}]}), json!({"allowed_address_pairs": []})
)]
#[case::switched_off(json!({"admin_state_up": false}), json!({"admin_state_up": true}))]
#[case::other_host(json!({"binding:host_id": "n2.example"}), json!({"binding:host_id": HOST}))]
#[case::failed(json!({"binding:vif_type": "binding_failed"}), json!({"binding:host_id": HOST}))]
#[case::unbound(json!({"binding:vif_type": "unbound", "binding:host_id": ""}), json!({"binding:host_id": HOST}))]
fn what_has_drifted_is_put_right_and_nothing_else(#[case] change: Value, #[case] repair: Value) {
    let Settlement::Use {
        change: Some(update), ..
    } = settled(vec![port(&change)])
    else {
        panic!("no repair")
    };
    assert_eq!(serde_json::to_value(update).unwrap(), repair);
}

#[test]
fn a_live_ports_address_and_owner_are_put_back() {
    let changed = port(&json!({
        "fixed_ips": [{"subnet_id": "subnet", "ip_address": "10.244.0.8"}], "device_id": "", "description": "mine",
        "device_owner": "",
    }));
    let repair = differences(&changed, &identity(), &target(), HOST, "10.244.0.7".parse().unwrap()).unwrap();
    assert_eq!(
        serde_json::to_value(repair).unwrap(),
        json!({
            "fixed_ips": [{"subnet_id": "subnet", "ip_address": "10.244.0.7"}], "device_id": "u-1",
            "description": "u-1", "device_owner": "compute:stackube",
        })
    );
}

#[test]
fn a_failed_binding_names_the_host() {
    let problem = binding_problem(&port(&json!({"binding:vif_type": "binding_failed"})), HOST).unwrap();
    assert!(
        problem.contains("\"n1.example\"") && problem.contains("network agent list"),
        "{problem}"
    );
}

#[test]
fn long_names_are_cut_to_neutrons_limit() {
    let spec = serde_json::from_value(json!({"podName": "p".repeat(253), "podUID": "u-1", "nodeName": "n1",
        "networkNamespace": "test", "networkName": "test"}));
    let mut port = Port::new("u-1", spec.unwrap());
    port.metadata.namespace = Some("test".into());
    assert_eq!(Identity::of(&port, "c-1").name.chars().count(), 255);
}
