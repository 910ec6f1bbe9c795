//! The devbox's OpenStack, seen by its administrator.

use std::{path::Path, time::Duration};

use anyhow::{Result, ensure};
use stackube_openstack::{
    Cloud, CloudConfig, Session,
    id::ProjectId,
    network::{NetworkFilter, PortFilter, RouterFilter, SecurityGroupFilter, SubnetFilter},
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
        Duration::from_secs(5),
        || async {
            let left = leftovers(&devbox.cloud.service(), project).await?;
            ensure!(left.is_empty(), "{left:#?}");
            Ok::<_, anyhow::Error>(())
        },
    )
    .await;
}

/// Whatever exists for a project in Keystone (itself, role assignments) and Neutron.
///
/// # Errors
/// When a service does not answer.
pub async fn leftovers(session: &Session, project: &ProjectId) -> Result<Vec<String>> {
    let mut left = network_leftovers(session, project).await?;
    match session.get_project(project).await {
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
        Ok(found) => {
            left.push(format!("project {}", found.name));
            for assignment in session.list_role_assignments_of_project(project).await? {
                left.push(format!("{assignment:?}"));
            }
        }
    }
    Ok(left)
}

/// Whatever exists for a project in Neutron, its quota included.
///
/// # Errors
/// When Neutron does not answer.
pub async fn network_leftovers(session: &Session, project: &ProjectId) -> Result<Vec<String>> {
    let mut left = vec![];
    for network in session.list_networks(project, &NetworkFilter::default()).await? {
        left.push(format!("network {}", network.name));
    }
    for subnet in session.list_subnets(project, &SubnetFilter::default()).await? {
        left.push(format!("subnet {}", subnet.id));
    }
    for router in session.list_routers(project, &RouterFilter::default()).await? {
        left.push(format!("router {}", router.name));
    }
    for port in session.list_ports(project, &PortFilter::default()).await? {
        left.push(format!("port {} of {}", port.id, port.device_owner));
    }
    for group in session
        .list_security_groups_all_projects(&SecurityGroupFilter::default())
        .await?
    {
        if group.project_id.as_ref() == Some(project) {
            left.push(format!("security group {}", group.name));
        }
    }
    let (quota, default) = (
        session.get_quota(project).await?,
        session.get_default_quota(project).await?,
    );
    if quota != default {
        left.push(format!("quota {quota:?}"));
    }
    Ok(left)
}
