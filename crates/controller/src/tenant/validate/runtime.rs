//! Which RuntimeClass the pods of a Tenant get.

use kube::ResourceExt;
use stackube_api::Tenant;
use stackube_api::conditions::NAMESPACE_READY;
use stackube_api::names::RUNTIME_LABEL;

use super::{Ownership, Refusal, ownership};
use crate::config::{Admission, DefaultRuntime};
use crate::tenant::dereference::Observed;

/// The class of tenants that name none, where the operator names no other.
const SANDBOX: &str = "gvisor";

/// What to do beside making the sandbox.
const NOBODY_CHOSE: &str = "name another in spec.runtimeClassName or, for all tenants, in default-runtime-class of the \
                            configuration (none for new tenants on the nodes' own runtime, without a sandbox)";

/// What the namespace is to say.
pub(super) struct Runtime {
    /// The class; `None` is the nodes' own default.
    pub(super) class: Option<String>,
    /// Why the Tenant is not as asked all the same.
    pub(super) missing: Option<Refusal>,
}

/// The Tenant's own choice, else the operator's, else the sandbox. A cluster that has no sandbox gets no pods on the nodes' own
/// runtime unless the operator says so: that is the weaker one. What a namespace has already is never given up for "none", nor
/// for a class that is missing: one that was removed by accident must not put pods on a weaker runtime. For the same reason a
/// namespace of the Tenant's that has none yet gets the missing one, with which the API server refuses pods; and the rest of the
/// Tenant is kept up. One that is to be made is refused.
pub(super) fn class(tenant: &Tenant, observed: &Observed, admission: &Admission) -> Result<Runtime, Refusal> {
    let exists = |name: &str| observed.runtime_classes.contains(name);
    let namespace = observed.namespace.as_ref();
    let present = namespace.and_then(|namespace| namespace.labels().get(RUNTIME_LABEL));
    let (wanted, otherwise) = match (&tenant.spec.runtime_class_name, &admission.default_runtime) {
        (Some(name), _) => (name.as_str(), "correct spec.runtimeClassName"),
        (None, DefaultRuntime::Class(name)) => (name.as_str(), "correct default-runtime-class in the configuration"),
        (None, DefaultRuntime::OfNodes) => match present {
            Some(name) => (name.as_str(), "name another in spec.runtimeClassName"),
            None => {
                return Ok(Runtime {
                    class: None,
                    missing: None,
                });
            }
        },
        (None, DefaultRuntime::Sandbox) => {
            let kept = present.filter(|_| !exists(SANDBOX));
            (kept.map_or(SANDBOX, String::as_str), NOBODY_CHOSE)
        }
    };
    let chosen = |class: &str, missing| Runtime {
        class: Some(class.to_owned()),
        missing,
    };
    if exists(wanted) {
        return Ok(chosen(wanted, None));
    }
    let is_ours = namespace.is_some_and(|namespace| ownership(namespace, tenant) == Ownership::Ours);
    let class = present.map_or(wanted, String::as_str);
    let until_then = match (is_ours, exists(class)) {
        (false, _) => String::new(),
        (true, true) => format!("; until then new pods run on {class}"),
        (true, false) => "; until then new pods are refused".to_owned(),
    };
    let missing = Refusal {
        condition: NAMESPACE_READY,
        reason: "RuntimeClassMissing",
        message: format!("the cluster has no RuntimeClass {wanted}: create it, or {otherwise}{until_then}"),
    };
    match is_ours {
        true => Ok(chosen(class, Some(missing))),
        false => Err(missing),
    }
}
