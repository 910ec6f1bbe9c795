//! What the accounts on a node may read and ask for at all, by the API server's own word.

use std::time::Duration;

use anyhow::ensure;
use serde_json::json;
use stackube_e2e::{admin::create, devbox::Devbox, identity::Identity, sandbox, wait};

use super::kubelet;

const DAEMONS: [&str; 3] = ["kubestack", "stackube-proxy", "stackube-auth"];

/// Verbs, resources (`group/resource/subresource`), and who may: kubestack, stackube-proxy, stackube-auth.
const TABLE: &[(&str, &str, &str)] = &[
    ("list watch", "stackube.kubernetes.io/ports", "yy-"),
    ("patch", "stackube.kubernetes.io/ports", "y--"),
    (
        "create update delete deletecollection",
        "stackube.kubernetes.io/ports",
        "---",
    ),
    ("update patch", "stackube.kubernetes.io/ports/status", "---"),
    ("list watch", "stackube.kubernetes.io/tenants", "--y"),
    (
        "create update patch delete",
        "stackube.kubernetes.io/tenants stackube.kubernetes.io/networks",
        "---",
    ),
    ("get list", "stackube.kubernetes.io/networks", "---"),
    ("list watch", "/nodes", "yy-"),
    ("patch", "/nodes", "y--"),
    ("create update delete", "/nodes", "---"),
    ("update patch", "/nodes/status", "---"),
    ("get create", "/nodes/proxy /nodes/log /nodes/stats", "---"),
    ("create patch", "events.k8s.io/events", "y--"),
    (
        "get list watch",
        "/services /namespaces discovery.k8s.io/endpointslices networking.k8s.io/servicecidrs",
        "-y-",
    ),
    (
        "create update patch delete",
        "/services /namespaces discovery.k8s.io/endpointslices /endpoints",
        "---",
    ),
    (
        "get list watch create update patch delete",
        "/secrets /configmaps /pods",
        "---",
    ),
    (
        "create get",
        "/pods/exec /pods/attach /pods/portforward /pods/proxy /services/proxy",
        "---",
    ),
    ("update patch", "/pods/status /pods/ephemeralcontainers", "---"),
    ("create", "/pods/eviction /bindings /serviceaccounts/token", "---"),
    (
        "get list create",
        "/serviceaccounts /persistentvolumes /persistentvolumeclaims",
        "---",
    ),
    (
        "create update patch",
        "apps/daemonsets apps/deployments batch/jobs coordination.k8s.io/leases",
        "---",
    ),
    (
        "create update patch bind escalate",
        "rbac.authorization.k8s.io/roles rbac.authorization.k8s.io/clusterroles \
         rbac.authorization.k8s.io/rolebindings rbac.authorization.k8s.io/clusterrolebindings",
        "---",
    ),
    (
        "impersonate",
        "/users /groups /serviceaccounts authentication.k8s.io/userextras",
        "---",
    ),
    (
        "create",
        "certificates.k8s.io/certificatesigningrequests authentication.k8s.io/tokenreviews",
        "---",
    ),
    (
        "create update patch delete",
        "admissionregistration.k8s.io/validatingadmissionpolicies admissionregistration.k8s.io/mutatingwebhookconfigurations \
         apiextensions.k8s.io/customresourcedefinitions apiregistration.k8s.io/apiservices",
        "---",
    ),
];

/// Every daemon's rights, in the tenant's namespace and in its own.
pub(super) async fn daemons(devbox: &Devbox, tenant: &str) {
    let mut wrong = vec![];
    for (index, daemon) in DAEMONS.into_iter().enumerate() {
        let who = Identity::service_account("stackube-system", daemon);
        for (verbs, resources, expected) in TABLE {
            let expected = expected.as_bytes()[index] == b'y';
            for (verb, resource) in crate::rights::tables::pairs(verbs, resources) {
                for namespace in [tenant, "stackube-system"] {
                    let allowed = who.may(&devbox.kube, verb, resource, namespace, "").await.unwrap();
                    if allowed != expected {
                        wrong.push(format!("{daemon} may {verb} {resource} in {namespace}: {allowed}"));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// kubelet reads what pods of its own node name, and nothing else: not even the objects beside it.
pub(super) async fn kubelets(devbox: &Devbox, tenant: &str) {
    for name in ["named", "beside"] {
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": tenant}});
        create(devbox, &secret).await;
    }
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "reader", "namespace": tenant},
        "spec": {"terminationGracePeriodSeconds": 0, "volumes": [{"name": "s", "secret": {"secretName": "named"}}],
            "containers": [{"name": "c", "image": "busybox", "imagePullPolicy": "IfNotPresent",
                "command": ["sleep", "86400"], "volumeMounts": [{"name": "s", "mountPath": "/s"}]}]},
    });
    create(devbox, &pod).await;
    let node = wait::until("a node for the pod", Duration::from_secs(30), || async {
        let (node, _) = super::lost::place(devbox, tenant, "reader").await?;
        ensure!(!node.is_empty(), "not yet");
        Ok::<_, anyhow::Error>(node)
    })
    .await;
    let (own, other) = (kubelet(&node), kubelet("elsewhere"));
    // The authorizer learns of a binding by a watch.
    wait::until("its kubelet may read the Secret", Duration::from_secs(30), || async {
        let allowed = own.may(&devbox.kube, "get", "/secrets", tenant, "named").await?;
        ensure!(allowed, "not yet");
        Ok::<_, anyhow::Error>(())
    })
    .await;
    let uid = sandbox::uid(devbox, tenant, "web").await;
    for (who, verb, resource, namespace, name) in [
        (&other, "get", "/secrets", tenant, "named"),
        (&other, "get", "/configmaps", tenant, "kube-root-ca.crt"),
        (&other, "create", "/serviceaccounts/token", tenant, "default"),
        (&other, "get", "/secrets", "stackube-system", "stackube-credentials"),
        (&own, "get", "/secrets", tenant, "beside"),
        (&own, "list", "/secrets", tenant, ""),
        (&own, "list", "/secrets", "stackube-system", ""),
        (&own, "get", "stackube.kubernetes.io/ports", tenant, uid.as_str()),
        (&own, "get", "stackube.kubernetes.io/tenants", "", tenant),
    ] {
        let allowed = who.may(&devbox.kube, verb, resource, namespace, name).await.unwrap();
        assert!(!allowed, "{} may {verb} {resource} {namespace}/{name}", who.user);
    }
}
