//! All that was made in Neutron for a Network, for its removal. Beside what the status names there may be more of a kind: a call
//! whose answer was lost can take effect after somebody has looked for what it made.

use stackube_api::NetworkStatus;
use stackube_openstack::id::{NetworkId, ProjectId, RouterId, SecurityGroupId, SubnetId};
use stackube_openstack::network::{NetworkFilter, RouterFilter, SecurityGroupFilter, SubnetFilter};
use stackube_openstack::{Error, Optional, Session};

/// Objects of one Network, each in exactly the project that it should be in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Leftovers {
    pub(super) networks: Vec<NetworkId>,
    pub(super) subnets: Vec<SubnetId>,
    pub(super) routers: Vec<RouterId>,
    pub(super) groups: Vec<SecurityGroupId>,
}

/// The objects of one kind: that in the status, whatever its description says by now, and all that are described as this
/// Network's. Several are no ambiguity here: all of them say that they are for this Network alone, and it goes.
macro_rules! of_a_kind {
    ($session:expr, $project:expr, $known:expr, $get:ident, $list:ident, $filter:expr) => {{
        let mut ids: Vec<_> = $session
            .$list($project, &$filter)
            .await?
            .into_iter()
            .map(|found| found.id)
            .collect();
        if let Some(id) = $known.as_deref().and_then(|id| id.parse().ok())
            && !ids.contains(&id)
            && let Some(found) = $session.$get(&id).await.optional()?
            && found.project_id.as_ref() == Some($project)
        {
            ids.push(id);
        }
        ids
    }};
}

/// Looks for everything.
///
/// # Errors
/// Those of Neutron.
pub(super) async fn find(
    session: &Session,
    project: &ProjectId,
    status: &NetworkStatus,
    description: &str,
) -> Result<Leftovers, Error> {
    let described = || Some(description.to_owned());
    let networks = NetworkFilter {
        description: described(),
        ..NetworkFilter::default()
    };
    let subnets = SubnetFilter {
        description: described(),
        ..SubnetFilter::default()
    };
    let routers = RouterFilter {
        description: described(),
        ..RouterFilter::default()
    };
    Ok(Leftovers {
        networks: of_a_kind!(
            session,
            project,
            status.network_id,
            get_network,
            list_networks,
            networks
        ),
        subnets: of_a_kind!(session, project, status.subnet_id, get_subnet, list_subnets, subnets),
        routers: of_a_kind!(session, project, status.router_id, get_router, list_routers, routers),
        groups: groups(session, project, status, description).await?,
    })
}

/// Only the security groups.
///
/// # Errors
/// Those of Neutron.
pub(super) async fn groups(
    session: &Session,
    project: &ProjectId,
    status: &NetworkStatus,
    description: &str,
) -> Result<Vec<SecurityGroupId>, Error> {
    let groups = SecurityGroupFilter {
        description: Some(description.to_owned()),
        ..SecurityGroupFilter::default()
    };
    let known = &status.security_group_id;
    Ok(of_a_kind!(
        session,
        project,
        known,
        get_security_group,
        list_security_groups,
        groups
    ))
}
