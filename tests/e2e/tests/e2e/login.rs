//! Keystone users in kubectl: the real kubectl, the real `stackube`, tokens of the real Keystone.

use std::time::Duration;

use anyhow::ensure;
use kube::ResourceExt;
use secrecy::ExposeSecret;
use stackube_api::{Tenant, TenantState};
use stackube_e2e::{
    desk::{Desk, password},
    devbox::Devbox,
    tenant, wait,
};

use crate::shared;

/// Asserts that the API server says no to a user whom it knows.
async fn assert_forbidden(desk: &Desk, arguments: &[&str]) {
    let error = desk.kubectl(arguments).await.unwrap_err().to_string();
    assert!(error.contains("forbidden"), "{arguments:?}: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keystone_user_has_the_own_namespace_and_nothing_else() {
    let _shared = shared().await;
    let devbox = Devbox::connect().await;
    tenant::with_two_tenants(&devbox, "login", async |a, b| {
        let (name, other) = (a.name_any(), b.name_any());
        let desk = Desk::of(&devbox, &a).await.unwrap();

        let who = desk.kubectl(&["auth", "whoami", "-o", "json"]).await.unwrap();
        let who: serde_json::Value = serde_json::from_str(&who).unwrap();
        let user = &who["status"]["userInfo"];
        let status = a.status.as_ref().unwrap();
        assert_eq!(user["uid"].as_str(), status.user_id.as_deref());
        assert_eq!(
            user["extra"]["stackube.kubernetes.io/tenant"],
            serde_json::json!([name])
        );
        let groups: Vec<&str> = user["groups"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|group| group.as_str())
            .collect();
        let prefix = format!("keystone:project:{}:", tenant::project_of(&a));
        assert!(
            groups
                .iter()
                .all(|group| group.starts_with(&prefix) || *group == "system:authenticated"),
            "{groups:?}"
        );

        assert_eq!(desk.kubectl(&["get", "pods"]).await.unwrap(), "");
        desk.kubectl(&["create", "configmap", "mine", "--from-literal=a=b"])
            .await
            .unwrap();
        desk.kubectl(&["delete", "configmap", "mine"]).await.unwrap();
        assert_forbidden(&desk, &["-n", &other, "get", "pods"]).await;
        assert_forbidden(&desk, &["-n", "stackube-system", "get", "secrets"]).await;
        assert_forbidden(&desk, &["get", "nodes"]).await;
        assert_forbidden(&desk, &["get", "namespaces"]).await;
        assert_forbidden(&desk, &["create", "namespace", "e2e-login"]).await;

        let tenants = desk.run(&["kubectl", "stackube", "tenants"]).await.unwrap();
        assert!(tenants.contains(&name) && !tenants.contains(&other), "{tenants}");
        doctor(&devbox, &desk, &a).await;
    })
    .await;
}

/// Asserts that `stackube doctor` finds nothing wrong where nothing is, and says of what is wrong what to do.
async fn doctor(devbox: &Devbox, desk: &Desk, tenant: &Tenant) {
    let name = tenant.name_any();
    let assert_says = async |environment: &[(&str, &str)], good: bool, lines: &[&[&str]]| {
        let (all_well, report) = desk.doctor(environment).await.unwrap();
        assert_eq!(all_well, good, "{environment:?}: {report}");
        for words in lines {
            let said = report.lines().any(|line| words.iter().all(|word| line.contains(word)));
            assert!(said, "no line with {words:?}: {report}");
        }
    };
    let active = format!("{name} is Active");
    assert_says(&[], true, &[&["ok", &active], &["skipped", "nodes", "administrator"]]).await;
    let admin = devbox.clouds().with_file_name("kubeconfig");
    let administrator = [("KUBECONFIG", admin.to_str().unwrap())];
    let parts: [&[&str]; 9] = [
        &["ok", "Stackube's pods", "ready"],
        &["ok", "nodes", "1 ready"],
        &["ok", "custom resources"],
        &["ok", "configuration", "same Keystone"],
        &["ok", "admission policies", "all there"],
        &["ok", "limits of tenants"],
        &["runtimes", "RuntimeClass"],
        &["ok", "rights of tenants", "all there"],
        &["ok", "Neutron", "answers"],
    ];
    // Another test may have broken pods in Stackube's namespace for a while.
    wait::until(
        "an administrator's doctor finds nothing wrong",
        Duration::from_secs(240),
        || async {
            let (all_well, report) = desk.doctor(&administrator).await?;
            ensure!(all_well, "{report}");
            for words in parts {
                let said = report.lines().any(|line| words.iter().all(|word| line.contains(word)));
                ensure!(said, "no line with {words:?}: {report}");
            }
            Ok(())
        },
    )
    .await;

    let wrong = desk.altered("clouds.yaml", &password(tenant), "wrong").unwrap();
    let refused: &[&str] = &["FAILED", "Keystone", "refused the credentials"];
    assert_says(&[("OS_CLIENT_CONFIG_FILE", &wrong)], false, &[refused]).await;
    let nowhere = desk.altered("kubeconfig", ":6443", ":9").unwrap();
    let away: &[&str] = &["FAILED", "API server", "check the address in the kubeconfig"];
    assert_says(&[("KUBECONFIG", &nowhere)], false, &[away]).await;

    let patch = r#"{"spec":{"runtimeClassName":"e2e-none"}}"#;
    let patch = ["patch", "tenant", &name, "--type=merge", "-p", patch];
    devbox.kubectl(&patch, "").await.unwrap();
    tenant::in_state(devbox, &name, TenantState::Failed, Duration::from_secs(60)).await;
    let failed = format!("{name} is Failed");
    assert_says(
        &[],
        false,
        &[&["FAILED", "your tenant", &failed, "no RuntimeClass e2e-none"]],
    )
    .await;
    assert_says(&administrator, false, &[&["warning", "all tenants", &failed]]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_no_tenants_are_refused() {
    let _shared = shared().await;
    let devbox = Devbox::connect().await;
    tenant::with_tenant(&devbox, "tokens", "", async |tenant| {
        let name = tenant.name_any();
        let desk = Desk::of(&devbox, &tenant).await.unwrap();
        desk.kubectl(&["get", "pods"]).await.unwrap();

        // The cloud's administrator, in a project that is no tenant.
        let admin = devbox.cloud.service().bearer_token().await.unwrap();
        let made_up = format!("gAAAAA{}", "b".repeat(177));
        let foreign = admin.secret.expose_secret();
        for token in [foreign, &made_up, "gAAAAA", "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"] {
            let refused = devbox.kubectl_with(token, &["-n", &name, "get", "pods"]).await;
            let error = refused.unwrap_err().to_string();
            assert!(
                error.contains("Unauthorized") || error.contains("must be logged in"),
                "{error}"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_ends_old_tokens_within_the_bound() {
    let _shared = shared().await;
    let devbox = Devbox::connect().await;
    tenant::with_tenant(&devbox, "revoke", "", async |tenant| {
        let name = tenant.name_any();
        let desk = Desk::of(&devbox, &tenant).await.unwrap();
        desk.kubectl(&["get", "pods"]).await.unwrap();
        let old = desk.token().unwrap();
        let get = ["-n", &name, "get", "pods"];
        devbox.kubectl_with(&old, &get).await.unwrap();

        let changed = format!("changed-{name}");
        let patch = format!(r#"{{"spec":{{"password":"changed-{name}"}}}}"#);
        devbox
            .kubectl(&["patch", "tenant", &name, "--type=merge", "-p", &patch], "")
            .await
            .unwrap();
        // What fails on the way is tried again within 30 s.
        wait::until("the new password", Duration::from_secs(60), || {
            devbox.log_in(&name, &name, &changed)
        })
        .await;
        // 20 s in stackube-auth, 30 s and 10 s in the API server, and the time that a busy machine needs to ask.
        wait::until("the old token refused", Duration::from_secs(75), || async {
            let answer = devbox.kubectl_with(&old, &get).await;
            ensure!(answer.is_err(), "the old token still works");
            Ok(())
        })
        .await;
    })
    .await;
}
