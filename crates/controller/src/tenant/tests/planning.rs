use std::collections::BTreeSet;

use stackube_openstack::network::Quota;

use super::*;
use crate::tenant::plan::is_set;

fn grants(plan: &Plan) -> BTreeSet<(String, &'static str)> {
    plan.grants
        .iter()
        .map(|grant| match &grant.to {
            Grantee::TenantUser => ("tenant".to_owned(), grant.role),
            Grantee::Member(Actor::User(id)) => (format!("user {id}"), grant.role),
            Grantee::Member(Actor::Group(id)) => (format!("group {id}"), grant.role),
        })
        .collect()
}

/// Everything as a finished reconcile leaves it.
fn complete(tenant: &Tenant) -> Observed {
    let first = planned(
        &Tenant {
            status: None,
            ..tenant.clone()
        },
        &nothing(),
    );
    let NamespaceStep::Create(mut namespace) = first.namespace else {
        panic!("{:?}", first.namespace)
    };
    // What is done when the project is known.
    namespace
        .annotations_mut()
        .insert(PROJECT_ANNOTATION.to_owned(), "p1".to_owned());
    let wanted = password::wanted(tenant, None, &password::Kept::default()).unwrap();
    let kept = password::Kept {
        password: Some(wanted.password),
        applied: Some(wanted.digest),
    };
    Observed {
        project: Some(our_project()),
        user: Some(our_user()),
        assignments: vec![
            held(by_user("u1"), "stackube-admin"),
            held(by_user("service-user"), "member"),
        ],
        kept,
        namespace: Some(*namespace),
        network: first.network,
        ..nothing()
    }
}

/// Neutron's quota of a finished Tenant, but for `changed`.
fn quota(changed: &str) -> Quota {
    let mut quota = json!({
        "network": 100, "subnet": 100, "port": 500, "router": 10, "floatingip": 10, "security_group": 50,
        "security_group_rule": 500, "rbac_policy": 0,
    });
    quota[changed] = json!(7);
    serde_json::from_value(quota).unwrap()
}

#[test]
fn a_new_tenant_gets_everything() {
    let tenant = tenant(json!({"members": [{"user": "u5", "role": "edit"}, {"group": "g5", "role": "view"}]}));
    let mut observed = nothing();
    observed.roles.retain(|name, _| !name.starts_with("stackube-"));
    let plan = planned(&tenant, &observed);
    assert_eq!(plan.roles, ["stackube-admin", "stackube-edit", "stackube-view"]);
    let Step::Create(project) = &plan.project else {
        panic!("{:?}", plan.project)
    };
    assert_eq!(
        (project.name.as_str(), project.tags.clone()),
        ("test", marks::project_tags(CLUSTER, UID))
    );
    assert!(plan.join_project && plan.user == UserStep::Create);
    let expected = [
        ("tenant", "stackube-admin"),
        ("user u5", "stackube-edit"),
        ("group g5", "stackube-view"),
    ];
    assert_eq!(grants(&plan), expected.map(|(who, role)| (who.to_owned(), role)).into());
    assert_eq!(plan.quota.as_ref().and_then(|quota| quota.rbac_policy), Some(0));
    assert!(plan.network.is_some() && plan.revocations.is_empty());
}

#[test]
fn the_namespace_is_born_with_all_that_decides_about_it() {
    let NamespaceStep::Create(namespace) = planned(&tenant(json!({})), &nothing()).namespace else {
        panic!()
    };
    assert_eq!(namespace.labels()[TENANT_LABEL], "test");
    assert_eq!(namespace.labels()["pod-security.kubernetes.io/enforce"], "baseline");
    assert_eq!(namespace.annotations()[TENANT_UID_ANNOTATION], UID);
    let NamespaceStep::Create(strict) = planned(&tenant(json!({"podSecurity": "restricted"})), &nothing()).namespace
    else {
        panic!()
    };
    assert_eq!(strict.labels()["pod-security.kubernetes.io/enforce"], "restricted");
}

#[test]
fn a_namespace_says_its_project() {
    let tenant = with_status(tenant(json!({})), "p1", "u1");
    let mut observed = complete(&tenant);
    let namespace = observed.namespace.as_mut().unwrap();
    namespace
        .annotations_mut()
        .insert(PROJECT_ANNOTATION.to_owned(), "p7".to_owned());
    let NamespaceStep::Change(change) = planned(&tenant, &observed).namespace else {
        panic!()
    };
    assert_eq!(change["metadata"]["annotations"], json!({PROJECT_ANNOTATION: "p1"}));
}

#[test]
fn a_finished_tenant_needs_nothing() {
    let tenant = with_status(tenant(json!({})), "p1", "u1");
    let plan = planned(&tenant, &complete(&tenant));
    assert!(plan.roles.is_empty() && plan.grants.is_empty() && plan.revocations.is_empty());
    assert!(!plan.join_project && plan.network.is_none());
    assert!(is_set(&plan.quota.unwrap(), &quota("nothing")));
    assert!(matches!(plan.project, Step::Keep(id) if id.as_str() == "p1"));
    assert_eq!(plan.user, UserStep::Keep(UserId::new("u1").unwrap()));
    assert!(matches!(plan.namespace, NamespaceStep::Keep));
}

#[test]
fn a_changed_password_and_a_disabled_user_are_mended() {
    let before = with_status(tenant(json!({})), "p1", "u1");
    let mut observed = complete(&before);
    observed.user.as_mut().unwrap().enabled = false;
    let changed = with_status(tenant(json!({"password": "other"})), "p1", "u1");
    let id = UserId::new("u1").unwrap();
    assert_eq!(
        planned(&changed, &observed).user,
        UserStep::Change {
            id,
            password: true,
            enable: true
        }
    );
}

#[test]
fn members_are_authoritative_but_only_for_our_own_roles() {
    let tenant = with_status(tenant(json!({"members": [{"user": "u5", "role": "view"}]})), "p1", "u1");
    let mut observed = complete(&tenant);
    let (old_member, changed, stranger) = (by_user("u4"), by_user("u5"), by_user("u6"));
    observed.assignments.extend([
        held(old_member.clone(), "stackube-edit"),
        held(changed.clone(), "stackube-admin"),
        held(stranger, "member"),
        RoleAssignment {
            inherited: true,
            ..held(old_member.clone(), "stackube-view")
        },
    ]);
    let plan = planned(&tenant, &observed);
    assert_eq!(grants(&plan), [("user u5".to_owned(), "stackube-view")].into());
    let taken: Vec<_> = plan
        .revocations
        .iter()
        .map(|held| (held.actor.clone(), held.role.as_str()))
        .collect();
    assert_eq!(
        taken,
        [(old_member, "role-stackube-edit"), (changed, "role-stackube-admin")]
    );
}

#[rstest]
#[case("none", &["member", "reader"], &[], &["role-member", "role-reader"])]
#[case("reader", &[], &["reader"], &[])]
#[case("member", &["reader"], &["member"], &["role-reader"])]
fn openstack_access_is_what_the_tenant_says(
    #[case] access: &str,
    #[case] has: &[&str],
    #[case] gets: &[&str],
    #[case] loses: &[&str],
) {
    let tenant = with_status(tenant(json!({"openstackAccess": access})), "p1", "u1");
    let mut observed = complete(&tenant);
    observed
        .assignments
        .extend(has.iter().map(|role| held(by_user("u1"), role)));
    let plan = planned(&tenant, &observed);
    assert_eq!(plan.grants.iter().map(|grant| grant.role).collect::<Vec<_>>(), gets);
    assert_eq!(
        plan.revocations
            .iter()
            .map(|held| held.role.as_str())
            .collect::<Vec<_>>(),
        loses
    );
}

#[test]
fn no_role_of_the_cloud_is_ever_granted() {
    for access in ["none", "reader", "member"] {
        for role in ["admin", "edit", "view"] {
            let spec = json!({"openstackAccess": access, "members": [{"user": "u5", "role": role}]});
            let plan = planned(&tenant(spec), &nothing());
            assert!(
                plan.grants.iter().all(|grant| !FORBIDDEN_ROLES.contains(&grant.role)),
                "{plan:?}"
            );
        }
    }
}

#[test]
fn the_quota_of_an_adopted_project_stays() {
    let adopting = tenant(json!({"tenantID": "p1"}));
    let observed = Observed {
        project: Some(project("p1", &[])),
        ..nothing()
    };
    assert!(planned(&adopting, &observed).quota.is_none());
}

#[rstest]
#[case("port", false)]
#[case("floatingip", false)]
#[case("security_group", false)]
#[case("security_group_rule", false)]
#[case("rbac_policy", false)]
#[case::not_ours("router", true)]
fn what_somebody_made_of_the_quota_is_put_back(#[case] changed: &str, #[case] stays: bool) {
    let wanted = planned(&tenant(json!({})), &nothing()).quota.unwrap();
    assert_eq!(is_set(&wanted, &quota(changed)), stays);
}

#[test]
fn a_changed_quota_is_set() {
    let spec = json!({"quota": {"kubernetes": {"pods": "7"}, "network": {"ports": 20}}});
    let changed = with_status(tenant(spec), "p1", "u1");
    let plan = planned(&changed, &complete(&with_status(tenant(json!({})), "p1", "u1")));
    let wanted = plan.quota.unwrap();
    assert!(wanted.port == Some(20) && !is_set(&wanted, &quota("nothing")));
    let hard = plan.limits.0.spec.and_then(|spec| spec.hard).unwrap();
    assert_eq!(
        (hard["pods"].0.as_str(), hard["services.nodeports"].0.as_str()),
        ("7", "0")
    );
}

#[test]
fn the_limits_of_a_container_fit_under_every_quota_that_counts_them() {
    let (quota, range) = planned(&tenant(json!({})), &nothing()).limits;
    let hard = quota.spec.and_then(|spec| spec.hard).unwrap();
    let item = range.spec.unwrap().limits.remove(0);
    for (resource, kind) in hard
        .keys()
        .filter_map(|key| key.split_once('.').map(|(kind, resource)| (resource, kind)))
    {
        let has = match kind {
            "requests" if resource != "storage" => item.default_request.as_ref().unwrap().contains_key(resource),
            "limits" => item.default.as_ref().unwrap().contains_key(resource),
            _ => true,
        };
        assert!(
            has,
            "a plain `kubectl run` would be refused: {kind}.{resource} is limited, but has no default"
        );
    }
}

#[test]
fn a_namespace_that_is_handed_over_is_taken_on_the_version_that_was_read() {
    let mut offered = namespace(json!({"team": "a"}), json!({ADOPT_ANNOTATION: "test"}));
    offered.metadata.resource_version = Some("42".into());
    let observed = Observed {
        namespace: Some(offered),
        ..nothing()
    };
    let NamespaceStep::Adopt(change) = planned(&tenant(json!({})), &observed).namespace else {
        panic!()
    };
    assert_eq!(change["metadata"]["resourceVersion"], "42");
    assert_eq!(change["metadata"]["labels"][TENANT_LABEL], "test");
    assert_eq!(change["metadata"]["annotations"][TENANT_UID_ANNOTATION], UID);
}

#[test]
fn an_old_namespace_that_goes_away_is_waited_for() {
    let tenant = with_status(tenant(json!({})), "p1", "u1");
    let mut observed = complete(&tenant);
    let time = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
    observed.namespace.as_mut().unwrap().metadata.deletion_timestamp = Some(time);
    assert!(matches!(planned(&tenant, &observed).namespace, NamespaceStep::Await));
}
