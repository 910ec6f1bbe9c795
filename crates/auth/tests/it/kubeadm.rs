//! What the API server is told is the same by hand and by Ansible.

use serde_json::Value;
use stackube_auth::Limits;

/// A YAML file with variables of Ansible; only whole names between braces are known.
fn with_defaults(text: &str, defaults: &Value) -> Value {
    let mut parts = text.split("{{ ");
    let mut filled = parts.next().unwrap().to_owned();
    for part in parts {
        let (name, rest) = part.split_once(" }}").unwrap();
        filled += defaults[name].as_str().unwrap();
        filled += rest;
    }
    serde_saphyr::from_str(&filled).unwrap()
}

/// The variables of the role that sets up the API server.
fn role() -> Value {
    let defaults: Value =
        serde_saphyr::from_str(include_str!("../../../../install/roles/kubernetes/defaults/main.yml")).unwrap();
    let variables = include_str!("../../../../install/roles/kubernetes/vars/main.yml");
    with_defaults(variables, &defaults)
}

#[test]
fn the_memories_are_a_minute_together() {
    /// `TokenSuccessCacheTTL` of the API server (pkg/kubeapiserver/options/authentication.go), which no flag changes.
    const FIXED: u64 = 10;
    let arguments = role()["kubernetes_stackube_auth_arguments"].clone();
    let mut arguments = arguments.as_array().unwrap().iter();
    let of_webhook = arguments.find(|argument| argument["name"] == "authentication-token-webhook-cache-ttl");
    let of_webhook = of_webhook.unwrap()["value"]
        .as_str()
        .unwrap()
        .strip_suffix('s')
        .unwrap();
    let of_webhook: u64 = of_webhook.parse().unwrap();
    assert_eq!(Limits::default().cache_ttl.as_secs() + of_webhook + FIXED, 60);
}

#[test]
fn the_patch_for_kubeadm_is_what_the_role_sets() {
    let role = role();
    let patch: Value = serde_saphyr::from_str(include_str!("../../../../deployment/auth/kubeadm-patch.yaml")).unwrap();
    assert_eq!(patch["kind"], "ClusterConfiguration");
    let arguments = patch["apiServer"]["extraArgs"].as_array().unwrap();
    assert!(!arguments.is_empty());
    assert_eq!(
        Value::from(arguments.clone()),
        role["kubernetes_stackube_auth_arguments"]
    );
    // Else kubeadm refuses the file, or reads it as another version.
    let template = include_str!("../../../../install/roles/kubernetes/templates/kubeadm.yaml.j2");
    let version = patch["apiVersion"].as_str().unwrap();
    assert!(template.contains(&format!("apiVersion: {version}\nkind: ClusterConfiguration")));
}
