//! What of a Tenant and its Network can never change: not to another value, not from nothing, not to nothing. All patches are dry
//! runs, of objects that live: rules about a change hold for nothing else.

use kube::{
    Api,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};
use stackube_api::{Network, Tenant};
use stackube_e2e::devbox::Devbox;

const ID: &str = "00000000-0000-4000-8000-000000000000";

/// Of a Tenant that names a project, its domain and a network in it: neither changes, and none goes.
pub(crate) async fn assert_what_is_set_stays(devbox: &Devbox, name: &str) {
    let tenants = Api::all_with(devbox.kube.clone(), &ApiResource::erase::<Tenant>(&()));
    for (patch, field) in [
        (json!({"username": "other"}), "username"),
        (json!({"tenantID": "0123456789abcdef0123456789abcdef"}), "tenantID"),
        (json!({ "tenantID": null }), "tenantID"),
        (json!({"domain": "default"}), "domain"),
        (json!({ "domain": null }), "domain"),
        (
            json!({"network": {"cidr": "10.234.0.0/24", "gateway": "10.234.0.1"}}),
            "network",
        ),
        (json!({"network": {"gateway": "10.233.0.2"}}), "network"),
        (json!({"network": {"gateway": null}}), "network"),
        (json!({"network": {"networkID": ID}}), "network"),
        (json!({"network": {"networkID": null}}), "network"),
        (json!({ "network": null }), "network"),
    ] {
        assert_refused(&tenants, name, &patch, field).await;
    }
    let networks = Api::namespaced_with(devbox.kube.clone(), name, &ApiResource::erase::<Network>(&()));
    for (patch, field) in [
        (json!({"cidr": "10.234.0.0/24"}), "cidr"),
        (json!({"gateway": "10.233.0.2"}), "gateway"),
        (json!({ "networkID": ID }), "networkID"),
        (json!({ "networkID": null }), "networkID"),
    ] {
        assert_refused(&networks, name, &patch, field).await;
    }
}

/// Of a Tenant that names nothing but its user: none of it is added.
pub(crate) async fn assert_what_is_not_set_stays_away(devbox: &Devbox, name: &str) {
    let tenants = Api::all_with(devbox.kube.clone(), &ApiResource::erase::<Tenant>(&()));
    for (patch, field) in [
        (json!({"tenantID": "0123456789abcdef0123456789abcdef"}), "tenantID"),
        (json!({"domain": "Default"}), "domain"),
        (json!({"network": {"cidr": "10.234.0.0/24"}}), "network"),
    ] {
        assert_refused(&tenants, name, &patch, field).await;
    }
    let networks = Api::namespaced_with(devbox.kube.clone(), name, &ApiResource::erase::<Network>(&()));
    assert_refused(&networks, name, &json!({ "networkID": ID }), "networkID").await;
}

async fn assert_refused(api: &Api<DynamicObject>, name: &str, spec: &Value, field: &str) {
    let dry = PatchParams {
        dry_run: true,
        ..PatchParams::default()
    };
    match api.patch(name, &dry, &Patch::Merge(json!({ "spec": spec }))).await {
        Ok(_) => panic!("{spec} was accepted, although {field} is immutable"),
        Err(error) => {
            let said = error.to_string();
            assert!(said.contains(&format!("{field} is immutable")), "{spec}: {said}");
        }
    }
}
