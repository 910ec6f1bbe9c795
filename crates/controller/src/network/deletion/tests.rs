//! Removal against a Neutron in which there is more than the status knows.

use std::collections::HashSet;

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
