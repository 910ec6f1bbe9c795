//! Removing a Network from Neutron, after the last pod has left it. Every reconcile starts from the beginning.

use std::time::Duration;

use kube::api::ListParams;
use kube::runtime::controller::Action;
use kube::{Api, ResourceExt};
use stackube_api::names::{PORT_DEVICE_OWNER, cluster_tag};
use stackube_api::{Network, NetworkStatus, Port};
use stackube_openstack::id::{NetworkId, ProjectId, RouterId, SecurityGroupId};
use stackube_openstack::network::{self as neutron, FloatingIpFilter, PortFilter, UpdatePort};
use stackube_openstack::{Error, Optional, Session};

use super::leftovers::{self, Leftovers};
use super::marks::Marks;
use super::observed::legs;
use super::owner::{self, is_system};
use super::status::Record;
use crate::context::Context;
use crate::finalizer;
use crate::stop::Stop;

mod guests;

pub(crate) use guests::goes_with_network;

/// How often the pods are counted.
const LOOK: Duration = Duration::from_secs(2);

/// Takes the Network's objects away, in order; the finalizer last.
///
/// # Errors
/// What stopped it, or what it waits for; the status tells.
pub(super) async fn reconcile(network: &Network, context: &Context) -> Result<Action, Stop> {
    if !finalizer::has(network) {
        return Ok(Action::await_change());
    }
    match remove(network, context).await {
        Ok(()) => {
            let api: Api<Network> = Api::namespaced(context.kube.clone(), &network.namespace().unwrap_or_default());
            finalizer::remove(&api, network).await?;
            Ok(Action::await_change())
        }
        Err(stop) => {
            let news = Record::new(context.kube.clone(), network).terminating(&stop).await?;
            match stop {
                Stop::Waiting { .. } if !news => {}
                Stop::Waiting { .. } => {
                    context
                        .events
                        .normal(network, "Delete", stop.reason(), stop.sentence())
                        .await;
                }
                _ => {
                    context
                        .events
                        .warning(network, "Delete", stop.reason(), stop.sentence())
                        .await;
                }
            }
            Err(stop)
        }
    }
}

async fn remove(network: &Network, context: &Context) -> Result<(), Stop> {
    ports_are_gone(network, context).await?;
    let status = network.status.clone().unwrap_or_default();
    let Some(project) = status.project_id.as_deref().and_then(|id| ProjectId::new(id).ok()) else {
        // The project is in the status before anything is made.
        return Ok(());
    };
    let session = session(network, context, &project).await?;
    let description = Marks::new(network, project.clone(), &context.identity.cluster).description;
    match network.spec.network_id.as_deref().filter(|id| !id.is_empty()) {
        Some(_) => {
            let (service, cluster) = (context.cloud.service(), &context.identity.cluster);
            leave(&service, &session, &project, cluster, &status, &description).await
        }
        None => {
            let found = leftovers::find(&session, &project, &status, &description).await?;
            let service = context.cloud.service();
            if is_ours_alone(network, context, &project).await? {
                empty(&service, &session, &project, &found).await?;
            } else {
                guests::empty(&service, &session, &context.identity.cluster, &found).await?;
            }
            destroy(&session, &found).await
        }
    }
}

/// Whether the project was made for the Tenant and ends with it, with everything in it. When that cannot be told any more (the
/// Tenant was forced away), it is not: what somebody else made stays.
async fn is_ours_alone(network: &Network, context: &Context, project: &ProjectId) -> Result<bool, Stop> {
    if is_system(network) {
        return Ok(false);
    }
    match owner::find(network, context).await {
        Ok(owner) => Ok(!owner.adopted && owner.project == *project),
        Err(Stop::Refused { .. } | Stop::Waiting { .. }) => Ok(false),
        Err(stop) => Err(stop),
    }
}

/// Waits for the pods: their Ports name the Network.
async fn ports_are_gone(network: &Network, context: &Context) -> Result<(), Stop> {
    let namespace = network.namespace().unwrap_or_default();
    let ports: Api<Port> = if is_system(network) {
        Api::all(context.kube.clone())
    } else {
        Api::namespaced(context.kube.clone(), &namespace)
    };
    let count = ports
        .list(&ListParams::default())
        .await?
        .iter()
        .filter(|port| port.spec.network_namespace == namespace && port.spec.network_name == network.name_any())
        .count();
    if count == 0 {
        return Ok(());
    }
    let message = format!(
        "{count} pod{} still on this network",
        if count == 1 { " is" } else { "s are" }
    );
    Err(Stop::waiting("PodsRemain", message, LOOK))
}

/// The service user in the tenant's project. If it gets no token there (the project is disabled or gone, or somebody took its
/// role away), removal must not hang for ever: then in its own project, where it is an administrator.
async fn session(network: &Network, context: &Context, project: &ProjectId) -> Result<Session, Stop> {
    if is_system(network) {
        return Ok(context.cloud.service());
    }
    let session = context.cloud.project(project)?;
    match session.token_info().await {
        Ok(_) => Ok(session),
        Err(Error::Unauthorized { .. } | Error::NotFound { .. } | Error::Forbidden { .. }) => {
            Ok(context.cloud.service())
        }
        Err(error) => Err(error.into()),
    }
}

/// Takes everything off our networks, routers and groups, also what the tenant's own users put there: ports that nobody waits
/// for (of the pool, of pods whose Port objects were forced away), legs of other routers, floating IPs and routes that hold legs,
/// our group on ports elsewhere. What Neutron made for itself goes with the network; what the cloud's operators hold there stays.
async fn empty(service: &Session, session: &Session, project: &ProjectId, found: &Leftovers) -> Result<(), Stop> {
    for router in &found.routers {
        unload(session, project, router).await?;
    }
    for network in &found.networks {
        empty_network(service, session, project, network).await?;
    }
    for router in &found.routers {
        for subnet in legs(session, router).await? {
            session.remove_router_interface(router, &subnet).await?;
        }
    }
    for group in &found.groups {
        undress(session, project, group).await?;
    }
    Ok(())
}

/// Takes away what Neutron keeps a router's legs for.
async fn unload(session: &Session, project: &ProjectId, router: &RouterId) -> Result<(), Stop> {
    let filter = FloatingIpFilter {
        router_id: Some(router.clone()),
        ..FloatingIpFilter::default()
    };
    for address in session.list_floating_ips(project, &filter).await? {
        session.delete_floating_ip(&address.id).await?;
    }
    Ok(session.clear_routes(router).await?)
}

async fn empty_network(
    service: &Session,
    session: &Session,
    project: &ProjectId,
    network: &NetworkId,
) -> Result<(), Stop> {
    let filter = PortFilter {
        network_id: Some(network.clone()),
        ..PortFilter::default()
    };
    for port in service
        .list_ports_all_projects(&filter)
        .await?
        .iter()
        .filter(|port| &port.network_id == network)
    {
        if guests::is_leg(port)
            && let Ok(router) = RouterId::new(port.device_id.as_str())
        {
            unload(session, project, &router).await?;
            for fixed in &port.fixed_ips {
                session.remove_router_interface(&router, &fixed.subnet_id).await?;
            }
        }
        if is_to_go(port, project) {
            service.delete_port(&port.id).await?;
        }
    }
    Ok(())
}

/// Whether a port on a network of ours in `project` is deleted. Neutron's policy (`create_port:device_owner`) lets members of a
/// network's project call ports of theirs on it `network:` whatever, a leg of no router as well; in other projects only the cloud's
/// operators and Neutron itself can. A real leg has gone before, by its router.
fn is_to_go(port: &neutron::Port, project: &ProjectId) -> bool {
    let is_a_members = port.project_id.as_ref() == Some(project) || !port.device_owner.starts_with("network:");
    is_a_members && !goes_with_network(port)
}

/// Takes our group off the project's ports, which are on networks of the tenant's users: those go after the Network.
async fn undress(session: &Session, project: &ProjectId, group: &SecurityGroupId) -> Result<(), Stop> {
    let filter = PortFilter {
        security_group: Some(group.clone()),
        ..PortFilter::default()
    };
    for port in session.list_ports(project, &filter).await? {
        let mut groups = port.security_groups;
        if groups.contains(group) {
            groups.retain(|other| other != group);
            let change = UpdatePort {
                security_groups: Some(groups),
                ..UpdatePort::default()
            };
            session.update_port(&port.id, &change, None).await.optional()?;
        }
    }
    Ok(())
}

/// What we made, after nothing is on it any more.
async fn destroy(session: &Session, found: &Leftovers) -> Result<(), Stop> {
    for router in &found.routers {
        session.delete_router(router).await?;
    }
    for subnet in &found.subnets {
        session.delete_subnet(subnet).await?;
    }
    for network in &found.networks {
        session.delete_network(network).await?;
    }
    for group in &found.groups {
        session.delete_security_group(group).await?;
    }
    Ok(())
}

/// Only what is ours on a network that is not: pods' ports with the cluster's tag, and the security group. Nothing while somebody
/// else's port has the group.
async fn leave(
    service: &Session,
    session: &Session,
    project: &ProjectId,
    cluster: &str,
    status: &NetworkStatus,
    description: &str,
) -> Result<(), Stop> {
    let mut ours = vec![];
    if let Some(id) = status.network_id.as_deref().and_then(|id| NetworkId::new(id).ok()) {
        let filter = PortFilter {
            network_id: Some(id),
            device_owner: Some(PORT_DEVICE_OWNER.to_owned()),
            tags: vec![cluster_tag(cluster)],
            ..PortFilter::default()
        };
        ours = service.list_ports(project, &filter).await?;
    }
    let groups = leftovers::groups(session, project, status, description).await?;
    guests::wait_for_group(service, &groups, &ours).await?;
    for port in &ours {
        service.delete_port(&port.id).await?;
    }
    for group in &groups {
        session.delete_security_group(group).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
