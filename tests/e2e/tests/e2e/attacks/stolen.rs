//! What a token of a service account gets whoever has it, with all rights that the tenant's administrator can give.

use std::time::Duration;

use anyhow::ensure;
use stackube_e2e::{devbox::Devbox, identity::Identity, wait};

use super::{Count, assert_answers, tables};
use crate::rights::{self, OTHERS};

/// Gives the namespace's default service account what `who` has.
pub(super) async fn bind(devbox: &Devbox, who: &Identity, namespace: &str) {
    let flags = who.flags();
    let account = format!("--serviceaccount={namespace}:default");
    let binding = [
        "create",
        "rolebinding",
        "stolen",
        "--clusterrole=stackube-admin",
        &account,
    ];
    let flags = flags.iter().map(String::as_str).chain(["-n", namespace]);
    let all: Vec<&str> = flags.chain(binding).collect();
    devbox.kubectl(&all, "").await.unwrap();
}

/// Sends everything in the name of such a token: it is as good as its tenant's administrator there, and nobody elsewhere.
pub(super) async fn token(devbox: &Devbox, who: &Identity, namespace: &str, project: &str) -> Count {
    bind(devbox, who, namespace).await;
    let flags = who.flags();
    let flags = flags.iter().map(String::as_str).chain(["-n", namespace]);
    let all: Vec<&str> = flags.chain(["create", "token", "default"]).collect();
    let token = devbox.kubectl(&all, "").await.unwrap();
    let client = devbox.client_with(token.trim()).await.unwrap();
    let bearer = Identity::bearer();
    wait::until("the account has its rights", Duration::from_secs(30), || async {
        let may = bearer.may(&client, "get", "/pods", namespace, "").await?;
        ensure!(may, "it may not read pods");
        Ok::<_, anyhow::Error>(())
    })
    .await;
    let mut count = assert_answers(&client, &bearer, tables::pods(namespace)).await;
    count += assert_answers(&client, &bearer, tables::objects(namespace, project)).await;
    rights::assert_reviewed(&client, 0, namespace, &OTHERS).await;
    let (tried, refused) = rights::requests::assert_answered(&client, 0, namespace, &OTHERS).await;
    count += Count { tried, refused };
    count
}
