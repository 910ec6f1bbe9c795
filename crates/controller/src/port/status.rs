//! What a Port says about itself, and what its pod's Events say.

use std::net::Ipv4Addr;
use std::time::Instant;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use stackube_api::{Port, PortHolder, PortStatus};
use stackube_openstack::network::Port as NeutronPort;

use super::dereference::Target;
use super::plan::TEARING_DOWN;
use super::{Shared, api};
use crate::status;
use crate::stop::Stop;

/// How often a status that somebody else's change has overtaken is written again.
const WRITES: usize = 3;

/// The status of a Port whose Neutron port is bound.
pub(super) fn ready(found: &NeutronPort, ip: Ipv4Addr, target: &Target) -> PortStatus {
    PortStatus {
        port_id: Some(found.id.to_string()),
        ip: Some(ip.to_string()),
        prefix_length: Some(i32::from(target.range.range().prefix_len())),
        mac: Some(found.mac_address.to_lowercase()),
        gateway: Some(target.range.gateway().to_string()),
        mtu: Some(target.mtu),
        ready: true,
        message: None,
    }
}

/// Writes the whole status in one patch that holds only for the object as it was read. When something else about the Port has
/// changed meanwhile, it is read again, and the status is written as long as nobody else has assigned an address.
pub(super) async fn publish(shared: &Shared, port: &Port, status: &PortStatus) -> Result<Port, Stop> {
    let api = api(&shared.context, port);
    let mut version = port.resource_version();
    for _ in 0..WRITES {
        let patch = json!({"metadata": {"resourceVersion": version}, "status": whole(status)?});
        match api
            .patch_status(&port.name_any(), &PatchParams::default(), &Patch::Merge(patch))
            .await
        {
            Ok(written) => return Ok(written),
            Err(kube::Error::Api(answer)) if answer.is_conflict() => version = reread(&api, port, status).await?,
            Err(error) => return Err(error.into()),
        }
    }
    Err(Stop::waiting(
        "PortChanging",
        "the Port is changed faster than it can be written",
        super::LOOK_AGAIN,
    ))
}

/// The Port's present version, if `status` may still be written.
async fn reread(api: &Api<Port>, port: &Port, status: &PortStatus) -> Result<Option<String>, Stop> {
    let overtaken = || {
        Stop::waiting(
            "PortChanged",
            "the Port has changed meanwhile",
            std::time::Duration::from_secs(1),
        )
    };
    let now = api.get(&port.name_any()).await?;
    let assigned = now.status.as_ref().and_then(|status| status.port_id.as_ref());
    let expected = port.status.as_ref().and_then(|status| status.port_id.as_ref());
    let may_write = now.uid() == port.uid()
        && now.metadata.deletion_timestamp.is_none()
        && (assigned == expected || assigned == status.port_id.as_ref());
    if may_write {
        Ok(now.resource_version())
    } else {
        Err(overtaken())
    }
}

/// A merge patch that leaves nothing of an older status: every field that is not set is removed.
fn whole(status: &PortStatus) -> Result<Value, kube::Error> {
    let set = serde_json::to_value(status).map_err(kube::Error::SerdeError)?;
    let mut all = json!({"portID": null, "ip": null, "prefixLength": null, "mac": null, "gateway": null, "mtu": null,
        "ready": false, "message": null});
    if let (Some(all), Value::Object(set)) = (all.as_object_mut(), set) {
        all.extend(set);
    }
    Ok(all)
}

/// Writes into the Port why it is not ready, and tells the pod's owner by an Event when that is news. Never fails: the reason
/// for the reconcile's end is more important.
pub(super) async fn explain(shared: &Shared, port: &Port, stop: &Stop) {
    // Somebody else changed the object: the next look tells more.
    if matches!(stop, Stop::Kubernetes(kube::Error::Api(answer)) if answer.is_conflict() || answer.is_not_found()) {
        return;
    }
    let old = port.status.clone().unwrap_or_default();
    let new = PortStatus {
        message: Some(status::cut(stop.sentence())),
        ..old.clone()
    };
    if (old.ready && port.metadata.deletion_timestamp.is_none()) || old.message == new.message {
        return;
    }
    if let Err(error) = status::write(&api(&shared.context, port), port, &old, &new).await {
        tracing::warn!("the Port's message could not be written: {error}");
    }
    let is_news = || shared.told.is_news(&port.spec.pod_uid, stop.reason(), Instant::now());
    if stop.reason() != TEARING_DOWN && is_news() {
        tell(shared, port, "ProvidePort", stop.reason(), stop.sentence()).await;
    }
}

/// Publishes an Event that warns about the pod or node whose Port it is.
pub(super) async fn tell(shared: &Shared, port: &Port, action: &str, reason: &str, note: String) {
    let events = &shared.context.events;
    // As much of the object as an Event needs.
    let metadata = ObjectMeta {
        name: Some(port.spec.pod_name.clone()),
        uid: Some(port.spec.pod_uid.clone()),
        ..ObjectMeta::default()
    };
    match port.spec.holder {
        PortHolder::Pod => {
            let metadata = ObjectMeta {
                namespace: port.namespace(),
                ..metadata
            };
            let pod = Pod {
                metadata,
                ..Pod::default()
            };
            events.warning(&pod, action, reason, note).await;
        }
        PortHolder::Node => {
            let node = Node {
                metadata,
                ..Node::default()
            };
            events.warning(&node, action, reason, note).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_replaces_all_of_an_older_one() {
        let full = PortStatus {
            port_id: Some("p".into()),
            ip: Some("10.0.0.2".into()),
            prefix_length: Some(16),
            mac: Some("fa:16:3e:00:00:01".into()),
            gateway: Some("10.0.0.1".into()),
            mtu: Some(1442),
            ready: true,
            message: Some("m".into()),
        };
        let patch = whole(&PortStatus::default()).unwrap();
        let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(
            names(&patch),
            names(&serde_json::to_value(&full).unwrap()),
            "a new field must be cleared as well"
        );
        assert_eq!(patch["ip"], Value::Null);
        assert_eq!(whole(&full).unwrap(), serde_json::to_value(&full).unwrap());
    }
}
