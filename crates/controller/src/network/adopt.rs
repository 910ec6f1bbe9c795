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
    let mut found = Found { network: session.get_network(id).await.optional()?, ..Found::default() };
    if let Some(network) = &mut found.network {
        // The tenant's own session has seen it, so it is the tenant's; only the service may ask how it is carried.
        network.provider_network_type = service.get_network(id).await?.provider_network_type;
        let on_it = SubnetFilter { network_id: Some(id.clone()), ..SubnetFilter::default() };
        let in_it = PortFilter { network_id: Some(id.clone()), ..PortFilter::default() };
        let (subnets, ports) =
            tokio::join!(session.list_subnets_all_projects(&on_it), session.list_ports_all_projects(&in_it));
        found.subnets = subnets?;
        if let Some(router) = gateway_router(&ports?, range) {
            found.router = session.get_router(&router).await.optional()?;
        }
    }
    let (network, subnet, router) = check(found, project, id, range)?;
    let legs = legs(session, &router.id).await?;
    Ok(Observed { network: Some(network), subnet: Some(subnet), router: Some(router), legs, group: None })
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
    let no = |reason, message: String| Err(Stop::refused(reason, message));
    let Some(network) = found.network.filter(|network| network.project_id.as_ref() == Some(project)) else {
        return no("NetworkNotFound", format!("the project {project} has no network {id}: correct networkID"));
    };
    if network.shared || network.external {
        return no("NetworkShared", format!("the network {id} is shared or external: pods need one that is only the tenant's"));
    }
    if network.port_security_enabled == Some(false) || !network.admin_state_up {
        return no(
            "NetworkUnsafe",
            format!("the network {id} has port security or itself switched off: `openstack network set --enable --enable-port-security {id}`"),
        );
    }
    if let Some(kind) = network.provider_network_type.as_deref().filter(|kind| *kind != "geneve") {
        return no("NetworkUnreachable", format!("the network {id} is of type {kind}: nodes reach geneve networks of OVN only"));
    }
    let (v4_subnets, others): (Vec<_>, Vec<_>) = found.subnets.into_iter().partition(|subnet| subnet.ip_version == 4);
    let [subnet] = v4_subnets.as_slice() else {
        return no("SubnetMismatch", format!("the network {id} has {} IPv4 subnets: it must have exactly one", v4_subnets.len()));
    };
    if !others.is_empty() {
        return no("SubnetMismatch", format!("the network {id} has an IPv6 subnet: only IPv4 is supported"));
    }
    if subnet.cidr != range.range().into() || v4(subnet.gateway_ip) != Some(range.gateway()) {
        let gateway = subnet.gateway_ip.map_or_else(|| "none".to_owned(), |address| address.to_string());
        return no(
            "SubnetMismatch",
            format!(
                "the subnet of network {id} is {} with gateway {gateway}, but the Network says {} with gateway {}",
                subnet.cidr,
                range.range(),
                range.gateway()
            ),
        );
    }
    let Some(router) = found.router.filter(|router| router.project_id.as_ref() == Some(project)) else {
        return no(
            "RouterMissing",
            format!("no router of the project has the address {} in network {id}: attach one", range.gateway()),
        );
    };
    if router.external_gateway_info.is_none() || !router.admin_state_up {
        return no("RouterWithoutGateway", format!("the router {} has no external gateway: set one", router.id));
    }
    Ok((network, subnet.clone(), router))
}

#[cfg(test)]
mod tests;
