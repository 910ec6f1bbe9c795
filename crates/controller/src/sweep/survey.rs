//! What in OpenStack says that it is of this cluster.

use std::collections::HashSet;

use stackube_api::names::{cluster_tag, owner_of_tag};
use stackube_openstack::identity::{Project, ProjectFilter};
use stackube_openstack::network::{NetworkFilter, PortFilter, RouterFilter, SecurityGroupFilter, SubnetFilter};
use stackube_openstack::{Error, Session};

use super::compare::{Found, Kind};
use crate::network::marks;
use crate::pool::POOL_TAG;
use crate::tenant::marks::owner_of_user;

/// Lists everything with the cluster's tag, in all projects, what is described as a Network's of ours, and the users of Tenants.
///
/// # Errors
/// What Keystone or Neutron answer.
pub(super) async fn survey(session: &Session, cluster: &str) -> Result<Vec<Found>, Error> {
    let tags = vec![cluster_tag(cluster)];
    let projects = session
        .list_projects(&ProjectFilter {
            tags: tags.clone(),
            ..ProjectFilter::default()
        })
        .await?;
    let mut found = ports(session, tags).await?;
    found.extend(networks(session, cluster).await?);
    found.extend(users(session, &projects, cluster).await?);
    found.extend(projects.into_iter().map(|project| Found {
        owner: owner(&project.tags),
        project: Some(project.id.to_string()),
        ..object(Kind::Project, project.id.to_string(), project.name)
    }));
    Ok(found)
}

async fn ports(session: &Session, tags: Vec<String>) -> Result<Vec<Found>, Error> {
    let ports = PortFilter {
        tags,
        ..PortFilter::default()
    };
    let ports = session.list_ports_all_projects(&ports).await?.into_iter().map(|port| {
        let is_spare = port.tags.iter().any(|tag| tag == POOL_TAG);
        // A claimed port of the pool may not have its new tags yet; its device is written by the claim itself.
        let claimed = (is_spare && !port.device_id.is_empty()).then_some(port.device_id);
        Found {
            project: port.project_id.map(String::from),
            owner: claimed.or_else(|| owner(&port.tags)),
            network: Some(port.network_id.into()),
            is_spare,
            ..object(Kind::Port, port.id.into(), port.name)
        }
    });
    Ok(ports.collect())
}

/// What Networks are made of. Only ports have tags from the start: what was made by a call that nobody lived to see the end of has the
/// description only. Neutron finds no part of one, so all objects of the cloud are looked through.
async fn networks(session: &Session, cluster: &str) -> Result<Vec<Found>, Error> {
    let (networks, subnets, routers, groups) = (
        NetworkFilter::default(),
        SubnetFilter::default(),
        RouterFilter::default(),
        SecurityGroupFilter::default(),
    );
    let ours = cluster_tag(cluster);
    let mut found = vec![];
    macro_rules! add {
        ($kind:expr, $list:expr) => {
            found.extend($list.await?.into_iter().filter_map(|one| {
                let described = marks::owner_of(one.description.as_deref().unwrap_or_default(), cluster);
                let is_ours = one.tags.contains(&ours) || described.is_some();
                is_ours.then(|| Found {
                    project: one.project_id.map(String::from),
                    owner: owner(&one.tags).or_else(|| described.map(str::to_owned)),
                    ..object($kind, one.id.into(), one.name)
                })
            }))
        };
    }
    add!(Kind::Network, session.list_networks_all_projects(&networks));
    add!(Kind::Subnet, session.list_subnets_all_projects(&subnets));
    add!(Kind::Router, session.list_routers_all_projects(&routers));
    add!(Kind::SecurityGroup, session.list_security_groups_all_projects(&groups));
    Ok(found)
}

/// Users have no tags; ours say in their description whose they are. Looked for in the domains where we have projects.
async fn users(session: &Session, projects: &[Project], cluster: &str) -> Result<Vec<Found>, Error> {
    let domains: HashSet<_> = projects.iter().map(|project| project.domain_id.clone()).collect();
    let mut found = vec![];
    for domain in domains {
        for user in session.list_users(&domain).await? {
            let owner = owner_of_user(user.description.as_deref().unwrap_or_default(), cluster).map(str::to_owned);
            if owner.is_some() {
                found.push(Found {
                    owner,
                    ..object(Kind::User, user.id.into(), user.name)
                });
            }
        }
    }
    Ok(found)
}

fn object(kind: Kind, id: String, name: String) -> Found {
    Found {
        kind,
        id,
        name,
        project: None,
        owner: None,
        network: None,
        is_spare: false,
    }
}

fn owner(tags: &[String]) -> Option<String> {
    tags.iter().find_map(|tag| owner_of_tag(tag)).map(str::to_owned)
}
