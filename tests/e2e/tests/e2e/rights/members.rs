//! Somebody for each of Stackube's roles.

use std::time::Duration;

use anyhow::ensure;
use kube::{Client, ResourceExt};
use serde_json::json;
use stackube_api::Tenant;
use stackube_e2e::{
    devbox::Devbox,
    identity::Identity,
    keystone::{Keystone, by_password, project},
    tenant, wait,
};

use crate::tokens::Owner;

/// A member of a tenant, with a token of Keystone.
pub(super) struct Member {
    /// Its role in Keystone.
    pub(super) role: &'static str,
    pub(super) token: String,
    /// Shows the token.
    pub(super) client: Client,
}

/// The tenant's own user, who is its administrator, and two new members: admin, edit, view.
pub(super) async fn of(devbox: &Devbox, keystone: &Keystone, tenant: &Tenant) -> [Member; 3] {
    let owner = Owner::of(tenant);
    let name = tenant.name_any();
    let mut proofs = vec![];
    for _ in 0..2 {
        let user = tenant::unique("member");
        let made = json!({"name": user, "domain_id": "default", "password": user});
        let id = keystone.make("users", "user", made).await.unwrap();
        proofs.push((by_password(&id, &user), id));
    }
    let members = json!([{"user": proofs[0].1, "role": "edit"}, {"user": proofs[1].1, "role": "view"}]);
    let members = json!({"spec": {"members": members}}).to_string();
    let patch = ["patch", "tenant", &name, "--type=merge", "-p", &members];
    devbox.kubectl(&patch, "").await.unwrap();
    let member = async |role, proof| {
        wait::until("a member has its role", Duration::from_secs(60), || async {
            let token = keystone.issue(&proof, project(&owner.project)).await?;
            let client = devbox.client_with(&token).await?;
            let may = Identity::bearer().may(&client, "get", "/pods", &name, "").await?;
            ensure!(may, "{role} may not read pods");
            Ok::<_, anyhow::Error>(Member { role, token, client })
        })
        .await
    };
    [
        member("stackube-admin", owner.proof()).await,
        member("stackube-edit", proofs[0].0.clone()).await,
        member("stackube-view", proofs[1].0.clone()).await,
    ]
}
