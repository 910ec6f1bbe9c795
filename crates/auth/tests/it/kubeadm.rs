//! What the API server is told is the same by hand and by Ansible.

use serde_json::Value;

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

#[test]
fn the_patch_for_kubeadm_is_what_the_role_sets() {
    let defaults: Value =
        serde_saphyr::from_str(include_str!("../../../../install/roles/kubernetes/defaults/main.yml")).unwrap();
    let role = with_defaults(
        include_str!("../../../../install/roles/kubernetes/vars/main.yml"),
        &defaults,
    );
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
