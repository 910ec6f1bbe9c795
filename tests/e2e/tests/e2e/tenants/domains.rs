//! Tenants in a domain of Keystone that is not the configured one.

use serde_json::Value;
use stackube_e2e::keystone::{Keystone, by_password, project, with_keystone};
use stackube_openstack::{Optional, Session, id::DomainId};

use super::*;

#[tokio::test]
async fn a_tenant_is_in_the_domain_that_it_names() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_keystone(&devbox, async |keystone| {
        let session = devbox.cloud.service();
        let domain = tenant::unique("domain");
        let id = keystone
            .make("domains", "domain", json!({"name": domain}))
            .await
            .unwrap();
        let id = DomainId::new(id).unwrap();
        let mut made = None;
        with_tenant(&devbox, "domain", &format!("domain: {domain}"), async |tenant| {
            made = Some(assert_all_is_in(&session, &tenant, &id).await);
            assert_owner_is_let_in(&devbox, keystone, &tenant).await;
        })
        .await;
        // The domain takes with it whatever is in it, so the user is looked for before.
        let left = session.get_user(&made.unwrap()).await.optional().unwrap();
        assert!(left.is_none(), "{left:?}");
        assert_others_are_refused(&devbox, keystone, &id).await;
    })
    .await;
}

/// Asserts that project and user are in the domain, and no namesakes in the configured one; the user.
async fn assert_all_is_in(session: &Session, tenant: &Tenant, domain: &DomainId) -> UserId {
    let name = tenant.name_any();
    let user = UserId::new(status(tenant).user_id.unwrap()).unwrap();
    let project = session.get_project(&tenant::project_of(tenant)).await.unwrap();
    let found = session.get_user(&user).await.unwrap();
    assert_eq!((project.name.as_str(), &project.domain_id), (name.as_str(), domain));
    assert_eq!((found.name.as_str(), &found.domain_id), (name.as_str(), domain));
    let configured = session.find_domain("Default").await.unwrap().unwrap().id;
    assert!(session.find_project(&configured, &name).await.unwrap().is_none());
    assert!(session.find_user(&configured, &name).await.unwrap().is_none());
    user
}

/// Asserts that kubectl serves the tenant's user with a token of Keystone.
async fn assert_owner_is_let_in(devbox: &Devbox, keystone: &Keystone, tenant: &Tenant) {
    let name = tenant.name_any();
    let proof = by_password(&status(tenant).user_id.unwrap(), &format!("initial-{name}"));
    let scope = project(tenant::project_of(tenant).as_str());
    let token = keystone.issue(&proof, scope).await.unwrap();
    devbox
        .kubectl_with(&token, &["-n", &name, "get", "pods"])
        .await
        .unwrap();
}

/// Asserts that a Tenant gets no project of a domain that it does not name, nor anything else.
async fn assert_others_are_refused(devbox: &Devbox, keystone: &Keystone, domain: &DomainId) {
    let project = json!({"name": tenant::unique("foreign"), "domain_id": domain.as_str()});
    let project: Value = keystone.make("projects", "project", project).await.unwrap().into();
    let name = tenant::unique("foreign");
    tenant::create(devbox, &name, &format!("tenantID: {project}"))
        .await
        .unwrap();
    let body = async {
        let refused = tenant::in_state(devbox, &name, TenantState::Failed, Duration::from_secs(90)).await;
        let status = status(&refused);
        let message = status.message.unwrap_or_default();
        let says = format!("is in the domain {domain}, not in");
        assert!(message.contains(&says) && message.contains("spec.domain"), "{message}");
        assert_eq!((status.project_id, status.user_id), (None, None));
        let id = ProjectId::new(project.as_str().unwrap()).unwrap();
        let roles = devbox.cloud.service().list_role_assignments_of_project(&id).await;
        assert_eq!(roles.unwrap(), []);
    };
    always(body, tenant::delete(devbox, &name)).await;
    tenant::assert_nothing_named(devbox, &name).await;
}
