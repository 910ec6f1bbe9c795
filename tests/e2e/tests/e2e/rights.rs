//! What members of a tenant may do in Kubernetes: every role, in their own namespace and in others.

use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, RoleBinding};
use kube::{Api, ResourceExt};
use stackube_api::names::tenant_reader;
use stackube_e2e::{
    devbox::Devbox,
    identity::Identity,
    tenant::{self, with_tenant},
    wait,
};

use crate::shared;

const ROLES: [&str; 3] = ["stackube-admin", "stackube-edit", "stackube-view"];

/// Verbs, resources (`group/resource/subresource`), and who may: admin, edit, view.
const OWN: &[(&str, &str, &str)] = &[
    ("get list watch", "/pods", "yyy"),
    ("create update patch delete deletecollection", "/pods", "yy-"),
    ("get", "/pods/log", "yyy"),
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
    ("update", "apps/deployments/scale apps/statefulsets/scale", "yy-"),
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
    ("update", "stackube.kubernetes.io/networks/status", "---"),
    (
        "create",
        "resource.k8s.io/resourceclaims storage.k8s.io/csistoragecapacities",
        "---",
    ),
];

/// Nobody of a tenant may do any of this anywhere.
const CLUSTER: &[(&str, &str)] = &[
    ("create update patch delete list", "/namespaces"),
    ("get list update", "/nodes /persistentvolumes"),
    ("get", "/nodes/proxy /nodes/log /nodes/stats"),
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
fn pairs<'a>(verbs: &'a str, resources: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
    verbs
        .split_whitespace()
        .flat_map(|verb| resources.split_whitespace().map(move |resource| (verb, resource)))
}

#[tokio::test]
async fn each_role_has_its_rights_in_its_namespace_and_none_elsewhere() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "rights", "", async |tenant| {
        let name = tenant.name_any();
        let project = tenant::project_of(&tenant);
        let (mut asked, mut wrong) = (0, vec![]);
        for (index, role) in ROLES.into_iter().enumerate() {
            let who = Identity::in_project(&devbox, &project, role).await;
            let mut check = async |verb: &str, resource: &str, namespace: &str, object: &str, expected: bool| {
                let allowed = who.may(&devbox.kube, verb, resource, namespace, object).await.unwrap();
                asked += 1;
                if allowed != expected {
                    wrong.push(format!(
                        "{role} may {verb} {resource} {object} in {namespace:?}: {allowed}"
                    ));
                }
            };
            for (verbs, resources, expected) in OWN {
                let expected = expected.as_bytes()[index] == b'y';
                for (verb, resource) in pairs(verbs, resources) {
                    check(verb, resource, &name, "", expected).await;
                    for other in ["default", "kube-system", "stackube-system"] {
                        check(verb, resource, other, "", false).await;
                    }
                }
            }
            for (verbs, resources) in CLUSTER {
                for (verb, resource) in pairs(verbs, resources) {
                    check(verb, resource, "", "", false).await;
                }
            }
            check("get", "stackube.kubernetes.io/tenants", "", &name, true).await;
            check("get", "stackube.kubernetes.io/tenants", "", "another", false).await;
            check("get", "/namespaces", &name, &name, true).await;
            check("get", "/namespaces", "kube-system", "kube-system", false).await;
        }
        assert!(
            wrong.is_empty(),
            "{} of {asked} answers are wrong: {wrong:#?}",
            wrong.len()
        );
    })
    .await;
}

#[tokio::test]
async fn groups_that_only_look_like_a_tenants_give_nothing() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "groups", "", async |tenant| {
        let name = tenant.name_any();
        let project = tenant::project_of(&tenant);
        let real = Identity::in_project(&devbox, &project, "stackube-admin").await;
        let role = real.groups[0].rsplit(':').next().unwrap().to_owned();
        for group in [
            // Names instead of IDs: whoever administers a domain could choose them.
            format!("keystone:project:{name}:stackube-admin"),
            format!("keystone:project:{name}:{role}"),
            format!("keystone:project:{project}:stackube-admin"),
            // Another project, another role, and both swapped.
            format!("keystone:project:00000000000000000000000000000000:{role}"),
            format!("keystone:project:{role}:{project}"),
            format!("keystone:project:{project}"),
            format!("keystone:project:{project}:{role}:"),
            format!("keystone:project:{project}:{role} "),
            format!("KEYSTONE:PROJECT:{project}:{role}"),
            "keystone:project:system:masters".to_owned(),
            "stackube:operator".to_owned(),
        ] {
            let who = Identity::in_group(&group);
            for (verb, path, namespace) in [
                ("get", "/pods", name.as_str()),
                ("create", "/pods", &name),
                ("list", "stackube.kubernetes.io/tenants", ""),
                ("get", "/secrets", "stackube-system"),
            ] {
                let allowed = who.may(&devbox.kube, verb, path, namespace, "").await.unwrap();
                assert!(!allowed, "{group:?} may {verb} {path} in {namespace:?}");
            }
        }
        assert!(real.may(&devbox.kube, "create", "/pods", &name, "").await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn kubectl_shows_members_their_tenant_and_not_the_list() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_tenant(&devbox, "own", "", async |tenant| {
        let name = tenant.name_any();
        let who = Identity::in_project(&devbox, &tenant::project_of(&tenant), "stackube-view").await;
        let flags = who.flags();
        let kubectl = async |arguments: &[&str]| {
            let all: Vec<&str> = flags
                .iter()
                .map(String::as_str)
                .chain(arguments.iter().copied())
                .collect();
            devbox.kubectl(&all, "").await
        };
        let seen = kubectl(&["get", "tenant", &name, "-o", "name"]).await.unwrap();
        assert_eq!(seen.trim(), format!("tenant.stackube.kubernetes.io/{name}"));
        kubectl(&["-n", &name, "get", "network", &name]).await.unwrap();
        assert_eq!(
            kubectl(&["-n", &name, "auth", "can-i", "get", "pods"])
                .await
                .unwrap()
                .trim(),
            "yes"
        );
        let refused = kubectl(&["get", "tenants"]).await.unwrap_err();
        assert!(format!("{refused:#}").contains("forbidden"), "{refused:#}");
        let operator = Identity::in_group("stackube:operators").flags();
        let arguments: Vec<&str> = operator.iter().map(String::as_str).chain(["get", "tenants"]).collect();
        assert!(devbox.kubectl(&arguments, "").await.unwrap().contains(&name));
    })
    .await;
}

#[tokio::test]
async fn rights_are_put_back_and_go_with_the_tenant() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    let roles: Api<ClusterRole> = Api::all(devbox.kube.clone());
    let cluster_bindings: Api<ClusterRoleBinding> = Api::all(devbox.kube.clone());
    let name = tenant::unique("bound");
    tenant::create(&devbox, &name, "").await.unwrap();
    tenant::active(&devbox, &name).await;
    let bindings: Api<RoleBinding> = Api::namespaced(devbox.kube.clone(), &name);
    bindings.delete("stackube-edit", &Default::default()).await.unwrap();
    wait::until("the binding is back", Duration::from_secs(60), || {
        bindings.get("stackube-edit")
    })
    .await;
    roles.get(&tenant_reader(&name)).await.unwrap();
    tenant::delete(&devbox, &name).await;
    wait::until("the Tenant's own role is gone", Duration::from_secs(60), || async {
        let left = roles.get_opt(&tenant_reader(&name)).await?.is_some()
            || cluster_bindings.get_opt(&tenant_reader(&name)).await?.is_some();
        ensure!(!left, "it is left");
        Ok(())
    })
    .await;
}
