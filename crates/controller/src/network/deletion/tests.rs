//! Removal against a Neutron in which there is more than the status knows.

use std::collections::HashSet;

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::port::fake::Fake;

const DESCRIPTION: &str = "Network test/test (u-1)";
const KINDS: [&str; 4] = ["networks", "subnets", "routers", "security-groups"];

fn object(id: &str, project: &str, description: &str) -> Value {
    json!({
        "id": id, "name": "n", "project_id": project, "description": description, "status": "ACTIVE",
        "admin_state_up": true, "enable_dhcp": false, "network_id": "n", "cidr": "10.0.0.0/24", "ip_version": 4,
    })
}

/// Two of each kind that are described as the Network's, one whose description a member of the project has changed, and
/// others.
fn populate(fake: &Fake) {
    for kind in KINDS {
        let objects = [
            object(&format!("first-{kind}"), "project", DESCRIPTION),
            object(&format!("second-{kind}"), "project", DESCRIPTION),
            object(&format!("changed-{kind}"), "project", "something else"),
            object(&format!("other-{kind}"), "project", "Network test/other (u-2)"),
            object(&format!("foreign-{kind}"), "stranger", DESCRIPTION),
        ];
        fake.state().others.insert(kind.into(), objects.into());
    }
}

fn left(fake: &Fake) -> HashSet<String> {
    let state = fake.state();
    let all = state.others.values().flatten();
    all.map(|object| object["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn everything_that_was_made_for_the_network_goes_and_nothing_else() {
    let fake = Fake::start().await;
    populate(&fake);
    let id = |prefix: &str, kind: &str| Some(format!("{prefix}-{kind}"));
    let status = NetworkStatus {
        network_id: id("changed", "networks"),
        subnet_id: id("changed", "subnets"),
        router_id: id("foreign", "routers"),
        security_group_id: id("first", "security-groups"),
        ..NetworkStatus::default()
    };
    let project = "project".parse().unwrap();
    let found = leftovers::find(&fake.session, &project, &status, DESCRIPTION)
        .await
        .unwrap();
    empty(&fake.session, &fake.session, &project, &found).await.unwrap();
    destroy(&fake.session, &found).await.unwrap();
    let mut expected: HashSet<String> = KINDS
        .iter()
        .flat_map(|kind| ["other", "foreign"].map(|prefix| format!("{prefix}-{kind}")))
        .collect();
    expected.extend(["changed-routers".to_owned(), "changed-security-groups".to_owned()]);
    assert_eq!(left(&fake), expected);
}

/// The fake's floating IPs and ports that are left, with the network `n-1` and the router `r-1` of ours.
async fn emptied(in_a_project_of_ours: bool, ports: &[Value]) -> (Result<(), Stop>, Vec<String>) {
    let fake = Fake::start().await;
    let address = json!({
        "id": "address", "project_id": "project", "router_id": "r-1", "floating_ip_address": "172.24.4.9",
        "floating_network_id": "outside", "port_id": "p-1",
    });
    fake.state().others.insert("floatingips".into(), vec![address]);
    for port in ports {
        fake.port(port);
    }
    let found = Leftovers {
        networks: vec!["n-1".parse().unwrap()],
        routers: vec!["r-1".parse().unwrap()],
        ..Leftovers::default()
    };
    let (session, project) = (&fake.session, "project".parse().unwrap());
    let result = if in_a_project_of_ours {
        empty(session, session, &project, &found).await
    } else {
        guests::empty(session, session, "c-1", &found).await
    };
    let state = fake.state();
    let left = state.ports.iter().chain(&state.others["floatingips"]);
    let left = left.map(|object| object["id"].as_str().unwrap().to_owned()).collect();
    (result, left)
}

#[tokio::test]
async fn an_owners_port_and_floating_ip_survive_and_are_waited_for() {
    let server = json!({"network_id": "n-1", "device_owner": "compute:nova", "tags": []});
    let pod = json!({"network_id": "n-1", "fixed_ips": [{"subnet_id": "subnet", "ip_address": "10.244.0.10"}]});
    let (result, left) = emptied(false, &[server.clone(), pod.clone()]).await;
    let stop = result.unwrap_err();
    assert_eq!(stop.reason(), "InUse");
    assert!(stop.sentence().contains("p-1 (compute:nova)"), "{}", stop.sentence());
    assert_eq!(
        left,
        ["p-1", "p-2", "address"],
        "nothing goes while the network is needed"
    );

    let (result, left) = emptied(false, std::slice::from_ref(&pod)).await;
    result.unwrap();
    assert_eq!(
        left,
        ["address"],
        "a pod's port goes, a floating IP that led to it stays"
    );

    let (result, left) = emptied(true, &[server, pod]).await;
    result.unwrap();
    assert!(left.is_empty(), "a project of ours ends with its Tenant: {left:?}");
}

#[rstest]
#[case::a_members(json!({"device_owner": ""}), true)]
#[case::of_another_project(json!({"device_owner": "compute:nova", "project_id": "other"}), true)]
#[case::a_members_of_a_made_up_kind(json!({"device_owner": "network:x"}), true)]
#[case::a_members_leg_of_no_router(json!({"device_owner": "network:router_interface", "device_id": ""}), true)]
#[case::a_members_that_goes_with_no_leg(json!({"device_owner": "network:router_centralized_snat"}), true)]
#[case::an_operators(json!({"device_owner": "network:x", "project_id": "admin"}), false)]
#[case::neutrons_for_a_leg(json!({"device_owner": "network:router_centralized_snat", "project_id": ""}), false)]
#[case::neutrons_for_a_service(json!({"device_owner": "network:local_ip", "project_id": ""}), false)]
#[case::neutrons_for_the_network(json!({"device_owner": "network:distributed"}), false)]
fn what_members_can_make_goes(#[case] change: Value, #[case] expected: bool) {
    let mut port = json!({"id": "p", "project_id": "project", "network_id": "n-1", "mac_address": "fa:16:3e:00:00:01"});
    port.as_object_mut()
        .unwrap()
        .extend(change.as_object().unwrap().clone());
    let port = serde_json::from_value(port).unwrap();
    assert_eq!(is_to_go(&port, &"project".parse().unwrap()), expected);
}

#[tokio::test]
async fn ports_that_are_called_neutrons_own_hold_a_project_of_ours_only_if_an_operator_made_them() {
    let port = |project: &str, owner: &str, device: &str| json!({"network_id": "n-1", "project_id": project, "device_owner": owner, "device_id": device, "tags": []});
    let ports = [
        port("project", "network:x", ""),
        port("project", "network:router_interface", ""),
        port("project", "network:router_interface", "r-gone"),
        port("admin", "network:x", ""),
        port("project", "network:distributed", "ovnmeta-n-1"),
    ];
    let (result, left) = emptied(true, &ports).await;
    result.unwrap();
    assert_eq!(left, ["p-4", "p-5"]);
}

const ROUTE: &str = "10.9.0.0/16";

fn with_route(mut router: Value) -> Value {
    router["routes"] = json!([{"destination": ROUTE, "nexthop": "10.244.0.10"}]);
    router
}

/// A network with a leg of our router and one of somebody's, each with a route through it, and a port elsewhere that has our
/// group beside another.
async fn held() -> (Fake, Leftovers) {
    let fake = Fake::start().await;
    let leg = |router: &str, address: &str| {
        json!({
            "network_id": "n-1", "device_owner": "network:router_interface", "device_id": router, "tags": [],
            "security_groups": [], "fixed_ips": [{"subnet_id": "s-1", "ip_address": address}],
        })
    };
    fake.port(&leg("r-1", "10.244.0.1"));
    fake.port(&leg("r-2", "10.244.0.2"));
    fake.port(&json!({"network_id": "elsewhere", "device_owner": "", "tags": [], "security_groups": ["g-1", "g-2"]}));
    let routers = ["r-1", "r-2"].map(|id| with_route(object(id, "project", "")));
    let group = object("g-1", "project", "");
    let mut state = fake.state();
    state.others.insert("routers".into(), routers.into());
    state.others.insert("security-groups".into(), vec![group]);
    drop(state);
    let found = Leftovers {
        networks: vec!["n-1".parse().unwrap()],
        subnets: vec!["s-1".parse().unwrap()],
        routers: vec!["r-1".parse().unwrap()],
        groups: vec!["g-1".parse().unwrap()],
    };
    (fake, found)
}

#[tokio::test]
async fn what_a_tenants_user_did_does_not_hold_a_project_of_ours() {
    let (fake, found) = held().await;
    let project = "project".parse().unwrap();
    empty(&fake.session, &fake.session, &project, &found).await.unwrap();
    destroy(&fake.session, &found).await.unwrap();
    let state = fake.state();
    assert!(state.others["security-groups"].is_empty(), "our group is deleted");
    let [elsewhere] = state.ports.as_slice() else {
        panic!("{:?}", state.ports)
    };
    assert_eq!(
        elsewhere["security_groups"],
        json!(["g-2"]),
        "the port keeps its other group"
    );
    let [other] = state.others["routers"].as_slice() else {
        panic!("{:?}", state.others["routers"])
    };
    assert_eq!(other["id"], "r-2", "our router is deleted");
}

/// What stops removal from somebody's project, and that nothing was changed before.
async fn stopped(fake: &Fake, found: &Leftovers) -> String {
    let stop = guests::empty(&fake.session, &fake.session, "c-1", found)
        .await
        .unwrap_err();
    assert_eq!(stop.reason(), "InUse");
    let changing = |request: &&String| !request.starts_with("GET ");
    let state = fake.state();
    assert_eq!(state.requests.iter().find(changing), None);
    stop.sentence()
}

#[tokio::test]
async fn routes_and_ports_with_our_group_in_somebodys_project_are_waited_for() {
    let (fake, mut found) = held().await;
    found.networks.clear();
    fake.state().ports.retain(|port| port["device_id"] != "r-1");
    let said = stopped(&fake, &found).await;
    for expected in [
        "2 objects in OpenStack",
        "port p-3 (has security group g-1)",
        "route 10.9.0.0/16 via 10.244.0.10 of router r-1",
    ] {
        assert!(said.contains(expected), "{said:?} lacks {expected:?}");
    }
}

#[tokio::test]
async fn a_subnet_that_somebody_added_is_waited_for() {
    let fake = Fake::start().await;
    let mut subnets = ["s-1", "s-2", "s-3"].map(|id| object(id, "project", ""));
    for subnet in &mut subnets[..2] {
        subnet["network_id"] = json!("n-1");
    }
    fake.state().others.insert("subnets".into(), subnets.into());
    let found = Leftovers {
        networks: vec!["n-1".parse().unwrap()],
        subnets: vec!["s-1".parse().unwrap()],
        ..Leftovers::default()
    };
    let said = stopped(&fake, &found).await;
    assert!(
        said.contains("1 object in OpenStack") && said.ends_with(": subnet s-2 (10.0.0.0/24)"),
        "{said}"
    );
}

/// On a network of the project's owner: the port of a pod, and one of a server if `shared`, both with our group.
async fn left_alone(shared: bool) -> (Result<(), Stop>, usize, usize) {
    let fake = Fake::start().await;
    let group = object("g-1", "project", DESCRIPTION);
    fake.state().others.insert("security-groups".into(), vec![group]);
    fake.port(&json!({"network_id": "n-1", "security_groups": ["g-1"]}));
    if shared {
        let server = json!({"network_id": "n-1", "security_groups": ["g-1"], "device_owner": "compute:nova"});
        fake.port(&server);
    }
    let status = NetworkStatus {
        network_id: Some("n-1".into()),
        security_group_id: Some("g-1".into()),
        ..NetworkStatus::default()
    };
    let (session, project) = (&fake.session, "project".parse().unwrap());
    let result = leave(session, session, &project, "c-1", &status, DESCRIPTION).await;
    let state = fake.state();
    (result, state.ports.len(), state.others["security-groups"].len())
}

#[tokio::test]
async fn a_network_of_the_owners_is_left_when_no_other_port_has_our_group() {
    let (result, ports, groups) = left_alone(false).await;
    result.unwrap();
    assert_eq!((ports, groups), (0, 0));

    let (result, ports, groups) = left_alone(true).await;
    let said = result.unwrap_err().sentence();
    assert!(said.ends_with(": port p-2 (has security group g-1)"), "{said}");
    assert_eq!((ports, groups), (2, 1), "nothing goes while it is waited for");
}
