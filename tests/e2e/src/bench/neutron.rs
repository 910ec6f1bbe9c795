//! What a tenant's network costs when somebody makes it by hand, one call after the other.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use stackube_openstack::{
    Session,
    id::ProjectId,
    identity::CreateProject,
    network::{
        CreateNetwork, CreateRouter, CreateSecurityGroup, CreateSubnet, ExternalGateway, NetworkFilter,
        SecurityGroupFilter,
    },
};

use crate::tenant;

/// Makes network, subnet, router with external gateway, its leg and a security group, each after the one before, and removes
/// them. The time of each call.
///
/// # Errors
/// What Keystone or Neutron refuses.
pub async fn one_by_one(session: &Session) -> Result<Vec<(&'static str, Duration)>> {
    let domain = session.find_domain("Default").await?.context("no domain Default")?.id;
    let project = CreateProject {
        name: tenant::unique("by-hand"),
        domain_id: domain,
        description: String::new(),
        tags: vec![],
        enabled: true,
    };
    let project = session.create_project(&project).await?.id;
    let measured = make(session, &project).await;
    for group in session
        .list_security_groups_all_projects(&SecurityGroupFilter::default())
        .await?
    {
        if group.project_id.as_ref() == Some(&project) {
            session.delete_security_group(&group.id).await?;
        }
    }
    session.delete_project(&project).await?;
    measured
}

async fn make(session: &Session, project: &ProjectId) -> Result<Vec<(&'static str, Duration)>> {
    let external = NetworkFilter {
        external: Some(true),
        ..NetworkFilter::default()
    };
    let outside = session.list_networks_all_projects(&external).await?;
    let outside = outside.first().context("no external network")?.id.clone();
    let (name, description) = (|| "bench".to_owned(), String::new);
    let mut measured = vec![];

    let start = Instant::now();
    let network = CreateNetwork {
        project_id: project.clone(),
        name: name(),
        description: description(),
        tags: vec![],
        mtu: None,
    };
    let network = session.create_network(&network).await?.id;
    measured.push(("POST networks", start.elapsed()));

    let start = Instant::now();
    let (range, gateway) = ("10.231.0.0/24".parse()?, "10.231.0.1".parse()?);
    let subnet = CreateSubnet::new(project.clone(), network.clone(), name(), range, gateway);
    let subnet = session.create_subnet(&subnet).await?.id;
    measured.push(("POST subnets", start.elapsed()));

    let start = Instant::now();
    let router = CreateRouter {
        project_id: project.clone(),
        name: name(),
        description: description(),
        tags: vec![],
        external_gateway_info: Some(ExternalGateway {
            network_id: outside,
            enable_snat: None,
            external_fixed_ips: vec![],
        }),
    };
    let router = session.create_router(&router).await?.id;
    measured.push(("POST routers", start.elapsed()));

    let start = Instant::now();
    session.add_router_interface(&router, &subnet).await?;
    measured.push(("PUT add_router_interface", start.elapsed()));

    let start = Instant::now();
    let group = CreateSecurityGroup {
        project_id: project.clone(),
        name: name(),
        description: description(),
        tags: vec![],
    };
    session.create_security_group(&group).await?;
    measured.push(("POST security-groups", start.elapsed()));

    session.remove_router_interface(&router, &subnet).await?;
    session.delete_router(&router).await?;
    session.delete_network(&network).await?;
    Ok(measured)
}
