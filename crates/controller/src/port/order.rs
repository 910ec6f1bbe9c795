//! New Ports: what every one of them has, whoever holds it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, ResourceExt};
use stackube_api::names::{CONTROLLER_FINALIZER, MANAGED_BY, MANAGED_BY_LABEL, NODE_FINALIZER};
use stackube_api::{Port, PortSpec};

use super::Shared;

/// The Port of `spec`, with both finalizers from the start. It goes with `owner`.
pub(crate) fn order(spec: PortSpec, namespace: Option<String>, owner: OwnerReference) -> Port {
    let metadata = ObjectMeta {
        name: Some(spec.pod_uid.clone()),
        namespace,
        labels: Some(BTreeMap::from([(MANAGED_BY_LABEL.to_owned(), MANAGED_BY.to_owned())])),
        owner_references: Some(vec![owner]),
        finalizers: Some(vec![CONTROLLER_FINALIZER.to_owned(), NODE_FINALIZER.to_owned()]),
        ..ObjectMeta::default()
    };
    Port {
        metadata,
        spec,
        status: None,
    }
}

/// Creates a Port. False if there is one of its name: an earlier leader made it, or this one and the watch has not told yet.
pub(crate) async fn make(shared: &Shared, port: &Port) -> Result<bool, kube::Error> {
    let namespace = port.namespace().unwrap_or_default();
    let api: Api<Port> = Api::namespaced(shared.context.kube.clone(), &namespace);
    match api.create(&PostParams::default(), port).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(false),
        Err(error) => Err(error),
    }
}
