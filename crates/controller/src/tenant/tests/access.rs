//! What of a tenant's access ends and begins while Neutron is away.

use std::collections::BTreeSet;

use kube::Resource;
use stackube_api::conditions::{NAMESPACE_READY, QUOTA_READY};

use super::*;
use crate::context::fake::{ApiServer, context};
use crate::port::fake::Fake;
use crate::tenant::apply::Work;
use crate::tenant::deletion::access;
use crate::tenant::status::Record;

const EX_MEMBER: &str = "/v3/projects/p1/users/u4/roles/role-stackube-edit";
const OWN: &str = "/v3/projects/p1/users/u1/roles/role-stackube-admin";
const OPENSTACK: &str = "/v3/projects/p1/users/u1/roles/role-member";

/// A Neutron whose quota lets the tenant share its networks.
async fn openstack(neutron_is_away: bool) -> Fake {
    let fake = Fake::start().await;
    let quota = json!({
        "id": "p1", "network": 100, "subnet": 100, "port": 500, "router": 10, "floatingip": 10, "security_group": 10,
        "security_group_rule": 100, "rbac_policy": 10,
    });
    fake.state().others.insert("quotas".into(), vec![quota]);
    fake.state().faults.away = neutron_is_away;
    fake
}

/// An API server that has the Tenant and lets nothing be made.
fn api_server(tenant: &Tenant) -> kube::Client {
    let path = format!("{}/test", Tenant::url_path(&(), None));
    ApiServer::new(&path, serde_json::to_value(tenant).unwrap()).1
}

/// What was asked for but to be read.
fn changes(fake: &Fake) -> Vec<String> {
    let state = fake.state();
    let changes = state.requests.iter().filter(|request| !request.starts_with("GET"));
    changes.cloned().collect()
}

/// Where `u4` is a member no more and the tenant's own user is to have a role of OpenStack: the condition that it stopped at, and
/// what was changed.
async fn reconciled(neutron_is_away: bool) -> (&'static str, Vec<String>) {
    let fake = openstack(neutron_is_away).await;
    let spec = json!({"password": null, "openstackAccess": "member"});
    let tenant = with_status(tenant(spec), "p1", "u1");
    let observed = Observed {
        project: Some(our_project()),
        user: Some(our_user()),
        assignments: vec![
            held(by_user("service-user"), "member"),
            held(by_user("u4"), "stackube-edit"),
        ],
        ..nothing()
    };
    let client = api_server(&tenant);
    let work = Work {
        context: &context(client.clone(), &fake.cloud, vec![], vec![]),
        tenant: &tenant,
        valid: &check(&tenant, &observed).unwrap(),
        observed: &observed,
        plan: &planned(&tenant, &observed),
        record: &Record::new(client, &tenant),
        keystone: fake.cloud.service(),
    };
    let (step, _) = work.apply().await.unwrap_err();
    (step, changes(&fake))
}

#[tokio::test]
async fn roles_are_taken_away_and_our_own_are_given_while_neutron_is_away() {
    let (step, changes) = reconciled(true).await;
    assert_eq!(step, QUOTA_READY);
    let expected = [format!("DELETE {EX_MEMBER}"), format!("PUT {OWN}")];
    assert_eq!(BTreeSet::from_iter(changes), expected.into(), "and none of OpenStack's");
}

#[tokio::test]
async fn a_role_of_openstack_is_given_when_the_quota_forbids_to_share() {
    let (step, mut changes) = reconciled(false).await;
    assert_eq!(step, NAMESPACE_READY, "none could be made");
    assert_eq!(changes.pop(), Some(format!("PUT {OPENSTACK}")));
    let before = [
        "PUT /v2.0/quotas/p1".to_owned(),
        format!("DELETE {EX_MEMBER}"),
        format!("PUT {OWN}"),
    ];
    assert_eq!(BTreeSet::from_iter(changes), before.into());
}

#[tokio::test]
async fn a_tenant_that_is_deleted_loses_its_access_while_neutron_is_away() {
    let fake = openstack(true).await;
    let roles = roles().into_iter().map(|(name, id)| json!({"id": id, "name": name}));
    let scope = json!({"project": {"id": "p1"}});
    let assignments = [("u1", "role-stackube-admin"), ("u4", "role-stackube-edit")].map(|(user, role)| {
        // The fake filters by the names of the query.
        json!({"role": {"id": role}, "user": {"id": user}, "scope": scope, "scope.project.id": "p1"})
    });
    let named = |id: &str| json!({"id": id, "name": "test", "domain_id": "default", "enabled": true});
    let all = [
        ("roles", roles.collect()),
        ("role_assignments", assignments.into()),
        ("projects", vec![named("p1")]),
        ("users", vec![named("u1")]),
    ];
    let all = all.map(|(collection, objects): (_, Vec<Value>)| (String::from(collection), objects));
    fake.state().others.extend(all);
    let tenant = with_status(tenant(json!({})), "p1", "u1");
    let context = context(api_server(&tenant), &fake.cloud, vec![], vec![]);
    access(&tenant, &context).await.unwrap();
    let expected = [
        format!("DELETE {OWN}"),
        format!("DELETE {EX_MEMBER}"),
        "DELETE /v3/users/u1".into(),
    ];
    assert_eq!(changes(&fake), expected);
    assert!(fake.state().others["users"].is_empty());
}
