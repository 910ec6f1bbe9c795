//! The rights of the three roles, as tables.

/// Verbs, resources (`group/resource/subresource`), and who may: admin, edit, view.
pub(crate) const OWN: &[(&str, &str, &str)] = &[
    ("get list watch", "/pods", "yyy"),
    ("create update patch delete deletecollection", "/pods", "yy-"),
    ("get", "/pods/log", "yyy"),
    ("get list", "metrics.k8s.io/pods", "yyy"),
    ("create get", "/pods/exec /pods/attach /pods/portforward", "yy-"),
    ("patch update", "/pods/ephemeralcontainers /pods/resize", "yy-"),
    ("create", "/pods/eviction", "yy-"),
    (
        "create get update patch delete",
        "/pods/proxy /services/proxy /nodes/proxy",
        "---",
    ),
    ("create", "/pods/binding /bindings", "---"),
    (
        "update patch",
        "/pods/status /services/status /namespaces/status",
        "---",
    ),
    ("get list watch", "/services /endpoints /configmaps", "yyy"),
    ("create update delete", "/services /endpoints /configmaps", "yy-"),
    ("get list watch create update delete", "/secrets", "yy-"),
    ("get list", "/persistentvolumeclaims /events /serviceaccounts", "yyy"),
    ("create delete", "/persistentvolumeclaims /serviceaccounts", "yy-"),
    ("create", "/serviceaccounts/token", "y--"),
    ("impersonate", "/serviceaccounts /users /groups", "---"),
    (
        "get list",
        "apps/deployments apps/statefulsets apps/daemonsets apps/replicasets batch/jobs batch/cronjobs",
        "yyy",
    ),
    (
        "create update patch delete",
        "apps/deployments apps/statefulsets apps/daemonsets apps/replicasets batch/jobs batch/cronjobs",
        "yy-",
    ),
    (
        "create update patch delete",
        "/replicationcontrollers /podtemplates",
        "yy-",
    ),
    (
        "update",
        "apps/deployments/scale apps/statefulsets/scale apps/replicasets/scale /replicationcontrollers/scale",
        "yy-",
    ),
    (
        "update patch",
        "apps/deployments/status apps/daemonsets/status batch/jobs/status policy/poddisruptionbudgets/status",
        "---",
    ),
    (
        "create",
        "autoscaling/horizontalpodautoscalers policy/poddisruptionbudgets networking.k8s.io/ingresses",
        "yy-",
    ),
    (
        "create",
        "networking.k8s.io/networkpolicies discovery.k8s.io/endpointslices coordination.k8s.io/leases",
        "yy-",
    ),
    ("get list", "/resourcequotas /limitranges", "yyy"),
    ("create update patch delete", "/resourcequotas /limitranges", "---"),
    (
        "get list",
        "rbac.authorization.k8s.io/roles rbac.authorization.k8s.io/rolebindings",
        "yyy",
    ),
    (
        "create update delete",
        "rbac.authorization.k8s.io/roles rbac.authorization.k8s.io/rolebindings",
        "y--",
    ),
    (
        "bind escalate",
        "rbac.authorization.k8s.io/roles rbac.authorization.k8s.io/clusterroles",
        "---",
    ),
    (
        "get list watch",
        "stackube.kubernetes.io/networks stackube.kubernetes.io/ports",
        "yyy",
    ),
    (
        "create update patch delete",
        "stackube.kubernetes.io/networks stackube.kubernetes.io/ports",
        "---",
    ),
    (
        "update patch",
        "stackube.kubernetes.io/networks/status stackube.kubernetes.io/ports/status",
        "---",
    ),
    (
        "create",
        "resource.k8s.io/resourceclaims storage.k8s.io/csistoragecapacities",
        "---",
    ),
];

/// Nobody of a tenant may do any of this anywhere.
pub(crate) const CLUSTER: &[(&str, &str)] = &[
    ("create update patch delete list", "/namespaces"),
    ("get list update", "/nodes /persistentvolumes"),
    ("get", "/nodes/proxy /nodes/log /nodes/stats"),
    ("get list", "metrics.k8s.io/nodes"),
    ("list create update patch delete", "stackube.kubernetes.io/tenants"),
    ("update", "stackube.kubernetes.io/tenants/status"),
    (
        "list create update",
        "apiextensions.k8s.io/customresourcedefinitions apiregistration.k8s.io/apiservices",
    ),
    (
        "list create",
        "admissionregistration.k8s.io/mutatingwebhookconfigurations \
         admissionregistration.k8s.io/validatingadmissionpolicies",
    ),
    ("create", "certificates.k8s.io/certificatesigningrequests"),
    ("update", "certificates.k8s.io/certificatesigningrequests/approval"),
    (
        "create",
        "authentication.k8s.io/tokenreviews authorization.k8s.io/subjectaccessreviews",
    ),
    ("create bind escalate", "rbac.authorization.k8s.io/clusterroles"),
    ("create", "rbac.authorization.k8s.io/clusterrolebindings"),
    (
        "impersonate",
        "/users /groups /serviceaccounts authentication.k8s.io/userextras",
    ),
    (
        "create list",
        "node.k8s.io/runtimeclasses scheduling.k8s.io/priorityclasses storage.k8s.io/storageclasses",
    ),
];

/// Every verb with every resource of a row.
pub(crate) fn pairs<'a>(verbs: &'a str, resources: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    verbs
        .split_whitespace()
        .flat_map(|verb| resources.split_whitespace().map(move |resource| (verb, resource)))
}
