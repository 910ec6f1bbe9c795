//! New Ports: what every one of them has, whoever holds it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};
use stackube_api::names::{CONTROLLER_FINALIZER, MANAGED_BY, MANAGED_BY_LABEL, NODE_FINALIZER};
use stackube_api::{Port, PortSpec};

use super::{LOOK_AGAIN, Shared};

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

/// What a holder does next that needs a Port, by the one that is known. One that is being deleted is looked at again: whoever
/// removed its finalizers says so to the holder, but the watch may tell later than that, and then says nothing to the holder.
pub(crate) fn after(known: Option<&Port>) -> Action {
    match known {
        Some(port) if port.metadata.deletion_timestamp.is_some() => Action::requeue(LOOK_AGAIN),
        Some(_) | None => Action::await_change(),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use stackube_api::PortHolder;

    use super::*;

    #[test]
    fn the_holder_of_a_port_that_goes_looks_again() {
        let spec = PortSpec {
            holder: PortHolder::Pod,
            pod_name: "web".into(),
            pod_uid: "u-1".into(),
            node_name: "n1".into(),
            network_namespace: "test".into(),
            network_name: "test".into(),
        };
        let mut port = order(spec, Some("test".into()), OwnerReference::default());
        assert_eq!(after(None), Action::await_change());
        assert_eq!(after(Some(&port)), Action::await_change());
        port.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
        assert_eq!(after(Some(&port)), Action::requeue(LOOK_AGAIN));
    }
}
