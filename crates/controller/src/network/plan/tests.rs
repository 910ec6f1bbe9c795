use std::collections::HashSet;

use proptest::prelude::*;
use rstest::rstest;
use serde_json::{Value, json};
use stackube_api::address::AddressRules;
use stackube_openstack::network::{Network, Router, Subnet};

use super::*;

fn wanted() -> Wanted {
    Wanted {
        range: Range::new("10.244.0.0/16", None, &AddressRules::default()).unwrap(),
        external: NetworkId::new("ext").unwrap(),
        tags: vec!["cluster".into(), "owner".into()],
        adopted: false,
    }
}

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn network() -> Network {
    read(
        json!({"id": "n1", "name": "n", "status": "ACTIVE", "admin_state_up": true, "port_security_enabled": true,
        "tags": ["cluster", "owner"]}),
    )
}

fn subnet() -> Subnet {
    read(
        json!({"id": "s1", "name": "s", "network_id": "n1", "cidr": "10.244.0.0/16", "ip_version": 4,
        "gateway_ip": "10.244.0.1", "enable_dhcp": false, "tags": ["cluster", "owner"]}),
    )
}

fn router() -> Router {
    read(
        json!({"id": "r1", "name": "r", "status": "ACTIVE", "admin_state_up": true, "tags": ["cluster", "owner"],
        "external_gateway_info": {"network_id": "ext", "enable_snat": true, "external_fixed_ips": []}}),
    )
}

fn rule(id: &str, direction: &str, more: Value) -> Value {
    let mut rule = json!({"id": id, "security_group_id": "g1", "direction": direction, "ethertype": "IPv4"});
    rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    rule
}

fn egress() -> Value {
    rule("out", "egress", json!({}))
}

fn ingress() -> Value {
    rule("in", "ingress", json!({"remote_group_id": "g1"}))
}

fn group(rules: Vec<Value>) -> SecurityGroup {
    read(json!({"id": "g1", "name": "g", "security_group_rules": rules, "tags": ["cluster", "owner"]}))
}

fn complete() -> Observed {
    Observed {
        network: Some(network()),
        subnet: Some(subnet()),
        router: Some(router()),
        legs: vec![SubnetId::new("s1").unwrap()],
        group: Some(group(vec![egress(), ingress()])),
    }
}

#[test]
fn a_complete_network_needs_nothing() {
    assert_eq!(plan(&wanted(), &complete()), []);
}

#[test]
fn independent_objects_are_made_side_by_side() {
    let first = plan(&wanted(), &Observed::default());
    assert_eq!(
        first,
        [Action::CreateNetwork, Action::CreateRouter, Action::CreateGroup]
    );
}

#[test]
fn each_step_follows_as_soon_as_its_inputs_are_there() {
    let only_network = Observed {
        network: Some(network()),
        ..Observed::default()
    };
    assert!(plan(&wanted(), &only_network).contains(&Action::CreateSubnet(NetworkId::new("n1").unwrap())));
    let unconnected = Observed {
        legs: vec![],
        ..complete()
    };
    let connect = Action::Connect(RouterId::new("r1").unwrap(), SubnetId::new("s1").unwrap());
    assert_eq!(plan(&wanted(), &unconnected), [connect]);
}

fn changed(change: impl FnOnce(&mut Observed)) -> Vec<&'static str> {
    let mut observed = complete();
    change(&mut observed);
    plan(&wanted(), &observed).iter().map(Action::object).collect()
}

#[test]
fn what_was_changed_outside_is_mended() {
    assert_eq!(
        changed(|o| o.network.as_mut().unwrap().port_security_enabled = Some(false)),
        ["network"]
    );
    assert_eq!(
        changed(|o| o.network.as_mut().unwrap().admin_state_up = false),
        ["network"]
    );
    assert_eq!(changed(|o| o.subnet.as_mut().unwrap().gateway_ip = None), ["subnet"]);
    assert_eq!(changed(|o| o.subnet.as_mut().unwrap().enable_dhcp = true), ["subnet"]);
    assert_eq!(
        changed(|o| o.router.as_mut().unwrap().external_gateway_info = None),
        ["router"]
    );
    assert_eq!(
        changed(|o| o.router.as_mut().unwrap().admin_state_up = false),
        ["router"]
    );
    assert_eq!(changed(|o| o.legs.clear()), ["router_interface"]);
    assert_eq!(changed(|o| o.network.as_mut().unwrap().tags.clear()), ["tags"]);
    assert_eq!(
        changed(|o| o.router = None),
        ["router"],
        "the leg follows when there is a router again"
    );
    assert_eq!(changed(|o| o.group = None), ["security_group"]);
}

#[test]
fn another_external_network_than_the_configured_is_replaced() {
    let actions = changed(|o| {
        let gateway = o.router.as_mut().unwrap().external_gateway_info.as_mut().unwrap();
        gateway.network_id = NetworkId::new("tenant-made").unwrap();
    });
    assert_eq!(actions, ["router"]);
}

#[rstest]
#[case::from_anywhere(rule("x", "ingress", json!({})))]
#[case::from_another_group(rule("x", "ingress", json!({"remote_group_id": "g2"})))]
#[case::one_port(rule("x", "ingress", json!({"protocol": "tcp", "port_range_min": 22, "port_range_max": 22})))]
#[case::a_prefix(rule("x", "ingress", json!({"remote_ip_prefix": "0.0.0.0/0"})))]
#[case::ipv6(rule("x", "egress", json!({"ethertype": "IPv6"})))]
#[case::twice(rule("x", "ingress", json!({"remote_group_id": "g1"})))]
#[case::narrower(rule("x", "egress", json!({"remote_ip_prefix": "10.0.0.0/8"})))]
fn any_other_rule_is_taken_out(#[case] foreign: Value) {
    let observed = Observed {
        group: Some(group(vec![egress(), ingress(), foreign])),
        ..complete()
    };
    assert_eq!(
        plan(&wanted(), &observed),
        [Action::DeleteRule(SecurityGroupRuleId::new("x").unwrap())]
    );
}

#[test]
fn missing_rules_are_added() {
    let observed = Observed {
        group: Some(group(vec![])),
        ..complete()
    };
    let id = SecurityGroupId::new("g1").unwrap();
    let expected = [
        Action::AddRule(id.clone(), Rule::Egress),
        Action::AddRule(id, Rule::IngressFromGroup),
    ];
    assert_eq!(plan(&wanted(), &observed), expected);
}

#[test]
fn nothing_of_an_adopted_network_is_changed() {
    let wanted = Wanted {
        adopted: true,
        ..wanted()
    };
    let mut observed = complete();
    observed.network.as_mut().unwrap().tags.clear();
    observed.router.as_mut().unwrap().external_gateway_info = None;
    observed.subnet.as_mut().unwrap().enable_dhcp = true;
    observed.legs.clear();
    assert_eq!(plan(&wanted, &observed), []);
    observed.group = None;
    assert_eq!(plan(&wanted, &observed), [Action::CreateGroup]);
}

/// What an action does, without Neutron.
fn perform(observed: &mut Observed, action: &Action) {
    match action {
        Action::CreateNetwork | Action::MendNetwork(_) => observed.network = Some(network()),
        Action::CreateSubnet(_) | Action::MendSubnet(_) => observed.subnet = Some(subnet()),
        Action::CreateRouter | Action::MendRouter(_) => observed.router = Some(router()),
        Action::Connect(_, subnet) => observed.legs.push(subnet.clone()),
        // As Neutron makes them.
        Action::CreateGroup => {
            let v6 = rule("v6", "egress", json!({"ethertype": "IPv6"}));
            observed.group = Some(group(vec![egress(), v6]));
        }
        Action::AddRule(_, rule) => {
            let rule = if *rule == Rule::Egress { egress() } else { ingress() };
            observed.group.as_mut().unwrap().security_group_rules.push(read(rule));
        }
        Action::DeleteRule(id) => observed
            .group
            .as_mut()
            .unwrap()
            .security_group_rules
            .retain(|rule| &rule.id != id),
        Action::Tag(_) => {
            observed.network.as_mut().unwrap().tags = wanted().tags;
        }
    }
}

proptest! {
    #[test]
    fn from_any_state_and_in_any_order_the_plan_ends_with_everything_as_wanted(
        present in any::<[bool; 7]>(), order in prop::collection::vec(any::<prop::sample::Index>(), 40),
    ) {
        let all = complete();
        let mut observed = Observed {
            network: all.network.filter(|_| present[0]),
            subnet: all.subnet.filter(|_| present[0] && present[1]),
            router: all.router.filter(|_| present[2]),
            legs: if present[0] && present[1] && present[2] && present[3] { all.legs } else { vec![] },
            group: present[4].then(|| {
                group([egress(), ingress()].into_iter().zip([present[5], present[6]]).filter(|(_, is)| *is).map(|(r, _)| r).collect())
            }),
        };
        let mut done = HashSet::new();
        for choice in order {
            let actions = plan(&wanted(), &observed);
            if actions.is_empty() {
                break;
            }
            let action = choice.get(&actions).clone();
            prop_assert!(done.insert(format!("{action:?}")), "{action:?} twice");
            perform(&mut observed, &action);
        }
        prop_assert_eq!(plan(&wanted(), &observed), vec![]);
    }
}
