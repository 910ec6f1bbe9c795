//! Tenants: what exists while they live, what changes, what is adopted, what is refused, what is left.

use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::core::v1::{LimitRange, Namespace, ResourceQuota, Secret};
use kube::{Api, ResourceExt};
use serde_json::json;
use stackube_api::{Network, Tenant, TenantState};
use stackube_e2e::{
    always::always,
    cloud, controller,
    devbox::Devbox,
    identity::Identity,
    pods,
    tenant::{self, with_tenant},
    wait,
};
use stackube_openstack::{
    id::{NetworkId, ProjectId, RouterId, SecurityGroupId, UserId},
    identity::{Actor, UpdateUser},
    network::Direction,
};

use crate::{immutable, shared};

mod domains;
mod drift;
mod guests;
mod quotas;
mod refused;
mod shares;
mod spoil;

fn status(tenant: &Tenant) -> stackube_api::TenantStatus {
    tenant.status.clone().unwrap()
}

#[tokio::test]
async fn a_tenant_has_what_the_guide_says_and_leaves_nothing() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "life", "", async |tenant| {
        let name = tenant.name_any();
        let session = devbox.cloud.service();
        let project = session.get_project(&tenant::project_of(&tenant)).await.unwrap();
        assert_eq!((project.name.as_str(), project.enabled), (name.as_str(), true));
        let user = session
            .get_user(&UserId::new(status(&tenant).user_id.unwrap()).unwrap())
            .await
            .unwrap();
        assert_eq!(user.name, name);

        let network: Api<Network> = Api::namespaced(devbox.kube.clone(), &name);
        let network = network.get(&name).await.unwrap().status.unwrap();
        let neutron = session
            .get_network(&NetworkId::new(network.network_id.unwrap()).unwrap())
            .await
            .unwrap();
        assert_eq!(neutron.name, format!("kube-{name}-{name}"));
        assert_eq!(neutron.project_id.as_ref(), Some(&project.id));
        shares::assert_none(&devbox, &name).await;
        assert_eq!(neutron.mtu.map(i64::from), network.mtu.map(i64::from));
        let router = session
            .get_router(&RouterId::new(network.router_id.unwrap()).unwrap())
            .await
            .unwrap();
        assert!(
            router.external_gateway_info.is_some(),
            "the router has no external gateway"
        );
        assert_group_admits_itself_only(&devbox, &project.id, &network.security_group_id.unwrap()).await;

        let namespace = Api::<Namespace>::all(devbox.kube.clone()).get(&name).await.unwrap();
        assert_eq!(namespace.labels()["stackube.kubernetes.io/tenant"], name);
        assert_eq!(namespace.labels()["pod-security.kubernetes.io/enforce"], "baseline");
        let quotas: Api<ResourceQuota> = Api::namespaced(devbox.kube.clone(), &name);
        assert_eq!(quotas.list(&Default::default()).await.unwrap().items.len(), 1);
        let limits: Api<LimitRange> = Api::namespaced(devbox.kube.clone(), &name);
        assert_eq!(limits.list(&Default::default()).await.unwrap().items.len(), 1);
        assert_counted(&devbox).await;
        immutable::assert_what_is_not_set_stays_away(&devbox, &name).await;
    })
    .await;
}

/// Asserts that the leader counts what it does, where operators look for it (docs/operator/metrics.md).
async fn assert_counted(devbox: &Devbox) {
    let text = controller::get(devbox, controller::PORT, "metrics").await.unwrap();
    for series in [
        "leader",
        r#"reconciles_total{kind="tenant",outcome="Done"}"#,
        r#"reconciles_total{kind="network",outcome="Done"}"#,
        r#"reconciles_total{kind="node",outcome="Done"}"#,
        r#"reconcile_seconds_count{kind="tenant"}"#,
        r#"openstack_requests_total{service="identity",method="POST",route="projects",status="201"}"#,
        r#"openstack_requests_total{service="network",method="POST",route="routers",status="201"}"#,
    ] {
        let start = format!("stackube_controller_{series} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&start));
        let value: f64 = value.unwrap_or("0").parse().unwrap();
        assert!(value >= 1.0, "{series} is {value} in\n{text}");
    }
}

async fn assert_group_admits_itself_only(devbox: &Devbox, project: &ProjectId, group: &str) {
    let id = SecurityGroupId::new(group).unwrap();
    let rules = devbox
        .cloud
        .service()
        .list_security_group_rules(project, Some(&id))
        .await
        .unwrap();
    let ingress: Vec<_> = rules.iter().filter(|r| r.direction == Direction::Ingress).collect();
    assert!(!ingress.is_empty(), "pods of one tenant could not reach each other");
    for rule in ingress {
        assert_eq!(
            rule.remote_group_id.as_ref().map(SecurityGroupId::as_str),
            Some(group),
            "{rule:?}"
        );
    }
}

#[tokio::test]
async fn the_password_is_moved_and_can_be_changed() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "password", "", async |tenant| {
        let name = tenant.name_any();
        let tenants: Api<Tenant> = Api::all(devbox.kube.clone());
        let stored = serde_json::to_string(&tenants.get(&name).await.unwrap()).unwrap();
        assert!(
            !stored.contains("initial-"),
            "the password is still in the Tenant: {stored}"
        );
        devbox.log_in(&name, &name, &format!("initial-{name}")).await.unwrap();

        // kubectl keeps what it applied in an annotation, the password as well.
        let changed = format!("changed-{name}");
        let manifest = format!(
            "apiVersion: stackube.kubernetes.io/v1\nkind: Tenant\nmetadata: {{name: {name}}}\nspec: {{username: {name}, password: {changed}}}\n"
        );
        devbox.kubectl(&["apply", "-f", "-"], &manifest).await.unwrap();
        wait::until("the new password works", Duration::from_secs(60), || {
            devbox.log_in(&name, &name, &changed)
        })
        .await;
        let stored = serde_json::to_string(&tenants.get(&name).await.unwrap()).unwrap();
        assert!(!stored.contains(&changed), "the password is still in the Tenant: {stored}");
        assert!(
            devbox.log_in(&name, &name, &format!("initial-{name}")).await.is_err(),
            "the old password still works"
        );
        let secrets: Api<Secret> = Api::namespaced(devbox.kube.clone(), "stackube-system");
        assert!(secrets.get_opt(&format!("tenant-{name}")).await.unwrap().is_some());
        assert_own_password_stays(&devbox, &tenant).await;
        assert_secret_is_followed(&devbox, &name, &secrets).await;
    })
    .await;
}

/// A password that the user has chosen in Keystone is not put back by a later reconcile.
async fn assert_own_password_stays(devbox: &Devbox, tenant: &Tenant) {
    let (name, own) = (tenant.name_any(), format!("own-{}", tenant.name_any()));
    let change = UpdateUser {
        password: Some(own.clone().into()),
        ..UpdateUser::default()
    };
    let user = UserId::new(status(tenant).user_id.unwrap()).unwrap();
    devbox.cloud.service().update_user(&user, &change).await.unwrap();
    let patch = r#"{"spec":{"openstackAccess":"reader"}}"#;
    let patch = ["patch", "tenant", &name, "--type=merge", "-p", patch];
    devbox.kubectl(&patch, "").await.unwrap();
    tenant::active(devbox, &name).await;
    devbox.log_in(&name, &name, &own).await.unwrap();
}

/// The Secret of `passwordSecretRef` is read again whenever it changes.
async fn assert_secret_is_followed(devbox: &Devbox, name: &str, secrets: &Api<Secret>) {
    let secret = format!("e2e-of-{name}");
    let body = async {
        for (round, password) in [format!("first-{name}"), format!("second-{name}")].iter().enumerate() {
            let manifest = json!({
                "apiVersion": "v1", "kind": "Secret", "metadata": {"name": secret, "namespace": "stackube-system"},
                "stringData": {"password": password},
            });
            devbox
                .kubectl(&["apply", "-f", "-"], &manifest.to_string())
                .await
                .unwrap();
            if round == 0 {
                let patch = json!({"spec": {"password": null, "passwordSecretRef": {"name": secret}}}).to_string();
                let patch = ["patch", "tenant", name, "--type=merge", "-p", &patch];
                devbox.kubectl(&patch, "").await.unwrap();
            }
            let limit = Duration::from_secs(60);
            wait::until("the Secret's password works", limit, || {
                devbox.log_in(name, name, password)
            })
            .await;
        }
        assert!(devbox.log_in(name, name, &format!("first-{name}")).await.is_err());
    };
    always(body, async {
        secrets.delete(&secret, &Default::default()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn members_and_openstack_access_are_authoritative() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "members", "", async |tenant| {
        let name = tenant.name_any();
        let project = tenant::project_of(&tenant);
        let admin = devbox.cloud.service().token_info().await.unwrap();
        let roles = async |actor: Actor| {
            let assignments = devbox
                .cloud
                .service()
                .list_role_assignments_of_project(&project)
                .await?;
            let mut names = vec![];
            for assignment in assignments.iter().filter(|a| a.actor == actor) {
                names.push(devbox.cloud.service().get_role(&assignment.role).await?.name);
            }
            names.sort();
            Ok::<_, anyhow::Error>(names)
        };
        let member = Actor::User(admin.user_id.clone());
        let own = Actor::User(UserId::new(status(&tenant).user_id.unwrap()).unwrap());
        assert_eq!(roles(own.clone()).await.unwrap(), ["stackube-admin"]);
        for (patch, expected, expected_own) in [
            (
                format!(r#"[{{"user":"{}","role":"edit"}}]"#, admin.user_id),
                vec!["stackube-edit"],
                vec!["reader", "stackube-admin"],
            ),
            (
                format!(r#"[{{"user":"{}","role":"view"}}]"#, admin.user_id),
                vec!["stackube-view"],
                vec!["reader", "stackube-admin"],
            ),
            ("[]".to_owned(), vec![], vec!["reader", "stackube-admin"]),
        ] {
            let patch = format!(r#"{{"spec":{{"openstackAccess":"reader","members":{patch}}}}}"#);
            devbox
                .kubectl(&["patch", "tenant", &name, "--type=merge", "-p", &patch], "")
                .await
                .unwrap();
            wait::until(&format!("roles {expected:?}"), Duration::from_secs(60), || async {
                let (seen, seen_own) = (roles(member.clone()).await?, roles(own.clone()).await?);
                ensure!(
                    seen == expected && seen_own == expected_own,
                    "{seen:?} and {seen_own:?}"
                );
                Ok(())
            })
            .await;
        }
    })
    .await;
}
