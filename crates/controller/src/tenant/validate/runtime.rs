//! Which RuntimeClass the pods of a Tenant get.

use kube::ResourceExt;
use stackube_api::Tenant;
use stackube_api::conditions::NAMESPACE_READY;
use stackube_api::names::RUNTIME_LABEL;

use super::{Refusal, refuse};
use crate::config::Admission;
use crate::tenant::dereference::Observed;

/// The class of tenants that name none, where the cluster has it and the operator names no other.
const SANDBOX: &str = "gvisor";

/// The Tenant's own choice, else the operator's, else the sandbox where there is one. What a namespace has already is never
/// given up for "none": a class that was removed by accident must not put pods on a weaker runtime.
pub(super) fn class(tenant: &Tenant, observed: &Observed, admission: &Admission) -> Result<Option<String>, Refusal> {
    let chosen = tenant.spec.runtime_class_name.as_ref();
    let wanted = chosen.or(admission.default_runtime_class.as_ref());
    if let Some(name) = wanted {
        if observed.runtime_classes.contains(name) {
            return Ok(Some(name.clone()));
        }
        let by = match chosen {
            Some(_) => "correct spec.runtimeClassName",
            None => "correct default-runtime-class in the configuration",
        };
        let message = format!("the cluster has no RuntimeClass {name}: create it, or {by}");
        return refuse(NAMESPACE_READY, "RuntimeClassMissing", message);
    }
    let present = observed.namespace.as_ref();
    let present = present.and_then(|namespace| namespace.labels().get(RUNTIME_LABEL).cloned());
    let sandbox = observed.runtime_classes.contains(SANDBOX).then(|| SANDBOX.to_owned());
    Ok(sandbox.or(present))
}
