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
    destroy(&fake.session, &fake.session, &project, &found).await.unwrap();
    let mut expected: HashSet<String> = KINDS
        .iter()
        .flat_map(|kind| ["other", "foreign"].map(|prefix| format!("{prefix}-{kind}")))
        .collect();
    expected.extend(["changed-routers".to_owned(), "changed-security-groups".to_owned()]);
    assert_eq!(left(&fake), expected);
}
