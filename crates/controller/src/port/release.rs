//! Taking back what a Port has.

use kube::api::{Patch, PatchParams};
use kube::runtime::reflector::ObjectRef;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use stackube_api::names::{ADDRESS_REFUSED_ANNOTATION, NODE_FINALIZER};
use stackube_api::{Port, PortHolder, PortStatus, Tenant};
use stackube_openstack::id::{PortId, ProjectId};
use stackube_openstack::network::{Port as NeutronPort, PortFilter};
use tracing::{info, warn};

use super::book::Holder;
use super::dereference::{Facts, Net};
use super::neutron::{DEVICE_OWNER, Identity};
use super::{Shared, api, status};
use crate::finalizer;
use crate::stop::Stop;

/// Takes back an address that the node refused: first the Neutron port, then the status, then the mark, so that a restart in
/// between does the rest.
pub(super) async fn take_back(shared: &Shared, port: &Port, refused: &str) -> Result<Port, Stop> {
    if let Some(id) = recorded(port) {
        shared.context.cloud.service().delete_port(&id).await?;
    }
    shared.book.refuse(&Holder::Pod(port.name_any()));
    let message = format!(
        "node {} has address {refused} in use already: choosing another",
        port.spec.node_name
    );
    let cleared = PortStatus {
        message: Some(message),
        ..PortStatus::default()
    };
    let cleared = status::publish(shared, port, &cleared).await?;
    set_annotation(shared, &cleared, &Value::Null).await.map_err(Stop::from)
}

/// Removes a refusal that does not concern the present address.
pub(super) async fn drop_refusal(shared: &Shared, port: &Port) -> Result<(), Stop> {
    set_annotation(shared, port, &Value::Null).await?;
    Ok(())
}

async fn set_annotation(shared: &Shared, port: &Port, value: &Value) -> Result<Port, kube::Error> {
    let mut patch = json!({"metadata": {"resourceVersion": port.resource_version(), "annotations": {}}});
    patch["metadata"]["annotations"][ADDRESS_REFUSED_ANNOTATION] = value.clone();
    api(&shared.context, port)
        .patch(&port.name_any(), &PatchParams::default(), &Patch::Merge(patch))
        .await
}

/// Removes the finalizer of a node that is gone; [`super::plan`] says why that is safe.
pub(super) async fn disown_node(shared: &Shared, port: &Port) -> Result<(), Stop> {
    let rest: Vec<_> = port
        .finalizers()
        .iter()
        .filter(|name| *name != NODE_FINALIZER)
        .collect();
    let patch = json!({"metadata": {"finalizers": rest, "resourceVersion": port.resource_version()}});
    api(&shared.context, port)
        .patch(&port.name_any(), &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    info!(
        node = port.spec.node_name,
        "the node is gone: its finalizer was removed for it"
    );
    Ok(())
}

/// Deletes all that exists in Neutron for a Port that the node has torn down, lets the address rest, and lets the Port go.
pub(super) async fn remove(shared: &Shared, port: &Port, facts: &Facts) -> Result<(), Stop> {
    let session = shared.context.cloud.service();
    let project = project(shared, port, facts).await?;
    let lane = match &project {
        Some(project) => shared.lanes.enter(project).await,
        None => None,
    };
    if let Some(id) = recorded(port) {
        session.delete_port(&id).await?;
    }
    if let Some(project) = &project {
        // What was made without having been written into the status. Here several are no ambiguity: all of them say that they
        // are for this pod alone, and it is gone.
        let identity = Identity::of(port, &shared.context.identity.cluster);
        let filter = PortFilter {
            device_id: Some(identity.uid.clone()),
            ..PortFilter::default()
        };
        for found in session.list_ports(project, &filter).await? {
            if is_for(&found, &identity, facts) {
                session.delete_port(&found.id).await?;
            }
        }
    } else {
        warn!("the network and the tenant of this Port are gone: what may be left in Neutron is for the sweeper");
    }
    drop(lane);
    shared.book.release(&Holder::Pod(port.name_any()));
    shared.fresh.ended(&port.name_any());
    finalizer::remove(&api(&shared.context, port), port).await?;
    // Whose Port was deleted by hand gets a new one.
    let heard = match port.spec.holder {
        PortHolder::Pod => {
            let pod = ObjectRef::new(&port.spec.pod_name).within(&port.namespace().unwrap_or_default());
            shared.wake_pod.unbounded_send(pod).is_ok()
        }
        PortHolder::Node => {
            let node = ObjectRef::new(&port.spec.node_name);
            shared.wake_node.unbounded_send(node).is_ok()
        }
    };
    if !heard {
        warn!("the controller of this Port's holder has ended");
    }
    Ok(())
}

fn recorded(port: &Port) -> Option<PortId> {
    port.status.as_ref()?.port_id.as_deref()?.parse().ok()
}

/// The project in which this Port's Neutron port is: the network's, or the tenant's if the Network object is gone.
async fn project(shared: &Shared, port: &Port, facts: &Facts) -> Result<Option<ProjectId>, kube::Error> {
    if let Net::Active(target) = &facts.net {
        return Ok(Some(target.project.clone()));
    }
    let network = ObjectRef::new(&port.spec.network_name).within(&port.spec.network_namespace);
    let of_network = shared
        .context
        .networks
        .get(&network)
        .and_then(|network| network.status.clone()?.project_id);
    if let Some(id) = of_network {
        return Ok(id.parse().ok());
    }
    let tenants: Api<Tenant> = Api::all(shared.context.kube.clone());
    let tenant = tenants.get_opt(&port.spec.network_namespace).await?;
    Ok(tenant.and_then(|tenant| tenant.status?.project_id?.parse().ok()))
}

fn is_for(found: &NeutronPort, identity: &Identity, facts: &Facts) -> bool {
    let in_network = match &facts.net {
        Net::Active(target) => found.network_id == target.network,
        Net::Missing | Net::Unusable(_) => true,
    };
    in_network
        && found.device_owner == DEVICE_OWNER
        && found.device_id == identity.uid
        && found.description == identity.uid
}

#[cfg(test)]
mod tests;
