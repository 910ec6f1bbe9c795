//! What the isolation of tenants rests on in the API server: policies with their bindings, their parameters, RuntimeClasses and
//! the ClusterRoles. Somebody may have deleted or changed one of them, and nothing else would show it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingAdmissionPolicy, MutatingAdmissionPolicyBinding, ValidatingAdmissionPolicy,
    ValidatingAdmissionPolicyBinding,
};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Client, ResourceExt};
use stackube_api::Tenant;
use stackube_api::names::{LIMITS, ROLE_ADMIN, ROLE_EDIT, ROLE_VIEW};

use super::cluster::{NAMESPACE, unseen};
use super::{Finding, Report, sentence};

mod release;

use release::{Differences, Objects};

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

fn seen(finding: anyhow::Result<Finding>) -> Finding {
    finding.unwrap_or_else(|error| match error.downcast::<kube::Error>() {
        Ok(error) => unseen(error),
        Err(error) => Finding::Unknown(sentence(error)),
    })
}

async fn policies(client: &Client) -> anyhow::Result<Finding> {
    let mut differences = Differences::default();
    for kind in [
        ApiResource::erase::<ValidatingAdmissionPolicy>(&()),
        ApiResource::erase::<ValidatingAdmissionPolicyBinding>(&()),
        ApiResource::erase::<MutatingAdmissionPolicy>(&()),
        ApiResource::erase::<MutatingAdmissionPolicyBinding>(&()),
    ] {
        differences.note(&kind.kind, &in_release(&kind)?, &in_cluster(client, &kind).await?);
    }
    Ok(differences.finding())
}

fn in_release(kind: &ApiResource) -> anyhow::Result<Objects> {
    release::objects(&kind.kind).context("the manifest that this program was built with cannot be read")
}

/// As the API server shows them: types of this program would drop what they do not know.
async fn in_cluster(client: &Client, kind: &ApiResource) -> Result<Objects, kube::Error> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), kind);
    let list = api.list(&ListParams::default()).await?;
    Ok(list
        .into_iter()
        .map(|object| (object.name_any(), object.data))
        .collect())
}

async fn limits(client: &Client) -> anyhow::Result<Finding> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    Ok(match maps.get_opt(LIMITS).await? {
        Some(map) => written(&map.data.unwrap_or_default()),
        None => Finding::Bad(format!(
            "ConfigMap {LIMITS} is missing, so the policies refuse all: stackube-controller writes it; see its log"
        )),
    })
}

/// A key may be empty, but not away: then a policy takes it for empty, and refuses less than it should, or more.
fn written(limits: &BTreeMap<String, String>) -> Finding {
    let read = release::parameters();
    let missing: Vec<&str> = read.into_iter().filter(|key| !limits.contains_key(*key)).collect();
    if missing.is_empty() {
        return Finding::Good("written".to_owned());
    }
    Finding::Bad(format!(
        "ConfigMap {LIMITS} has no {}, which policies read: stackube-controller of this release writes it; see its log",
        missing.join(", no ")
    ))
}

async fn runtimes(client: &Client) -> anyhow::Result<Finding> {
    let all = ListParams::default();
    let classes = Api::<RuntimeClass>::all(client.clone()).list(&all).await?;
    let classes = classes.iter().map(ResourceExt::name_any).collect();
    let tenants = Api::<Tenant>::all(client.clone()).list(&all).await?.items;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), NAMESPACE);
    let configuration = maps.get_opt("stackube-config").await?.and_then(|map| map.data);
    let default = configuration.unwrap_or_default().remove("default-runtime-class");
    Ok(judge(&classes, default.as_deref().map(str::trim), &tenants))
}

/// That a Tenant names a class that is not there may be its own fault, and is said in its status too.
fn judge(classes: &Names, default: Option<&str>, tenants: &[Tenant]) -> Finding {
    let default = default.filter(|name| !name.is_empty()).unwrap_or(SANDBOX);
    if default != OF_NODES && !classes.contains(default) {
        return without_default(default, tenants);
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

/// Where all Tenants name a class nobody needs a default, and the controller is content too.
fn without_default(default: &str, tenants: &[Tenant]) -> Finding {
    let found = format!("there is no RuntimeClass {default}");
    let relying: Vec<String> = tenants
        .iter()
        .filter(|tenant| tenant.spec.runtime_class_name.is_none())
        .map(ResourceExt::name_any)
        .collect();
    if relying.is_empty() {
        return Finding::Doubtful(format!(
            "{found}: Tenants have to name another in spec.runtimeClassName, or set default-runtime-class in ConfigMap stackube-config"
        ));
    }
    Finding::Bad(format!(
        "{found}, which Tenants get that name none ({}): create it, or correct default-runtime-class in ConfigMap stackube-config",
        relying.join(", ")
    ))
}

/// The rights of tenants' users. Those of Stackube's own parts show by themselves when they lack something.
async fn roles(client: &Client) -> anyhow::Result<Finding> {
    let kind = ApiResource::erase::<ClusterRole>(&());
    let mut wanted = in_release(&kind)?;
    wanted.retain(|name, _| [ROLE_ADMIN, ROLE_EDIT, ROLE_VIEW].contains(&name.as_str()));
    let mut differences = Differences::default();
    differences.note(&kind.kind, &wanted, &in_cluster(client, &kind).await?);
    Ok(differences.finding())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn set(names: &[&str]) -> Names {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn wants_every_limit_that_policies_read() {
        let all: BTreeMap<String, String> = release::parameters()
            .into_iter()
            .map(|key| (key.to_owned(), String::new()))
            .collect();
        assert_eq!(written(&all), Finding::Good("written".to_owned()));
        let mut less = all;
        less.remove("reserved-names");
        assert!(
            matches!(written(&less), Finding::Bad(text) if text.contains("has no reserved-names, which policies read"))
        );
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
        assert!(
            matches!(judge(&set(&[]), None, &fine), Finding::Bad(text) if text.contains("RuntimeClass gvisor, which"))
        );
        // Nobody relies on it.
        let named = [tenant("runc".into())];
        for tenants in [&[][..], &named] {
            let finding = judge(&set(&["runc"]), None, tenants);
            assert!(
                matches!(&finding, Finding::Doubtful(text) if text.contains("RuntimeClass gvisor: ")),
                "{finding:?}"
            );
        }
        assert!(matches!(judge(&set(&[]), Some("none"), &[]), Finding::Good(_)));
        let wrong = [tenant("kata".into())];
        assert!(
            matches!(judge(&classes, None, &wrong), Finding::Doubtful(text) if text.contains("RuntimeClass kata of tenant acme"))
        );
    }
}
