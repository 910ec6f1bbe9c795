use rstest::rstest;
use serde_json::{Value, json};
use stackube_api::address::AddressRules;

use super::*;

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn subnet(change: Value) -> Subnet {
    let mut subnet = json!({"id": "s1", "name": "s", "project_id": "p1", "network_id": "n1", "cidr": "10.9.0.0/16",
        "ip_version": 4, "gateway_ip": "10.9.0.1", "enable_dhcp": true});
    subnet
        .as_object_mut()
        .unwrap()
        .extend(change.as_object().unwrap().clone());
    read(subnet)
}

fn found(network: Value, router: Value) -> Found {
    let merged = |mut base: Value, change: Value| {
        base.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        base
    };
    let base_network = json!({"id": "n1", "name": "n", "project_id": "p1", "status": "ACTIVE", "admin_state_up": true,
        "port_security_enabled": true, "provider:network_type": "geneve"});
    let base_router = json!({"id": "r1", "name": "r", "project_id": "p1", "status": "ACTIVE", "admin_state_up": true,
        "external_gateway_info": {"network_id": "ext"}});
    Found {
        network: Some(read(merged(base_network, network))),
        subnets: vec![subnet(json!({}))],
        router: Some(read(merged(base_router, router))),
    }
}

fn checked(found: Found) -> Result<(), Stop> {
    let range = Range::new("10.9.0.0/16", None, &AddressRules::default()).unwrap();
    check(
        found,
        &ProjectId::new("p1").unwrap(),
        &NetworkId::new("n1").unwrap(),
        &range,
    )
    .map(drop)
}

#[test]
fn a_network_with_everything_is_adopted() {
    checked(found(json!({}), json!({}))).unwrap();
}

#[rstest]
#[case(json!({"project_id": "p2"}), json!({}), "NetworkNotFound")]
#[case(json!({"shared": true}), json!({}), "NetworkShared")]
#[case(json!({"router:external": true}), json!({}), "NetworkShared")]
#[case(json!({"port_security_enabled": false}), json!({}), "NetworkUnsafe")]
#[case(json!({"admin_state_up": false}), json!({}), "NetworkUnsafe")]
#[case(json!({"provider:network_type": "vlan"}), json!({}), "NetworkUnreachable")]
#[case(json!({}), json!({"external_gateway_info": null}), "RouterWithoutGateway")]
#[case(json!({}), json!({"admin_state_up": false}), "RouterWithoutGateway")]
#[case(json!({}), json!({"project_id": "p2"}), "RouterMissing")]
fn a_network_that_lacks_something_is_refused(#[case] network: Value, #[case] router: Value, #[case] reason: &str) {
    assert_eq!(checked(found(network, router)).unwrap_err().reason(), reason);
}

#[rstest]
#[case::none(vec![])]
#[case::two(vec![subnet(json!({})), subnet(json!({"id": "s2", "cidr": "10.10.0.0/16"}))])]
#[case::other_range(vec![subnet(json!({"cidr": "10.10.0.0/16"}))])]
#[case::other_gateway(vec![subnet(json!({"gateway_ip": "10.9.0.254"}))])]
#[case::no_gateway(vec![subnet(json!({"gateway_ip": null}))])]
#[case::ipv6_beside(vec![subnet(json!({})), subnet(json!({"id": "s6", "cidr": "fd00::/64", "ip_version": 6, "gateway_ip": null}))])]
fn the_subnet_must_be_the_one_that_the_network_names(#[case] subnets: Vec<Subnet>) {
    let found = Found {
        subnets,
        ..found(json!({}), json!({}))
    };
    assert_eq!(checked(found).unwrap_err().reason(), "SubnetMismatch");
}

#[test]
fn a_missing_network_or_router_is_refused() {
    let nothing = Found {
        network: None,
        ..found(json!({}), json!({}))
    };
    assert_eq!(checked(nothing).unwrap_err().reason(), "NetworkNotFound");
    let no_router = Found {
        router: None,
        ..found(json!({}), json!({}))
    };
    assert_eq!(checked(no_router).unwrap_err().reason(), "RouterMissing");
}

#[test]
fn the_router_is_the_one_with_the_gateways_address() {
    let range = Range::new("10.9.0.0/16", None, &AddressRules::default()).unwrap();
    let port = |owner: &str, router: &str, address: &str| -> Port {
        read(
            json!({"id": "q", "network_id": "n1", "mac_address": "fa:16:3e:00:00:01", "device_owner": owner,
            "device_id": router, "fixed_ips": [{"subnet_id": "s1", "ip_address": address}]}),
        )
    };
    let ports = [
        port("compute:nova", "vm", "10.9.0.1"),
        port("network:router_interface", "r2", "10.9.0.2"),
        port("network:router_interface", "r1", "10.9.0.1"),
    ];
    assert_eq!(gateway_router(&ports, &range).unwrap().as_str(), "r1");
    assert_eq!(gateway_router(&ports[..2], &range), None);
}
