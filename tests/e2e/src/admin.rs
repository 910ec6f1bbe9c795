//! Namespaces of the administrator, whose pods are on the system network.

use serde_json::Value;

use crate::{always::always, devbox::Devbox};

/// Gives `body` a namespace without a tenant, which goes whatever `body` does, with everything in it and the webhooks of its name.
/// What a run that was killed left under the name goes first.
///
/// # Panics
/// When it cannot be made or removed, and when `body` panics.
pub async fn with_admin_namespace(devbox: &Devbox, name: &str, body: impl AsyncFnOnce(&str)) {
    remove(devbox, name).await;
    devbox
        .kubectl(&["create", "namespace", name], "")
        .await
        .expect("a namespace of the administrator should be makeable");
    always(body(name), remove(devbox, name)).await;
}

async fn remove(devbox: &Devbox, name: &str) {
    for delete in [
        &["delete", "validatingwebhookconfiguration", name, "--ignore-not-found"][..],
        &["delete", "namespace", name, "--ignore-not-found", "--timeout=180s"],
    ] {
        devbox
            .kubectl(delete, "")
            .await
            .expect("what a test made should be removable");
    }
}

/// Creates an object, as the administrator.
///
/// # Panics
/// When the API server refuses.
pub async fn create(devbox: &Devbox, object: &Value) {
    devbox
        .kubectl(&["create", "-f", "-"], &object.to_string())
        .await
        .expect("the API server should accept what the administrator makes");
}
