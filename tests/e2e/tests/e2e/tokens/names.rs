//! Names that somebody chose in Keystone decide nothing.

use super::*;

/// Asserts that the bearer is this user and nothing else, whatever anything is called.
async fn is_only(devbox: &Devbox, token: &str, user: &str, project: &str) {
    // Keystone may refuse a good token for a moment, while other tests change users and roles.
    let who = wait::until("the token is accepted", Duration::from_secs(30), || {
        whoami(devbox, token)
    })
    .await;
    assert_eq!(who["username"], format!("keystone:user:{user}"));
    assert_eq!(who["uid"], user);
    let prefix = format!("keystone:project:{project}:");
    for group in who["groups"].as_array().unwrap() {
        let group = group.as_str().unwrap();
        let id = group.strip_prefix(&prefix).unwrap_or_default();
        let is_own = id == format!("user:{user}");
        let is_role = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        assert!(is_own || is_role || group == "system:authenticated", "{who}");
    }
}

#[tokio::test]
async fn names_of_the_systems_own_give_nothing() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "names", "", async |tenant| {
        let owner = Owner::of(&tenant);
        with_keystone(&devbox, async |keystone| {
            let domain = json!({"name": tenant::unique("domain")});
            let domain = keystone.make("domains", "domain", domain).await.unwrap();
            let role = match keystone.role("system:masters").await {
                // Left by a run that was killed.
                Ok(role) => role,
                Err(_) => keystone
                    .make("roles", "role", json!({"name": "system:masters"}))
                    .await
                    .unwrap(),
            };
            let masters = json!({"name": "system:masters", "domain_id": domain});
            let masters = keystone.make("projects", "project", masters).await.unwrap();
            for name in [
                "system:admin",
                "system:serviceaccount:kube-system:default",
                "kubernetes-admin",
            ] {
                let user = json!({"name": name, "domain_id": domain, "password": "secret-1"});
                let user = keystone.make("users", "user", user).await.unwrap();
                for place in [&owner.project, &masters] {
                    keystone
                        .grant(&format!("projects/{place}"), &user, &role)
                        .await
                        .unwrap();
                }
                let proof = by_password(&user, "secret-1");
                let elsewhere = keystone.issue(&proof, project(&masters)).await.unwrap();
                refused(&devbox, "a project called system:masters", &elsewhere).await;
                let token = keystone.issue(&proof, project(&owner.project)).await.unwrap();
                is_only(&devbox, &token, &user, &owner.project).await;
                for command in [
                    &["get", "nodes"][..],
                    &["-n", "kube-system", "get", "secrets"],
                    &["-n", &owner.tenant, "get", "pods"],
                ] {
                    let error = devbox.kubectl_with(&token, command).await.unwrap_err();
                    assert!(format!("{error:#}").contains("Forbidden"), "{command:?}: {error:#}");
                }
            }
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn one_name_in_two_domains_is_two_users() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "twins", "", async |tenant| {
        let owner = Owner::of(&tenant);
        with_keystone(&devbox, async |keystone| {
            let domain = json!({"name": tenant::unique("domain")});
            let domain = keystone.make("domains", "domain", domain).await.unwrap();
            let twin = json!({"name": owner.tenant, "domain_id": domain, "password": owner.password});
            let twin = keystone.make("users", "user", twin).await.unwrap();
            let proof = by_password(&twin, &owner.password);
            keystone.issue(&proof, project(&owner.project)).await.unwrap_err();

            let members = json!({"spec": {"members": [{"user": twin, "role": "view"}]}}).to_string();
            let patch = ["patch", "tenant", &owner.tenant, "--type=merge", "-p", &members];
            devbox.kubectl(&patch, "").await.unwrap();
            let token = wait::until("the twin is a member", Duration::from_secs(60), || {
                keystone.issue(&proof, project(&owner.project))
            })
            .await;
            let own = owner.token(keystone).await;
            is_only(&devbox, &token, &twin, &owner.project).await;
            is_only(&devbox, &own, &owner.user, &owner.project).await;
            let create = ["-n", &owner.tenant, "create", "configmap", "c"];
            let error = devbox.kubectl_with(&token, &create).await.unwrap_err();
            assert!(format!("{error:#}").contains("forbidden"), "{error:#}");
            devbox.kubectl_with(&own, &create).await.unwrap();
            let get = ["-n", &owner.tenant, "get", "configmap", "c"];
            devbox.kubectl_with(&token, &get).await.unwrap();
        })
        .await;
    })
    .await;
}
