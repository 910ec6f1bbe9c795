//! The devbox's OpenStack, seen by its administrator.

use std::{collections::BTreeSet, path::Path, time::Duration};

use anyhow::{Result, ensure};
use stackube_openstack::{
    Cloud, CloudConfig, Optional, Session,
    id::ProjectId,
    network::{FloatingIpFilter, NetworkFilter, PortFilter, RouterFilter, SecurityGroupFilter, SubnetFilter},
};

use crate::{devbox::Devbox, wait};

/// The cloud `name` of the devbox's clouds.yaml.
///
/// # Panics
/// When it is not in the file.
pub fn cloud(clouds: &Path, name: &str) -> Cloud {
    let config = CloudConfig::from_clouds_yaml(clouds, name).expect(".devbox/clouds.yaml should be usable");
    Cloud::new(config).expect(".devbox/clouds.yaml should be usable")
}

/// Waits until neither Keystone nor Neutron knows anything of the project any more.
///
/// # Panics
/// With the list of what is left.
pub async fn assert_nothing_left(devbox: &Devbox, project: &ProjectId) {
    // A Tenant is gone only after its project; nothing runs on after it, so this is soon true or never.
    wait::until(
        &format!("nothing left of project {project}"),
        Duration::from_secs(30),
        || async {
            let left = Box::pin(leftovers(&devbox.cloud.service(), project)).await?;
            ensure!(left.is_empty(), "{left:#?}");
            Ok::<_, anyhow::Error>(())
        },
    )
    .await;
}

/// Asserts that a project has one object of each kind that a Network is made of, and no other; their IDs.
///
/// # Panics
/// When it has none or several of a kind.
pub async fn assert_made_once(devbox: &Devbox, project: &ProjectId) -> BTreeSet<String> {
    let session = devbox.cloud.service();
    let (networks, subnets, routers, groups) = (
        NetworkFilter::default(),
        SubnetFilter::default(),
        RouterFilter::default(),
        SecurityGroupFilter::default(),
    );
    let (networks, subnets, routers, mut groups) = tokio::try_join!(
        session.list_networks(project, &networks),
        session.list_subnets(project, &subnets),
        session.list_routers(project, &routers),
        session.list_security_groups_all_projects(&groups),
    )
    .expect("Neutron should answer");
    // `default` is Neutron's own.
    groups.retain(|group| group.project_id.as_ref() == Some(project) && group.name != "default");
    let counts = [networks.len(), subnets.len(), routers.len(), groups.len()];
    assert_eq!(counts, [1, 1, 1, 1], "networks, subnets, routers, groups");
    let mut ids = BTreeSet::new();
    ids.extend(networks.into_iter().map(|network| network.id.to_string()));
    ids.extend(subnets.into_iter().map(|subnet| subnet.id.to_string()));
    ids.extend(routers.into_iter().map(|router| router.id.to_string()));
    ids.extend(groups.into_iter().map(|group| group.id.to_string()));
    ids
}

/// Whatever exists for a project in Keystone (itself, role assignments) and Neutron.
///
/// # Errors
/// When a service does not answer.
pub async fn leftovers(session: &Session, project: &ProjectId) -> Result<Vec<String>> {
    let mut left = Box::pin(network_leftovers(session, project)).await?;
    if let Some(found) = session.get_project(project).await.optional()? {
        left.push(format!("project {}", found.name));
    }
    let assignments = session.list_role_assignments_of_project(project).await.optional()?;
    left.extend(assignments.iter().flatten().map(|held| format!("{held:?}")));
    Ok(left)
}

/// Whatever exists for a project in Neutron, its quota included.
///
/// # Errors
/// When Neutron does not answer.
pub async fn network_leftovers(session: &Session, project: &ProjectId) -> Result<Vec<String>> {
    let (networks, subnets, routers) = (
        NetworkFilter::default(),
        SubnetFilter::default(),
        RouterFilter::default(),
    );
    let (ports, addresses, groups) = (
        PortFilter::default(),
        FloatingIpFilter::default(),
        SecurityGroupFilter::default(),
    );
    let (networks, subnets, routers, ports, addresses, policies, groups, quota, default) = tokio::try_join!(
        session.list_networks(project, &networks),
        session.list_subnets(project, &subnets),
        session.list_routers(project, &routers),
        session.list_ports(project, &ports),
        session.list_floating_ips(project, &addresses),
        session.list_rbac_policies(project),
        // Asking for those of the project would make its group `default`.
        session.list_security_groups_all_projects(&groups),
        session.get_quota(project),
        session.get_default_quota(project),
    )?;
    let groups = groups.iter().filter(|group| group.project_id.as_ref() == Some(project));
    let mut left = vec![];
    left.extend(networks.iter().map(|network| format!("network {}", network.name)));
    left.extend(subnets.iter().map(|subnet| format!("subnet {}", subnet.id)));
    left.extend(routers.iter().map(|router| format!("router {}", router.name)));
    left.extend(
        ports
            .iter()
            .map(|port| format!("port {} of {}", port.id, port.device_owner)),
    );
    left.extend(addresses.iter().map(|address| format!("floating IP {}", address.id)));
    left.extend(policies.iter().map(|policy| format!("RBAC policy {}", policy.id)));
    left.extend(groups.map(|group| format!("security group {}", group.name)));
    if quota != default {
        left.push(format!("quota {quota:?}"));
    }
    Ok(left)
}
