//! From what OpenStack lists to what is deleted.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stackube_api::names::{cluster_tag, owner_tag};

use super::compare::Live;
use super::*;
use crate::port::fake::Fake;
use crate::tenant::marks::user_description;

const CLUSTER: &str = "c-1";

fn tagged(id: &str, project: &str, owner: &str) -> Value {
    json!({
        "id": id, "name": id, "project_id": project, "status": "ACTIVE", "admin_state_up": true, "enable_dhcp": false,
        "network_id": "n", "cidr": "10.0.0.0/24", "ip_version": 4, "tags": [cluster_tag(CLUSTER), owner_tag(owner)],
    })
}

/// As [`tagged`], but with what is in the POST only.
fn described(id: &str, project: &str, owner: &str) -> Value {
    let description = format!("Network live/live ({owner}) of Kubernetes {CLUSTER}, made by Stackube");
    let mut object = tagged(id, project, owner);
    object["tags"] = json!([]);
    object["description"] = description.into();
    object
}

fn project(id: &str, owner: &str) -> Value {
    json!({"id": id, "name": id, "domain_id": "default", "enabled": true, "tags": [cluster_tag(CLUSTER), owner_tag(owner)]})
}

fn user(id: &str, description: &str) -> Value {
    json!({"id": id, "name": id, "domain_id": "default", "enabled": true, "description": description})
}

/// A tenant that lives, one that is gone, and a stranger who has copied our tags.
fn populate(fake: &Fake) {
    let mut state = fake.state();
    let mut put = |collection: &str, object: Value| state.others.entry(collection.into()).or_default().push(object);
    for collection in ["networks", "subnets", "routers", "security-groups"] {
        put(collection, tagged(&format!("live-{collection}"), "live", "network-uid"));
        put(collection, tagged(&format!("gone-{collection}"), "gone", "gone-uid"));
        put(
            collection,
            tagged(&format!("forged-{collection}"), "stranger", "gone-uid"),
        );
    }
    put("routers", described("second-router", "live", "network-uid"));
    put("routers", described("forged-second-router", "stranger", "network-uid"));
    let mut own = described("tenants-own-router", "live", "network-uid");
    own["description"] = "Network live/live".into();
    put("routers", own);
    put("projects", project("live", "tenant-uid"));
    put("projects", project("gone", "gone-uid"));
    put(
        "users",
        user("live-user", &user_description(CLUSTER, "live", "tenant-uid")),
    );
    put(
        "users",
        user("gone-user", &user_description(CLUSTER, "gone", "gone-uid")),
    );
    put(
        "users",
        user("other-clusters-user", &user_description("c-2", "gone", "gone-uid")),
    );
    put("users", user("admin", "a person"));
    drop(state);
    fake.port(&json!({"project_id": "live", "device_id": "pod", "tags": [cluster_tag(CLUSTER), owner_tag("pod")]}));
    fake.port(
        &json!({"project_id": "gone", "device_id": "gone-pod", "tags": [cluster_tag(CLUSTER), owner_tag("gone-pod")]}),
    );
    fake.port(&json!({"project_id": "stranger", "device_id": "x", "tags": [cluster_tag(CLUSTER), owner_tag("x")]}));
    fake.port(&json!({"project_id": "stranger", "device_id": "vm", "tags": []}));
}

fn live() -> Live {
    Live {
        pods: HashMap::from([("pod".into(), Some("p-1".into()))]),
        networks: HashMap::from([(
            "network-uid".into(),
            HashMap::from([(Kind::Router, "live-routers".into())]),
        )]),
        tenants: HashSet::from(["tenant-uid".into()]),
        users: HashSet::new(),
        used: HashSet::from([("live".into(), "live-networks".into())]),
        projects: HashSet::from(["live".into(), "own".into()]),
    }
}

fn ids(fake: &Fake) -> HashSet<String> {
    let state = fake.state();
    let all = state.others.values().flatten().chain(&state.ports);
    all.map(|object| object["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn only_strays_in_our_own_projects_are_deleted_and_only_after_the_grace() {
    let fake = Fake::start().await;
    populate(&fake);
    let before = ids(&fake);
    let mut memory = Memory::default();
    let (start, grace) = (Instant::now(), Duration::from_secs(3600));
    for (after, due) in [(0, 0), (1800, 0), (3600, 8)] {
        let found = strays(&survey::survey(&fake.session, CLUSTER).await.unwrap(), &live());
        assert_eq!(found.len(), 14, "{found:?}");
        let now = start + Duration::from_secs(after);
        memory.note(&found, now);
        let going = delete::in_order(memory.due(&found, now, grace));
        assert_eq!(going.len(), due);
        for stray in going {
            delete::delete(&fake.session, &stray).await.unwrap();
        }
    }
    let gone: HashSet<_> = before.difference(&ids(&fake)).cloned().collect();
    let expected = [
        "gone-networks",
        "gone-subnets",
        "gone-routers",
        "gone-security-groups",
        "second-router",
        "gone",
        "gone-user",
        "p-2",
    ];
    assert_eq!(gone, expected.map(str::to_owned).into());
}

/// Made again with another UID, the Tenant has its project, user and network by ID.
#[tokio::test]
async fn what_a_tenant_that_came_back_has_taken_over_stays() {
    let fake = Fake::start().await;
    populate(&fake);
    let mut live = live();
    let made = [
        (Kind::Network, "gone-networks"),
        (Kind::Subnet, "gone-subnets"),
        (Kind::Router, "gone-routers"),
        (Kind::SecurityGroup, "gone-security-groups"),
    ];
    let made = made.map(|(kind, id)| (kind, id.to_owned())).into();
    live.networks.insert("network-uid-2".into(), made);
    live.tenants.insert("tenant-uid-2".into());
    live.projects.insert("gone".into());
    live.users.insert("gone-user".into());
    let found = strays(&survey::survey(&fake.session, CLUSTER).await.unwrap(), &live);
    let left: Vec<_> = found.iter().filter(|stray| stray.id.starts_with("gone")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_project_that_still_owns_something_stays() {
    let fake = Fake::start().await;
    populate(&fake);
    let found = strays(&survey::survey(&fake.session, CLUSTER).await.unwrap(), &live());
    let project = found.iter().find(|stray| stray.kind == Kind::Project).unwrap();
    let error = delete::delete(&fake.session, project).await.unwrap_err();
    assert!(matches!(error, delete::DeleteError::NotEmpty), "{error}");
    assert!(ids(&fake).contains("gone"));
}
