//! All that `kubectl auth can-i --list` shows to members: as much as these tables say, and nothing else.

use std::collections::BTreeSet;

use stackube_e2e::devbox::Devbox;

use super::{members::Member, tables::pairs};

/// Verbs, resources (`group/resource/subresource`), and who may in the own namespace: admin, edit, view.
const OWN: &[(&str, &str, &str)] = &[
    ("get", "/namespaces", "yyy"),
    (
        "get list watch",
        "/configmaps /endpoints /events /limitranges /persistentvolumeclaims /persistentvolumeclaims/status \
         /pods /pods/log /pods/status /podtemplates \
         /replicationcontrollers /replicationcontrollers/scale /replicationcontrollers/status \
         /resourcequotas /resourcequotas/status /serviceaccounts /services /services/status \
         apps/controllerrevisions apps/daemonsets apps/daemonsets/status \
         apps/deployments apps/deployments/scale apps/deployments/status \
         apps/replicasets apps/replicasets/scale apps/replicasets/status \
         apps/statefulsets apps/statefulsets/scale apps/statefulsets/status \
         autoscaling/horizontalpodautoscalers autoscaling/horizontalpodautoscalers/status \
         batch/cronjobs batch/cronjobs/status batch/jobs batch/jobs/status coordination.k8s.io/leases \
         discovery.k8s.io/endpointslices events.k8s.io/events \
         networking.k8s.io/ingresses networking.k8s.io/ingresses/status networking.k8s.io/networkpolicies \
         policy/poddisruptionbudgets policy/poddisruptionbudgets/status \
         rbac.authorization.k8s.io/rolebindings rbac.authorization.k8s.io/roles \
         stackube.kubernetes.io/networks stackube.kubernetes.io/ports",
        "yyy",
    ),
    ("get list", "metrics.k8s.io/pods", "yyy"),
    (
        "create delete deletecollection patch update",
        "/configmaps /endpoints /persistentvolumeclaims /pods /podtemplates \
         /replicationcontrollers /replicationcontrollers/scale /secrets /serviceaccounts /services \
         apps/daemonsets apps/deployments apps/deployments/scale apps/replicasets apps/replicasets/scale \
         apps/statefulsets apps/statefulsets/scale autoscaling/horizontalpodautoscalers batch/cronjobs batch/jobs \
         coordination.k8s.io/leases discovery.k8s.io/endpointslices \
         networking.k8s.io/ingresses networking.k8s.io/networkpolicies policy/poddisruptionbudgets",
        "yy-",
    ),
    ("get list watch", "/secrets", "yy-"),
    ("create get", "/pods/attach /pods/exec /pods/portforward", "yy-"),
    ("get patch update", "/pods/ephemeralcontainers /pods/resize", "yy-"),
    ("create", "/pods/eviction", "yy-"),
    ("create", "/serviceaccounts/token", "y--"),
    (
        "create delete deletecollection patch update",
        "rbac.authorization.k8s.io/rolebindings rbac.authorization.k8s.io/roles",
        "y--",
    ),
];

/// What Kubernetes lets everybody do who is anybody.
const EVERYBODY: &[(&str, &str)] = &[
    (
        "create",
        "authentication.k8s.io/selfsubjectreviews \
         authorization.k8s.io/selfsubjectaccessreviews authorization.k8s.io/selfsubjectrulesreviews",
    ),
    (
        "get",
        "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/",
    ),
];

/// `group/resource/subresource` as kubectl shows it: `resource.group/subresource`.
fn shown(path: &str) -> String {
    let mut parts = path.splitn(3, '/');
    let (group, resource) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let group = if group.is_empty() {
        String::new()
    } else {
        format!(".{group}")
    };
    let sub = parts.next().map(|sub| format!("/{sub}")).unwrap_or_default();
    format!("{resource}{group}{sub}")
}

/// Verb and what it is for, and a name where it is for that one only.
fn expected(index: usize, tenant: &str, is_own: bool) -> BTreeSet<String> {
    let own = OWN.iter().filter(|row| is_own && row.2.as_bytes()[index] == b'y');
    let own = own.flat_map(|(verbs, resources, _)| pairs(verbs, resources));
    let everybody = EVERYBODY.iter().flat_map(|(verbs, what)| pairs(verbs, what));
    let everybody = everybody.map(|(verb, what)| match what.strip_prefix('/') {
        Some(_) => format!("{verb} {what}"),
        None => format!("{verb} {}", shown(what)),
    });
    own.map(|(verb, resource)| format!("{verb} {}", shown(resource)))
        .chain(everybody)
        .chain([format!("get tenants.stackube.kubernetes.io {tenant}")])
        .collect()
}

/// The same of what kubectl printed: in each line a resource, and in brackets URLs, names and verbs.
fn printed(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in text.lines() {
        let mut parts = line.split('[');
        let resource = parts.next().unwrap_or_default().trim();
        let fields: Vec<Vec<&str>> = parts
            .map(|field| field.split(']').next().unwrap_or_default().split(' ').collect())
            .collect();
        let [urls, names, verbs] = &fields[..] else {
            panic!("no line of kubectl: {line:?}");
        };
        let what = if resource.is_empty() { &urls[..] } else { &[resource] };
        for verb in verbs {
            for (what, name) in what.iter().flat_map(|what| names.iter().map(move |name| (what, name))) {
                found.insert(format!("{verb} {what} {name}").trim_end().to_owned());
            }
        }
    }
    found
}

/// Asserts that a member (`index` is its place among admin, edit, view) is shown its rights in its own namespace, and in
/// another tenant's nothing but what everybody has everywhere.
pub(super) async fn assert_shown(devbox: &Devbox, member: &Member, index: usize, own: &str, foreign: &str) {
    for (namespace, is_own) in [(own, true), (foreign, false)] {
        let list = ["auth", "can-i", "--list", "--no-headers", "-n", namespace];
        let found = printed(&devbox.kubectl_with(&member.token, &list).await.unwrap());
        let expected = expected(index, own, is_own);
        let (more, less): (Vec<_>, Vec<_>) = (
            found.difference(&expected).collect(),
            expected.difference(&found).collect(),
        );
        assert!(
            more.is_empty() && less.is_empty(),
            "{} in {namespace}: too much: {more:#?}, too little: {less:#?}",
            member.role
        );
    }
}
