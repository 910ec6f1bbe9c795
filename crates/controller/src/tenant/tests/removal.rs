use super::*;
use crate::tenant::deletion::plan::{Removal, access, plan as removal};
use crate::tenant::dereference::Identity as Found;

fn found(project: Option<Project>, user: Option<User>, assignments: Vec<RoleAssignment>) -> Found {
    Found {
        domain: None,
        roles: roles(),
        project,
        assignments,
        user,
    }
}

fn id(text: &str) -> ProjectId {
    ProjectId::new(text).unwrap()
}

#[test]
fn everything_of_ours_goes_in_order() {
    let tenant = with_status(tenant(json!({})), "p1", "u1");
    let steps = removal(
        &tenant,
        &found(Some(our_project()), Some(our_user()), vec![]),
        &identity(),
    );
    let user = UserId::new("u1").unwrap();
    assert_eq!(
        steps,
        [
            Removal::User(user),
            Removal::Leftovers(id("p1")),
            Removal::Project(id("p1"))
        ]
    );
}

#[test]
fn what_was_made_before_a_crash_goes_although_the_status_does_not_know_it() {
    let steps = removal(
        &tenant(json!({})),
        &found(Some(our_project()), Some(our_user()), vec![]),
        &identity(),
    );
    assert_eq!(steps.len(), 3, "{steps:?}");
}

#[test]
fn of_a_project_that_is_gone_what_it_left_in_neutron_goes() {
    let tenant = with_status(tenant(json!({})), "p1", "u1");
    let user = Removal::User(UserId::new("u1").unwrap());
    let leftovers = Removal::Leftovers(id("p1"));
    let steps = |user| removal(&tenant, &found(None, user, vec![]), &identity());
    assert_eq!(steps(Some(our_user())), [user, leftovers.clone()]);
    assert_eq!(steps(None), [leftovers], "what is gone is not looked for");
}

#[rstest]
#[case::never_made(tenant(json!({})))]
#[case::adopted(with_status(tenant(json!({"tenantID": "p1"})), "p1", "u1"))]
#[case::the_services_own(with_status(tenant(json!({})), "service-project", "u1"))]
fn of_a_project_that_is_gone_and_was_not_ours_nothing_goes(#[case] tenant: Tenant) {
    assert_eq!(removal(&tenant, &found(None, None, vec![]), &identity()), []);
}

#[test]
fn nothing_of_others_goes() {
    let refused = tenant(json!({}));
    let theirs = found(Some(project("p7", &[])), Some(user("u7", "somebody")), vec![]);
    assert_eq!(removal(&refused, &theirs, &identity()), []);
    let refused = tenant(json!({"tenantID": "p7"}));
    assert_eq!(
        removal(&refused, &theirs, &identity()),
        [],
        "an adoption that was refused took nothing"
    );
}

#[test]
fn the_service_itself_never_goes() {
    let broken = with_status(tenant(json!({})), "service-project", "service-user");
    let own = found(
        Some(project("service-project", &[])),
        Some(user("service-user", "")),
        vec![],
    );
    assert_eq!(removal(&broken, &own, &identity()), []);
}

#[test]
fn an_adopted_project_stays_without_our_roles() {
    let tenant = with_status(tenant(json!({"tenantID": "p1"})), "p1", "u1");
    let member = held(by_user("u5"), "stackube-view");
    let service = held(by_user("service-user"), "member");
    let assignments = vec![
        held(by_user("u1"), "stackube-admin"),
        member.clone(),
        service.clone(),
        held(by_user("u6"), "member"),
        held(by_user("u6"), "reader"),
    ];
    let steps = removal(
        &tenant,
        &found(Some(project("p1", &[])), Some(our_user()), assignments),
        &identity(),
    );
    let user = Removal::User(UserId::new("u1").unwrap());
    let revoke = |held| Removal::Revoke(id("p1"), held);
    assert_eq!(steps, [revoke(member), revoke(service), user, Removal::Leave(id("p1"))]);
}

#[test]
fn access_ends_before_anything_is_waited_for() {
    let tenant = with_status(tenant(json!({})), "p1", "u1");
    let assignments = vec![
        held(by_user("u1"), "stackube-admin"),
        held(by_user("u5"), "stackube-view"),
        held(by_user("u5"), "member"),
        held(by_user("service-user"), "member"),
    ];
    let found = found(Some(our_project()), Some(our_user()), assignments.clone());
    let revoke = |index: usize| Removal::Revoke(id("p1"), assignments[index].clone());
    let user = Removal::User(UserId::new("u1").unwrap());
    assert_eq!(
        access(&tenant, &found, &identity()),
        [revoke(0), revoke(1), revoke(2), user]
    );
}

#[test]
fn access_to_an_adopted_project_that_is_not_ours_stays() {
    let tenant = with_status(tenant(json!({"tenantID": "p1"})), "p1", "u1");
    let member = held(by_user("u5"), "stackube-view");
    let assignments = vec![
        member.clone(),
        held(by_user("service-user"), "member"),
        held(by_user("u6"), "member"),
    ];
    let found = found(Some(project("p1", &[])), Some(our_user()), assignments);
    let user = Removal::User(UserId::new("u1").unwrap());
    assert_eq!(
        access(&tenant, &found, &identity()),
        [Removal::Revoke(id("p1"), member), user]
    );
}

#[test]
fn access_of_others_stays() {
    let refused = tenant(json!({}));
    let theirs = vec![held(by_user("u7"), "stackube-admin")];
    let found = found(Some(project("p7", &[])), Some(user("u7", "somebody")), theirs);
    assert_eq!(access(&refused, &found, &identity()), []);
}
