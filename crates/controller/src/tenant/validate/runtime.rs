//! Which RuntimeClass the pods of a Tenant get.

use kube::ResourceExt;
use stackube_api::Tenant;
use stackube_api::conditions::NAMESPACE_READY;
use stackube_api::names::RUNTIME_LABEL;

use super::{Refusal, refuse};
use crate::config::{Admission, DefaultRuntime};
use crate::tenant::dereference::Observed;

/// The class of tenants that name none, where the operator names no other.
const SANDBOX: &str = "gvisor";

/// The Tenant's own choice, else the operator's, else the sandbox. A cluster that has no sandbox gets no pods on the nodes' own
/// runtime unless the operator says so: that is the weaker one. What a namespace has already is never given up for "none", nor
/// for a sandbox that is missing: a class that was removed by accident must not put pods on a weaker runtime.
pub(super) fn class(tenant: &Tenant, observed: &Observed, admission: &Admission) -> Result<Option<String>, Refusal> {
    let exists = |name: &str| observed.runtime_classes.contains(name);
    let missing = |name: &str, otherwise: &str| {
        let message = format!("the cluster has no RuntimeClass {name}: create it, or {otherwise}");
        refuse(NAMESPACE_READY, "RuntimeClassMissing", message)
    };
    let present = || observed.namespace.as_ref()?.labels().get(RUNTIME_LABEL).cloned();
    match (&tenant.spec.runtime_class_name, &admission.default_runtime) {
        (Some(name), _) | (None, DefaultRuntime::Class(name)) if exists(name) => Ok(Some(name.clone())),
        (Some(name), _) => missing(name, "correct spec.runtimeClassName"),
        (None, DefaultRuntime::Class(name)) => missing(name, "correct default-runtime-class in the configuration"),
        (None, DefaultRuntime::OfNodes) => Ok(present()),
        (None, DefaultRuntime::Sandbox) if exists(SANDBOX) => Ok(Some(SANDBOX.to_owned())),
        (None, DefaultRuntime::Sandbox) => match present() {
            Some(name) => Ok(Some(name)),
            None => missing(
                SANDBOX,
                "name another in spec.runtimeClassName or, for all tenants, in default-runtime-class of the configuration \
                 (none for the nodes' own runtime, without a sandbox)",
            ),
        },
    }
}
