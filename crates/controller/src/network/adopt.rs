//! Using a network that exists: everything that a new one would have is checked, and nothing of it is changed.

use std::net::IpAddr;

use stackube_api::address::Subnet as Range;
use stackube_openstack::id::{NetworkId, ProjectId, RouterId};
use stackube_openstack::network::{Network, Port, PortFilter, Router, Subnet, SubnetFilter};
use stackube_openstack::{Optional, Session};

use super::observed::{Observed, legs, v4};
use crate::stop::Stop;

/// What was found of a network that is to be adopted.
#[derive(Clone, Debug, Default)]
struct Found {
    network: Option<Network>,
    subnets: Vec<Subnet>,
    router: Option<Router>,
}

/// Looks the network up, by the tenant's `session` and in the tenant's project only.
///
/// # Errors
/// Refused when it lacks something; those of Neutron.
pub(super) async fn observe(
    session: &Session,
    service: &Session,
    project: &ProjectId,
    id: &NetworkId,
    range: &Range,
) -> Result<Observed, Stop> {
    let mut found = Found {
        network: session.get_network(id).await.optional()?,
        ..Found::default()
    };
    if let Some(network) = &mut found.network {
        // The tenant's own session has seen it, so it is the tenant's; only the service may ask how it is carried.
        network.provider_network_type = service.get_network(id).await?.provider_network_type;
        let on_it = SubnetFilter {
            network_id: Some(id.clone()),
            ..SubnetFilter::default()
        };
        let in_it = PortFilter {
            network_id: Some(id.clone()),
            ..PortFilter::default()
        };
        let (subnets, ports) = tokio::join!(
            session.list_subnets_all_projects(&on_it),
            session.list_ports_all_projects(&in_it)
        );
        found.subnets = subnets?;
        if let Some(router) = gateway_router(&ports?, range) {
            found.router = session.get_router(&router).await.optional()?;
        }
    }
    let (network, subnet, router) = check(found, project, id, range)?;
    let legs = legs(session, &router.id).await?;
    Ok(Observed {
        network: Some(network),
        subnet: Some(subnet),
        router: Some(router),
        legs,
        group: None,
    })
}

/// The router that has the gateway's address.
fn gateway_router(ports: &[Port], range: &Range) -> Option<RouterId> {
    let gateway = IpAddr::V4(range.gateway());
    let port = ports.iter().find(|port| {
        port.device_owner.starts_with("network:router_interface")
            && port.fixed_ips.iter().any(|fixed| fixed.ip_address == gateway)
    })?;
    RouterId::new(port.device_id.as_str()).ok()
}

/// The rules of adoption. Pure.
fn check(found: Found, project: &ProjectId, id: &NetworkId, range: &Range) -> Result<(Network, Subnet, Router), Stop> {
    let network = check_network(found.network, project, id)?;
    let subnet = check_subnets(found.subnets, id, range)?;
    let router = check_router(found.router, project, id, range)?;
    Ok((network, subnet, router))
}

fn no<T>(reason: &'static str, message: String) -> Result<T, Stop> {
    Err(Stop::refused(reason, message))
}

fn check_network(found: Option<Network>, project: &ProjectId, id: &NetworkId) -> Result<Network, Stop> {
    let Some(network) = found.filter(|network| network.project_id.as_ref() == Some(project)) else {
        let message = format!("the project {project} has no network {id}: correct networkID");
        return no("NetworkNotFound", message);
    };
    if network.shared || network.external {
        let message = format!("the network {id} is shared or external: pods need one that is only the tenant's");
        return no("NetworkShared", message);
    }
    if network.port_security_enabled == Some(false) || !network.admin_state_up {
        let message = format!(
            "the network {id} has port security or itself switched off: \
             `openstack network set --enable --enable-port-security {id}`"
        );
        return no("NetworkUnsafe", message);
    }
    match network.provider_network_type.as_deref() {
        Some("geneve") | None => Ok(network),
        Some(kind) => {
            let message = format!("the network {id} is of type {kind}: nodes reach geneve networks of OVN only");
            no("NetworkUnreachable", message)
        }
    }
}

fn check_subnets(found: Vec<Subnet>, id: &NetworkId, range: &Range) -> Result<Subnet, Stop> {
    let (mut v4_subnets, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|subnet| subnet.ip_version == 4);
    let count = v4_subnets.len();
    let Some(subnet) = v4_subnets.pop().filter(|_| count == 1) else {
        let message = format!("the network {id} has {count} IPv4 subnets: it must have exactly one");
        return no("SubnetMismatch", message);
    };
    if !others.is_empty() {
        let message = format!("the network {id} has an IPv6 subnet: only IPv4 is supported");
        return no("SubnetMismatch", message);
    }
    if subnet.cidr != range.range().into() || v4(subnet.gateway_ip) != Some(range.gateway()) {
        let gateway = subnet
            .gateway_ip
            .map_or_else(|| "none".to_owned(), |address| address.to_string());
        let (cidr, wanted, router) = (subnet.cidr, range.range(), range.gateway());
        let message = format!(
            "the subnet of network {id} is {cidr} with gateway {gateway}, \
             but the Network says {wanted} with gateway {router}"
        );
        return no("SubnetMismatch", message);
    }
    Ok(subnet)
}

fn check_router(found: Option<Router>, project: &ProjectId, id: &NetworkId, range: &Range) -> Result<Router, Stop> {
    let Some(router) = found.filter(|router| router.project_id.as_ref() == Some(project)) else {
        let gateway = range.gateway();
        let message = format!("no router of the project has the address {gateway} in network {id}: attach one");
        return no("RouterMissing", message);
    };
    if router.external_gateway_info.is_none() || !router.admin_state_up {
        let message = format!("the router {} has no external gateway: set one", router.id);
        return no("RouterWithoutGateway", message);
    }
    Ok(router)
}

#[cfg(test)]
mod tests;
