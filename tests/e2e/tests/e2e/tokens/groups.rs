//! Members that are groups of Keystone: what their users may, and until when.

use super::*;

/// Somebody without any role but by a group.
struct User {
    id: String,
    proof: Value,
}

impl User {
    async fn make(keystone: &Keystone) -> Self {
        let name = tenant::unique("grouped");
        let user = json!({"name": name, "domain_id": "default", "password": name});
        let id = keystone.make("users", "user", user).await.unwrap();
        Self {
            proof: by_password(&id, &name),
            id,
        }
    }

    /// Waits until the user gets a token of the project that lets it work in the namespace; the token.
    async fn let_in(&self, devbox: &Devbox, keystone: &Keystone, owner: &Owner) -> String {
        wait::until("the group's user is let in", Duration::from_secs(60), || async {
            let token = keystone.issue(&self.proof, project(&owner.project)).await?;
            let create = ["-n", &owner.tenant, "create", "configmap", "mine", "--dry-run=server"];
            devbox.kubectl_with(&token, &create).await?;
            Ok::<_, anyhow::Error>(token)
        })
        .await
    }

    /// Waits until Keystone gives the user no token of the project any more, and then, for as long as is promised, until the one
    /// that it has is nobody's.
    async fn shut_out(&self, devbox: &Devbox, keystone: &Keystone, owner: &Owner, token: &str) {
        wait::until("no role in Keystone", Duration::from_secs(60), || async {
            let issued = keystone.issue(&self.proof, project(&owner.project)).await;
            ensure!(issued.is_err(), "a token is still issued");
            Ok(())
        })
        .await;
        wait::until("the old token ends", BOUND, || async {
            let known = whoami(devbox, token).await;
            ensure!(known.is_err(), "let in as {known:?}");
            Ok(())
        })
        .await;
        refused(devbox, "a token of a group's user", token).await;
    }
}

async fn set_members(devbox: &Devbox, tenant: &str, members: Value) {
    let patch = json!({"spec": {"members": members}}).to_string();
    let patch = ["patch", "tenant", tenant, "--type=merge", "-p", &patch];
    devbox.kubectl(&patch, "").await.unwrap();
}

#[tokio::test]
async fn a_groups_users_are_let_in_while_it_is_a_member() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "group", "", async |tenant| {
        let owner = Owner::of(&tenant);
        with_keystone(&devbox, async |keystone| {
            let (user, other) = tokio::join!(User::make(keystone), User::make(keystone));
            let group = json!({"name": tenant::unique("group"), "domain_id": "default"});
            let group = keystone.make("groups", "group", group).await.unwrap();
            keystone.join(&group, &user.id).await.unwrap();
            set_members(&devbox, &owner.tenant, json!([{"group": group, "role": "edit"}])).await;

            let token = user.let_in(&devbox, keystone, &owner).await;
            assert_edits_and_no_more(&devbox, &owner.tenant, &token).await;
            let stranger = keystone.issue(&other.proof, project(&owner.project)).await;
            stranger.expect_err("a token for who is not in the group");

            // Who is in the group is Keystone's matter: the Tenant does not change.
            let seat = format!("groups/{group}/users/{}", user.id);
            keystone.remove(&seat).await.unwrap();
            user.shut_out(&devbox, keystone, &owner, &token).await;
            keystone.join(&group, &user.id).await.unwrap();
            let token = user.let_in(&devbox, keystone, &owner).await;
            set_members(&devbox, &owner.tenant, json!([])).await;
            user.shut_out(&devbox, keystone, &owner, &token).await;
        })
        .await;
    })
    .await;
}

/// Asserts that the bearer has the role that the group was given, and has it in the tenant's namespace.
async fn assert_edits_and_no_more(devbox: &Devbox, tenant: &str, token: &str) {
    let kubectl = async |arguments: &[&str]| devbox.kubectl_with(token, arguments).await;
    kubectl(&["-n", tenant, "get", "pods"]).await.unwrap();
    for refused in [
        &[
            "-n",
            tenant,
            "create",
            "role",
            "mine",
            "--verb=get",
            "--resource=pods",
            "--dry-run=server",
        ][..],
        &["-n", "kube-system", "get", "pods"],
    ] {
        let error = kubectl(refused).await.unwrap_err().to_string();
        assert!(error.contains("forbidden"), "{refused:?}: {error}");
    }
}
