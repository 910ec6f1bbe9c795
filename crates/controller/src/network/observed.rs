//! What of a Network exists in Neutron.

use std::net::{IpAddr, Ipv4Addr};

use stackube_api::NetworkStatus;
use stackube_openstack::id::{NetworkId, ProjectId, RouterId, SecurityGroupId, SubnetId};
use stackube_openstack::network::{
    Network, NetworkFilter, Router, RouterFilter, SecurityGroup, SecurityGroupFilter, Subnet, SubnetFilter,
};
use stackube_openstack::{Error, Optional, Session};

use crate::stop::Stop;

/// The objects of one Network, each in exactly the project that it should be in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    pub(crate) network: Option<Network>,
    pub(crate) subnet: Option<Subnet>,
    pub(crate) router: Option<Router>,
    /// Subnets that the router has a leg in.
    pub(crate) legs: Vec<SubnetId>,
    pub(crate) group: Option<SecurityGroup>,
}

impl Observed {
    /// Whether the router has a leg in the subnet.
    pub(crate) fn is_connected(&self) -> bool {
        self.subnet
            .as_ref()
            .is_some_and(|subnet| self.legs.contains(&subnet.id))
    }
}

/// Looks everything up: by the IDs in the status, what has none by the description that it was made with. (Neutron takes a
/// description in the POST, but tags of anything but ports only afterwards.) Side by side.
///
/// # Errors
/// Refused when two objects have the same owner's description; those of Neutron.
pub(crate) async fn observe(
    session: &Session,
    project: &ProjectId,
    status: &NetworkStatus,
    description: &str,
) -> Result<Observed, Stop> {
    let (network, subnet, router, group) = tokio::join!(
        network(session, project, status, description),
        subnet(session, project, status, description),
        router(session, project, status, description),
        group(session, project, status, description),
    );
    let (network, subnet, router, group) = (network?, subnet?, router?, group?);
    // A subnet of an older network of ours is not this one's.
    let subnet = subnet.filter(|subnet| network.as_ref().is_some_and(|network| network.id == subnet.network_id));
    let legs = match &router {
        Some(router) => legs(session, &router.id).await?,
        None => Vec::new(),
    };
    Ok(Observed {
        network,
        subnet,
        router,
        legs,
        group,
    })
}

/// The subnets that a router has a leg in.
///
/// # Errors
/// Those of Neutron.
pub(crate) async fn legs(session: &Session, router: &RouterId) -> Result<Vec<SubnetId>, Error> {
    Ok(session
        .router_interfaces(router)
        .await?
        .into_iter()
        .map(|leg| leg.subnet_id)
        .collect())
}

/// One of a kind, or none.
fn only<T>(what: &str, mut found: Vec<T>) -> Result<Option<T>, Stop> {
    match found.len() {
        0 | 1 => Ok(found.pop()),
        count => Err(Stop::refused(
            "Ambiguous",
            format!("{count} {what}s in the project are described as this Network's; delete those that are not in use"),
        )),
    }
}

async fn network(
    session: &Session,
    project: &ProjectId,
    status: &NetworkStatus,
    description: &str,
) -> Result<Option<Network>, Stop> {
    if let Some(id) = status.network_id.as_deref().and_then(|id| NetworkId::new(id).ok()) {
        let found = session.get_network(&id).await.optional()?;
        return Ok(found.filter(|network| network.project_id.as_ref() == Some(project)));
    }
    let filter = NetworkFilter {
        description: Some(description.to_owned()),
        ..NetworkFilter::default()
    };
    only("network", session.list_networks(project, &filter).await?)
}

async fn subnet(
    session: &Session,
    project: &ProjectId,
    status: &NetworkStatus,
    description: &str,
) -> Result<Option<Subnet>, Stop> {
    if let Some(id) = status.subnet_id.as_deref().and_then(|id| SubnetId::new(id).ok()) {
        let found = session.get_subnet(&id).await.optional()?;
        return Ok(found.filter(|subnet| subnet.project_id.as_ref() == Some(project)));
    }
    let filter = SubnetFilter {
        description: Some(description.to_owned()),
        ..SubnetFilter::default()
    };
    only("subnet", session.list_subnets(project, &filter).await?)
}

async fn router(
    session: &Session,
    project: &ProjectId,
    status: &NetworkStatus,
    description: &str,
) -> Result<Option<Router>, Stop> {
    if let Some(id) = status.router_id.as_deref().and_then(|id| RouterId::new(id).ok()) {
        let found = session.get_router(&id).await.optional()?;
        return Ok(found.filter(|router| router.project_id.as_ref() == Some(project)));
    }
    let filter = RouterFilter {
        description: Some(description.to_owned()),
        ..RouterFilter::default()
    };
    only("router", session.list_routers(project, &filter).await?)
}

/// The security group of a Network.
///
/// # Errors
/// Refused when two have the description; those of Neutron.
pub(crate) async fn group(
    session: &Session,
    project: &ProjectId,
    status: &NetworkStatus,
    description: &str,
) -> Result<Option<SecurityGroup>, Stop> {
    if let Some(id) = status
        .security_group_id
        .as_deref()
        .and_then(|id| SecurityGroupId::new(id).ok())
    {
        let found = session.get_security_group(&id).await.optional()?;
        return Ok(found.filter(|group| group.project_id.as_ref() == Some(project)));
    }
    let filter = SecurityGroupFilter {
        description: Some(description.to_owned()),
        ..SecurityGroupFilter::default()
    };
    only("security group", session.list_security_groups(project, &filter).await?)
}

/// An address as IPv4.
pub(crate) fn v4(address: Option<IpAddr>) -> Option<Ipv4Addr> {
    match address {
        Some(IpAddr::V4(address)) => Some(address),
        _ => None,
    }
}
