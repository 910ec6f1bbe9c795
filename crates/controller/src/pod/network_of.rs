//! Which network the pods of a namespace use.

use k8s_openapi::api::core::v1::Namespace;
use kube::ResourceExt;
use stackube_api::Tenant;
use stackube_api::names::{SYSTEM_NAMESPACE, TENANT_LABEL};

use crate::port::NetworkKey;
use crate::stop::Stop;

/// Why a namespace has no network. Each waits: nothing is assumed in a tenant's place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoNetwork {
    #[error(
        "namespace {namespace} carries the label {TENANT_LABEL}={value}, which names another tenant than the namespace: delete \
         the namespace and make it anew without the label"
    )]
    Mislabelled { namespace: String, value: String },
    #[error(
        "namespace {namespace} belongs to a Tenant that does not exist: create the Tenant again, or delete the namespace"
    )]
    TenantGone { namespace: String },
    #[error(
        "there is a Tenant {namespace}, but this namespace of that name is not its own: look at the Tenant's conditions"
    )]
    Unlabelled { namespace: String },
}

impl From<NoNetwork> for Stop {
    fn from(error: NoNetwork) -> Self {
        let reason = match error {
            NoNetwork::Mislabelled { .. } => "NamespaceMislabelled",
            NoNetwork::TenantGone { .. } => "TenantGone",
            NoNetwork::Unlabelled { .. } => "NamespaceNotTenants",
        };
        Self::waiting(reason, error.to_string(), crate::port::LOOK_AGAIN)
    }
}

/// The network of a namespace's pods. `tenant` is the Tenant of the namespace's name, if there is one now.
///
/// # Errors
/// [`NoNetwork`] when the label and the Tenant do not agree. In particular a namespace without the label does not get the
/// system network while a Tenant of its name exists.
pub(super) fn network_of(namespace: &Namespace, tenant: Option<&Tenant>) -> Result<NetworkKey, NoNetwork> {
    let name = namespace.name_any();
    match (namespace.labels().get(TENANT_LABEL), tenant) {
        (Some(value), _) if *value != name => Err(NoNetwork::Mislabelled {
            namespace: name,
            value: value.clone(),
        }),
        (Some(_), Some(_)) => Ok(NetworkKey {
            namespace: name.clone(),
            name,
        }),
        (Some(_), None) => Err(NoNetwork::TenantGone { namespace: name }),
        (None, Some(_)) => Err(NoNetwork::Unlabelled { namespace: name }),
        (None, None) => Ok(NetworkKey {
            namespace: SYSTEM_NAMESPACE.into(),
            name: SYSTEM_NAMESPACE.into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use kube::api::ObjectMeta;
    use rstest::rstest;
    use stackube_api::TenantSpec;

    use super::*;

    fn namespace(name: &str, label: Option<&str>) -> Namespace {
        let labels = label.map(|value| [(TENANT_LABEL.to_owned(), value.to_owned())].into());
        let metadata = ObjectMeta {
            name: Some(name.into()),
            labels,
            ..ObjectMeta::default()
        };
        Namespace {
            metadata,
            ..Namespace::default()
        }
    }

    #[rstest]
    #[case::tenant("test", Some("test"), true, Ok("test/test"))]
    #[case::system("default", None, false, Ok("stackube-system/stackube-system"))]
    #[case::own_components(SYSTEM_NAMESPACE, None, false, Ok("stackube-system/stackube-system"))]
    #[case::label_of_another("test", Some("victim"), true, Err("NamespaceMislabelled"))]
    #[case::label_of_another_without_tenant("test", Some("victim"), false, Err("NamespaceMislabelled"))]
    #[case::empty_label("test", Some(""), true, Err("NamespaceMislabelled"))]
    #[case::tenant_gone("test", Some("test"), false, Err("TenantGone"))]
    #[case::taken_name("test", None, true, Err("NamespaceNotTenants"))]
    fn networks(
        #[case] name: &str,
        #[case] label: Option<&str>,
        #[case] tenant: bool,
        #[case] expected: Result<&str, &str>,
    ) {
        let tenant = tenant.then(|| Tenant::new(name, TenantSpec::default()));
        let found = network_of(&namespace(name, label), tenant.as_ref());
        match expected {
            Ok(key) => assert_eq!(found.unwrap().to_string(), key),
            Err(reason) => assert_eq!(Stop::from(found.unwrap_err()).reason(), reason),
        }
    }
}
