//! What the isolation of tenants rests on in the API server: policies with their bindings, their parameters, RuntimeClasses and
//! the ClusterRoles. Somebody may have deleted one of them, and nothing else would show it.

use std::collections::BTreeSet;
use std::fmt::Debug;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding, ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::ListParams;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use stackube_api::Tenant;

use super::cluster::{NAMESPACE, unseen};
use super::{Finding, Report};

/// Policies of deployment/policies that refuse; each has a binding of its own name.
const REFUSING: [&str; 18] = [
    "stackube-bindings",
    "stackube-endpoints",
    "stackube-images",
    "stackube-managed-objects",
    "stackube-namespace-label",
    "stackube-networks",
    "stackube-node-writes-nodes",
    "stackube-node-writes-ports",
    "stackube-placement",
    "stackube-pods",
    "stackube-proxy-connections",
    "stackube-reserved-keys",
    "stackube-role-bindings",
    "stackube-runtime",
    "stackube-services",
    "stackube-tenants",
    "stackube-token-secrets",
    "stackube-tokens",
];
/// Those that only warn.
const WARNING: [&str; 2] = ["stackube-no-bandwidth", "stackube-no-network-policies"];
/// Those that change what is created.
const CHANGING: [&str; 2] = ["stackube-runtime", "stackube-services"];
/// The rights of tenants' users.
const ROLES: [&str; 3] = ["stackube-admin", "stackube-edit", "stackube-view"];
/// Where the controller writes what the policies take as parameters.
const LIMITS: &str = "stackube-limits";
/// The RuntimeClass of tenants that name none, where the operator names no other.
const SANDBOX: &str = "gvisor";
/// What the operator names instead for the nodes' own runtime.
const OF_NODES: &str = "none";

type Names = BTreeSet<String>;

pub(super) async fn check(client: &Client, report: &mut Report) {
    report.add("admission policies", seen(policies(client).await));
    report.add("limits of tenants", seen(limits(client).await));
    report.add("runtimes", seen(runtimes(client).await));
    report.add("rights of tenants", seen(roles(client).await));
}

fn seen(finding: Result<Finding, kube::Error>) -> Finding {
    finding.unwrap_or_else(unseen)
}

async fn list<K>(client: &Client) -> Result<Vec<K>, kube::Error>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::ClusterResourceScope> + Clone + DeserializeOwned + Debug,
{
    Ok(Api::all(client.clone()).list(&ListParams::default()).await?.items)
}

fn names<K: ResourceExt>(objects: &[K]) -> Names {
    objects.iter().map(ResourceExt::name_any).collect()
}

async fn policies(client: &Client) -> Result<Finding, kube::Error> {
    let validating = names(&list::<ValidatingAdmissionPolicy>(client).await?);
    let bindings = list::<ValidatingAdmissionPolicyBinding>(client).await?;
    let mutating = names(&list::<MutatingAdmissionPolicy>(client).await?);
    let mutating_bindings = names(&list::<MutatingAdmissionPolicyBinding>(client).await?);
    let refusing: Vec<_> = bindings.iter().filter(|binding| refuses(binding)).cloned().collect();
    let wanted = [
        ("ValidatingAdmissionPolicy", &validating, &REFUSING[..]),
        ("ValidatingAdmissionPolicy", &validating, &WARNING),
        (
            "ValidatingAdmissionPolicyBinding that denies",
            &names(&refusing),
            &REFUSING,
        ),
        ("ValidatingAdmissionPolicyBinding", &names(&bindings), &WARNING),
        ("MutatingAdmissionPolicy", &mutating, &CHANGING),
        ("MutatingAdmissionPolicyBinding", &mutating_bindings, &CHANGING),
    ];
    Ok(complete(&wanted))
}

/// Whether what the policy objects to is refused: a binding may be set to tell about it only.
fn refuses(binding: &ValidatingAdmissionPolicyBinding) -> bool {
    let mut actions = binding.spec.validation_actions.iter();
    actions.any(|action| action == "Deny")
}

fn complete(wanted: &[(&str, &Names, &[&str])]) -> Finding {
    let missing: Vec<String> = wanted
        .iter()
        .flat_map(|(kind, present, names)| {
            let missing = names.iter().filter(|name| !present.contains(**name));
            missing.map(move |name| format!("{kind} {name}"))
        })
        .collect();
    if missing.is_empty() {
        return Finding::Good("all there".to_owned());
    }
    Finding::Bad(format!(
        "there is no {}: tenants are not held apart without; kubectl apply --server-side --force-conflicts -f deployment/stackube.yaml",
        missing.join(", no ")
    ))
}

async fn limits(client: &Client) -> Result<Finding, kube::Error> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    Ok(match maps.get_opt(LIMITS).await? {
        Some(_) => Finding::Good("written".to_owned()),
        None => Finding::Bad(format!(
            "ConfigMap {LIMITS} is missing, so the policies refuse all: stackube-controller writes it; see its log"
        )),
    })
}

async fn runtimes(client: &Client) -> Result<Finding, kube::Error> {
    let classes = names(&list::<RuntimeClass>(client).await?);
    let tenants = list::<Tenant>(client).await?;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let configuration = maps.get_opt("stackube-config").await?.and_then(|map| map.data);
    let default = configuration.unwrap_or_default().remove("default-runtime-class");
    Ok(judge(&classes, default.as_deref().map(str::trim), &tenants))
}

/// That a Tenant names a class that is not there may be its own fault, and is said in its status too.
fn judge(classes: &Names, default: Option<&str>, tenants: &[Tenant]) -> Finding {
    let default = default.filter(|name| !name.is_empty()).unwrap_or(SANDBOX);
    if default != OF_NODES && !classes.contains(default) {
        return Finding::Bad(format!(
            "there is no RuntimeClass {default}: create it, or correct default-runtime-class in ConfigMap stackube-config"
        ));
    }
    let missing: Vec<String> = tenants
        .iter()
        .filter_map(|tenant| {
            let name = tenant.spec.runtime_class_name.as_ref()?;
            let absent = !classes.contains(name);
            absent.then(|| format!("RuntimeClass {name} of tenant {}", tenant.name_any()))
        })
        .collect();
    if !missing.is_empty() {
        return Finding::Doubtful(format!(
            "there is no {}: create it, or correct spec.runtimeClassName",
            missing.join(", no ")
        ));
    }
    let count = classes.len();
    Finding::Good(format!("{count} RuntimeClasses, and all that are named are among them"))
}

async fn roles(client: &Client) -> Result<Finding, kube::Error> {
    let present = names(&list::<ClusterRole>(client).await?);
    Ok(complete(&[("ClusterRole", &present, &ROLES)]))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn set(names: &[&str]) -> Names {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    /// Names of the manifest's objects of a kind, with whether they deny.
    fn in_manifest(kind: &str) -> Vec<(String, bool)> {
        let text = include_str!("../../../../deployment/stackube.yaml");
        let objects: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
        let objects = objects.iter().filter(|object| object["kind"] == kind);
        objects
            .map(|object| {
                let name = object["metadata"]["name"].as_str().unwrap().to_owned();
                (name, object["spec"]["validationActions"] == json!(["Deny"]))
            })
            .collect()
    }

    fn all(kind: &str) -> Names {
        in_manifest(kind).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn the_lists_are_those_of_the_manifest() {
        let validating: Vec<&str> = REFUSING.iter().chain(&WARNING).copied().collect();
        assert_eq!(all("ValidatingAdmissionPolicy"), set(&validating));
        assert_eq!(all("MutatingAdmissionPolicy"), set(&CHANGING));
        assert_eq!(all("MutatingAdmissionPolicyBinding"), set(&CHANGING));
        let (denying, others): (Vec<_>, Vec<_>) = in_manifest("ValidatingAdmissionPolicyBinding")
            .into_iter()
            .partition(|(_, denies)| *denies);
        let only_names = |found: Vec<(String, bool)>| found.into_iter().map(|(name, _)| name).collect::<Names>();
        assert_eq!(only_names(denying), set(&REFUSING));
        assert_eq!(only_names(others), set(&WARNING));
        assert!(all("ClusterRole").is_superset(&set(&ROLES)));
    }

    #[test]
    fn names_what_is_missing_and_what_to_do() {
        let present = set(&["a", "b"]);
        assert_eq!(
            complete(&[("Kind", &present, &["a"])]),
            Finding::Good("all there".to_owned())
        );
        let found = complete(&[("Kind", &present, &["a"]), ("Binding", &present, &["b", "c", "d"])]);
        assert!(
            matches!(&found, Finding::Bad(text) if text.starts_with("there is no Binding c, no Binding d:") && text.contains("kubectl apply")),
            "{found:?}"
        );
    }

    #[test]
    fn a_binding_that_only_warns_refuses_nothing() {
        let binding = |actions: &[&str]| -> ValidatingAdmissionPolicyBinding {
            serde_json::from_value(json!({"metadata": {"name": "x"}, "spec": {"validationActions": actions}})).unwrap()
        };
        assert!(refuses(&binding(&["Audit", "Deny"])));
        assert!(!refuses(&binding(&["Warn"])) && !refuses(&binding(&[])));
    }

    #[test]
    fn looks_for_the_runtimes_that_are_named() {
        let tenant = |class: Value| -> Tenant {
            serde_json::from_value(json!({"apiVersion": "stackube.kubernetes.io/v1", "kind": "Tenant",
                "metadata": {"name": "acme"}, "spec": {"username": "u", "runtimeClassName": class}}))
            .unwrap()
        };
        let classes = set(&["gvisor"]);
        let fine = [tenant(Value::Null), tenant("gvisor".into())];
        assert!(matches!(judge(&classes, None, &fine), Finding::Good(_)));
        assert!(matches!(judge(&classes, Some("gvisor"), &fine), Finding::Good(_)));
        assert!(
            matches!(judge(&classes, Some("kata"), &fine), Finding::Bad(text) if text.contains("RuntimeClass kata"))
        );
        assert!(matches!(judge(&set(&[]), None, &[]), Finding::Bad(text) if text.contains("RuntimeClass gvisor")));
        assert!(matches!(judge(&set(&[]), Some("none"), &[]), Finding::Good(_)));
        let wrong = [tenant("kata".into())];
        assert!(
            matches!(judge(&classes, None, &wrong), Finding::Doubtful(text) if text.contains("RuntimeClass kata of tenant acme"))
        );
    }
}
