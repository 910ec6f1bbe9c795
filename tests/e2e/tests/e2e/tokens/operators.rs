//! Who operates the cluster by a role in Keystone: whom `devbox/stackube/deploy.sh` configures.

use serde_json::{Value, json};
use stackube_e2e::{
    devbox::Devbox,
    identity::Identity,
    keystone::{Keystone, by_password, project, with_keystone},
    tenant,
};

use super::{refused, whoami};
use crate::shared;

/// Verb, `group/resource/subresource`, namespace, and whether an operator may.
const RIGHTS: [(&str, &str, &str, bool); 13] = [
    ("list", "stackube.kubernetes.io/tenants", "", true),
    ("create", "stackube.kubernetes.io/tenants", "", true),
    ("delete", "stackube.kubernetes.io/tenants", "", true),
    ("list", "/pods", "", true),
    ("get", "/nodes", "", true),
    ("update", "stackube.kubernetes.io/tenants/status", "", false),
    ("create", "/pods", "", false),
    ("create", "/pods/exec", "", false),
    ("delete", "/namespaces", "", false),
    ("patch", "/nodes", "", false),
    ("list", "/secrets", "", false),
    ("get", "/secrets", "stackube-system", false),
    ("impersonate", "/users", "", false),
];

/// A new user with a role in `place` (`projects/<ID>` or `domains/<ID>`); a token for it.
async fn holder(keystone: &Keystone, role: &str, place: &str) -> String {
    let name = tenant::unique("operator");
    let user = json!({"name": name, "domain_id": "default", "password": name});
    let user = keystone.make("users", "user", user).await.unwrap();
    let role = keystone.role(role).await.unwrap();
    keystone.grant(place, &user, &role).await.unwrap();
    let scope = match place.split_once('/').unwrap() {
        ("domains", id) => Some(json!({"domain": {"id": id}})),
        (_, id) => project(id),
    };
    keystone.issue(&by_password(&user, &name), scope).await.unwrap()
}

/// Asserts that the bearer is an operator for the API server, with an operator's rights and no other.
async fn assert_operates(devbox: &Devbox, token: &str) {
    let user = whoami(devbox, token).await.unwrap();
    let groups = user["groups"].as_array().unwrap();
    assert!(groups.contains(&Value::from("stackube:operators")), "{user}");
    let client = devbox.client_with(token).await.unwrap();
    let bearer = Identity::bearer();
    for (verb, resource, namespace, expected) in RIGHTS {
        let may = bearer.may(&client, verb, resource, namespace, "").await.unwrap();
        assert_eq!(may, expected, "{verb} {resource} in {namespace:?}");
    }
    let name = tenant::unique("operated");
    let made = json!({"apiVersion": "stackube.kubernetes.io/v1", "kind": "Tenant", "metadata": {"name": name},
        "spec": {"username": name, "password": name}});
    let path = "/apis/stackube.kubernetes.io/v1/tenants";
    bearer.try_create(&client, path, &made).await.unwrap();
    devbox.kubectl_with(token, &["get", "tenants"]).await.unwrap();
    let secrets = ["-n", "stackube-system", "get", "secrets"];
    let error = devbox.kubectl_with(token, &secrets).await.unwrap_err();
    assert!(format!("{error:#}").contains("forbidden"), "{error:#}");
}

#[tokio::test]
async fn the_configured_role_in_the_configured_place_operates_and_nothing_like_it() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    let session = devbox.cloud.service();
    let domain = session.find_domain("operators").await.unwrap().unwrap().id;
    let own = session.find_project(&domain, "operators").await.unwrap().unwrap().id;
    with_keystone(&devbox, async |keystone| {
        for place in [format!("projects/{own}"), format!("domains/{domain}")] {
            assert_operates(&devbox, &holder(keystone, "operator", &place).await).await;
            let other = holder(keystone, "admin", &place).await;
            refused(&devbox, "another role there", &other).await;
        }
        let elsewhere = json!({"name": tenant::unique("domain")});
        let elsewhere = keystone.make("domains", "domain", elsewhere).await.unwrap();
        let named = json!({"name": "operators", "domain_id": elsewhere});
        let named = keystone.make("projects", "project", named).await.unwrap();
        for place in [format!("projects/{named}"), format!("domains/{elsewhere}")] {
            let elsewhere = holder(keystone, "operator", &place).await;
            refused(&devbox, "the role elsewhere", &elsewhere).await;
        }
    })
    .await;
}
