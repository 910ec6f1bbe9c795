//! What is sent to Keystone, and look-ups by name.

use serde_json::{Value, json};
use stackube_openstack::Error;
use stackube_openstack::identity::{Actor, AssignmentScope, CreateProject, CreateRole, UpdateProject};
use wiremock::ResponseTemplate;

use crate::support::{Fake, TENANT, ok, own, tenant};

fn project(id: &str, domain: &str) -> Value {
    json!({"id": id, "name": "test", "domain_id": domain, "enabled": true, "description": "", "tags": ["stackube"],
        "is_domain": false, "parent_id": domain, "options": {}, "links": {"self": "x"}})
}

#[tokio::test]
async fn projects_are_made_with_tags_and_description() {
    let fake = Fake::start().await;
    let at = "/identity/v3/projects";
    fake.mount(
        "POST",
        at,
        ResponseTemplate::new(201).set_body_json(json!({"project": project("p1", "default")})),
    )
    .await;
    fake.mount(
        "PATCH",
        &format!("{at}/p1"),
        ok(json!({"project": project("p1", "default")})),
    )
    .await;
    let session = fake.cloud().service();
    let new = CreateProject {
        name: "test".into(),
        domain_id: "default".parse().unwrap(),
        description: "d".into(),
        tags: vec!["stackube".into()],
        enabled: true,
    };
    let made = session.create_project(&new).await.unwrap();
    let change = UpdateProject {
        enabled: Some(false),
        ..UpdateProject::default()
    };
    session.update_project(&made.id, &change).await.unwrap();
    let sent: Value = fake.requests("POST", at).await[0].body_json().unwrap();
    let expected =
        json!({"name": "test", "domain_id": "default", "description": "d", "tags": ["stackube"], "enabled": true});
    assert_eq!(sent, json!({"project": expected}));
    let sent: Value = fake.requests("PATCH", &format!("{at}/p1")).await[0]
        .body_json()
        .unwrap();
    assert_eq!(sent, json!({"project": {"enabled": false}}));
}

#[tokio::test]
async fn a_look_up_by_name_takes_only_the_exact_domain() {
    let fake = Fake::start().await;
    fake.mount(
        "GET",
        "/identity/v3/projects",
        ok(json!({"projects": [project("p1", "default"), project("p2", "other")]})),
    )
    .await;
    let session = fake.cloud().service();
    let found = session.find_project(&"default".parse().unwrap(), "test").await.unwrap();
    assert_eq!(found.unwrap().id.as_str(), "p1");
    assert!(
        session
            .find_project(&"third".parse().unwrap(), "test")
            .await
            .unwrap()
            .is_none()
    );
    let query = fake.requests("GET", "/identity/v3/projects").await[0]
        .url
        .query()
        .unwrap()
        .to_owned();
    assert_eq!(query, "domain_id=default&name=test");
}

#[tokio::test]
async fn two_matches_are_refused() {
    let fake = Fake::start().await;
    let user = |id: &str| json!({"id": id, "name": "u", "domain_id": "default", "enabled": true});
    fake.mount(
        "GET",
        "/identity/v3/users",
        ok(json!({"users": [user("u1"), user("u2")]})),
    )
    .await;
    let error = fake
        .cloud()
        .service()
        .find_user(&"default".parse().unwrap(), "u")
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Ambiguous { count: 2, .. }), "{error}");
    assert_eq!(
        error.to_string(),
        "2 users match name \"u\" in domain default; refusing to choose one"
    );
}

#[tokio::test]
async fn roles_by_name_are_the_global_ones() {
    let fake = Fake::start().await;
    let role = |id: &str, domain: Value| json!({"id": id, "name": "member", "domain_id": domain});
    let roles = json!({"roles": [role("r1", json!("d1")), role("r2", Value::Null)]});
    fake.mount("GET", "/identity/v3/roles", ok(roles)).await;
    let answer = ResponseTemplate::new(409)
        .set_body_json(json!({"error": {"code": 409, "title": "Conflict", "message": "exists"}}));
    fake.mount("POST", "/identity/v3/roles", answer).await;
    let session = fake.cloud().service();
    assert_eq!(session.find_role("member").await.unwrap().unwrap().id.as_str(), "r2");
    let error = session
        .create_role(&CreateRole {
            name: "member".into(),
            description: String::new(),
        })
        .await
        .unwrap_err();
    assert!(error.is_conflict() && error.kind() == Some("Conflict"), "{error}");
}

#[tokio::test]
async fn roles_are_granted_checked_and_revoked() {
    let fake = Fake::start().await;
    let at = format!("/identity/v3/projects/{TENANT}/users/u1/roles/r1");
    fake.mount("PUT", &at, ResponseTemplate::new(204)).await;
    fake.mount("HEAD", &at, ResponseTemplate::new(204)).await;
    fake.mount("DELETE", &at, ResponseTemplate::new(404)).await;
    let session = fake.cloud().service();
    let (user, role) = (Actor::User("u1".parse().unwrap()), "r1".parse().unwrap());
    session.grant_role(&tenant(), &user, &role).await.unwrap();
    assert!(session.has_role(&tenant(), &user, &role).await.unwrap());
    session.revoke_role(&tenant(), &user, &role).await.unwrap();
    let group = Actor::Group("g1".parse().unwrap());
    assert!(!session.has_role(&tenant(), &group, &role).await.unwrap());
    assert!(
        session
            .grant_role(&tenant(), &group, &role)
            .await
            .unwrap_err()
            .is_not_found()
    );
    assert_eq!(
        fake.requests("PUT", &format!("/identity/v3/projects/{TENANT}/groups/g1/roles/r1"))
            .await
            .len(),
        1
    );
}

#[tokio::test]
async fn assignments_tell_actor_scope_and_inheritance() {
    let fake = Fake::start().await;
    let assignments = json!({"role_assignments": [
        {"role": {"id": "r1"}, "user": {"id": "u1"}, "scope": {"project": {"id": TENANT}}, "links": {"assignment": "x"}},
        {"role": {"id": "r1"}, "group": {"id": "g1"}, "scope": {"domain": {"id": "d1"}, "OS-INHERIT:inherited_to": "projects"}},
        {"role": {"id": "r2"}, "user": {"id": "u1"}, "scope": {"system": {"all": true}}},
    ], "links": {"next": null, "self": "x", "previous": null}});
    fake.mount("GET", "/identity/v3/role_assignments", ok(assignments))
        .await;
    let session = fake.cloud().service();
    let user = Actor::User("u1".parse().unwrap());
    let found = session.list_role_assignments_of_actor(&user).await.unwrap();
    assert_eq!(found.len(), 3);
    assert_eq!(
        (&found[0].actor, &found[0].scope),
        (&user, &AssignmentScope::Project(tenant()))
    );
    assert!(found[1].inherited && !found[0].inherited);
    assert_eq!(found[2].scope, AssignmentScope::System);
    session.list_role_assignments_of_project(&own()).await.unwrap();
    let queries: Vec<_> = fake
        .requests("GET", "/identity/v3/role_assignments")
        .await
        .iter()
        .map(|r| r.url.query().unwrap().to_owned())
        .collect();
    assert_eq!(
        queries,
        ["user.id=u1".to_owned(), format!("scope.project.id={}", own())]
    );

    let unclear = json!({"role_assignments": [{"role": {"id": "r1"}, "scope": {}}]});
    let fake = Fake::start().await;
    fake.mount("GET", "/identity/v3/role_assignments", ok(unclear)).await;
    let error = fake
        .cloud()
        .service()
        .list_role_assignments_of_actor(&user)
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Decode { .. }), "{error}");
}
