//! A configuration that cannot work is told in words, nothing is made by it, and it works when it is mended. By instances beside the
//! Deployment's, with their own ConfigMap and Secret: they stand by, and disturb nobody.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use stackube_e2e::{
    always::always,
    controller::{get, with_instance},
    devbox::Devbox,
    keystone::{Keystone, with_keystone},
    tenant, wait,
};
use stackube_openstack::{id::UserId, identity::UpdateUser};

use crate::shared;

/// A container that starts, and a look at OpenStack every 30 s while a person has to change something.
const LOOKED: Duration = Duration::from_secs(120);

/// The Deployment's ConfigMap with other values, and a Secret, both named `name`; gone afterwards.
async fn with_configuration(
    devbox: &Devbox,
    name: &str,
    change: &Value,
    secret: &Value,
    body: impl Future<Output = ()>,
) {
    let get = [
        "-n",
        "stackube-system",
        "get",
        "configmap",
        "stackube-config",
        "-o",
        "json",
    ];
    let original: Value = serde_json::from_str(&devbox.kubectl(&get, "").await.unwrap()).unwrap();
    let mut data = original["data"].as_object().unwrap().clone();
    data.extend(change.as_object().unwrap().clone());
    let metadata = json!({"name": name, "namespace": "stackube-system"});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data},
        {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": secret},
    ]});
    devbox.kubectl(&["apply", "-f", "-"], &list.to_string()).await.unwrap();
    always(body, async {
        let delete = ["-n", "stackube-system", "delete", "configmap,secret", name];
        devbox.kubectl(&delete, "").await.unwrap();
    })
    .await;
}

/// An instance with the configuration `name`.
async fn with_configured(devbox: &Devbox, name: &str, port: u16, body: impl Future<Output = ()>) {
    let own = |spec: &mut Value| {
        for volume in spec["volumes"].as_array_mut().unwrap() {
            for (kind, key) in [("configMap", "name"), ("secret", "secretName")] {
                if volume[kind].is_object() {
                    volume[kind][key] = name.into();
                }
            }
        }
    };
    with_instance(devbox, name, port, own, body).await;
}

/// Waits until `/readyz` says this.
async fn says(devbox: &Devbox, port: u16, words: &[&str]) {
    let probe = async || -> Result<()> {
        let text = get(devbox, port, "readyz").await?;
        ensure!(words.iter().all(|word| text.contains(word)), "{text}");
        Ok(())
    };
    wait::until(&format!("/readyz says {words:?}"), LOOKED, probe).await;
}

/// A service user of the test's own, that is administrator as the real one is; its ID.
async fn service_user(devbox: &Devbox, keystone: &Keystone, name: &str) -> String {
    let session = devbox.cloud.service();
    let domain = session.find_domain("Default").await.unwrap().unwrap().id;
    let project = session.find_project(&domain, "stackube").await.unwrap().unwrap().id;
    let user = json!({"name": name, "domain_id": domain.to_string(), "password": "another"});
    let user = keystone.make("users", "user", user).await.unwrap();
    let admin = keystone.role("admin").await.unwrap();
    keystone
        .grant(&format!("projects/{project}"), &user, &admin)
        .await
        .unwrap();
    user
}

/// A wrong password, mended in Keystone: that is found without a restart.
async fn assert_credentials_matter(devbox: &Devbox, keystone: &Keystone) {
    let (of, port, name) = ("stackube-e2e-credentials", 10361, tenant::unique("service"));
    let user = service_user(devbox, keystone, &name).await;
    let secret = json!({"username": name, "password": "of-the-secret"});
    let body = with_configured(devbox, of, port, async {
        says(devbox, port, &["Keystone refused the credentials", "check user"]).await;
        let change = UpdateUser {
            password: Some("of-the-secret".to_owned().into()),
            ..UpdateUser::default()
        };
        let user = UserId::new(user.as_str()).unwrap();
        devbox.cloud.service().update_user(&user, &change).await.unwrap();
        says(devbox, port, &["ok"]).await;
    });
    with_configuration(devbox, of, &json!({}), &secret, body).await;
}

/// An external network that there is not, mended in the ConfigMap.
async fn assert_external_network_matters(devbox: &Devbox, keystone: &Keystone) {
    let (of, port, name) = ("stackube-e2e-external", 10362, tenant::unique("service"));
    service_user(devbox, keystone, &name).await;
    let secret = json!({"username": name, "password": "another"});
    let unknown = json!({"ext-net-id": "00000000-0000-4000-8000-000000000000"});
    let body = with_configured(devbox, of, port, async {
        says(devbox, port, &["Neutron has no network 00000000", "correct ext-net-id"]).await;
    });
    with_configuration(devbox, of, &unknown, &secret, body).await;
    let body = with_configured(devbox, of, port, says(devbox, port, &["ok"]));
    with_configuration(devbox, of, &json!({}), &secret, body).await;
}

#[tokio::test]
async fn what_cannot_work_is_told_and_works_when_it_is_mended() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_keystone(&devbox, async |keystone| {
        tokio::join!(
            assert_credentials_matter(&devbox, keystone),
            assert_external_network_matters(&devbox, keystone)
        );
    })
    .await;
}
