//! Every object of a Network changed behind Stackube's back, and its router and security group gone.

use std::time::Duration;

use anyhow::{Context, ensure};
use kube::{Api, ResourceExt};
use stackube_api::{Network, NetworkStatus, Tenant};
use stackube_e2e::{devbox::Devbox, tenant, wait};
use stackube_openstack::{
    Session,
    id::{NetworkId, ProjectId, RouterId, SecurityGroupId, SubnetId},
    network::{CreateSecurityGroupRule, Direction, UpdateNetwork, UpdateRouter, UpdateSubnet},
};

use super::assert_group_admits_itself_only;

/// Looking for drift, every 20 s on the devbox, and mending it.
const MENDED: Duration = Duration::from_secs(120);

/// IDs of a Network's objects.
struct Made {
    network: NetworkId,
    subnet: SubnetId,
    router: RouterId,
    group: SecurityGroupId,
}

impl Made {
    fn new(status: NetworkStatus) -> Self {
        Self {
            network: NetworkId::new(status.network_id.unwrap()).unwrap(),
            subnet: SubnetId::new(status.subnet_id.unwrap()).unwrap(),
            router: RouterId::new(status.router_id.unwrap()).unwrap(),
            group: SecurityGroupId::new(status.security_group_id.unwrap()).unwrap(),
        }
    }

    /// Changes whatever can be changed while it all exists.
    async fn spoil(&self, session: &Session, project: &ProjectId) {
        for rule in session
            .list_security_group_rules(project, Some(&self.group))
            .await
            .unwrap()
        {
            session.delete_security_group_rule(&rule.id).await.unwrap();
        }
        let open = CreateSecurityGroupRule::any_ipv4(project.clone(), self.group.clone(), Direction::Ingress);
        session.create_security_group_rule(&open).await.unwrap();
        let network = UpdateNetwork {
            port_security_enabled: Some(false),
            admin_state_up: Some(false),
            ..UpdateNetwork::default()
        };
        session.update_network(&self.network, &network).await.unwrap();
        let subnet = UpdateSubnet {
            enable_dhcp: Some(true),
            ..UpdateSubnet::default()
        };
        session.update_subnet(&self.subnet, &subnet).await.unwrap();
        session
            .remove_router_interface(&self.router, &self.subnet)
            .await
            .unwrap();
        let router = UpdateRouter {
            external_gateway_info: Some(None),
            admin_state_up: Some(false),
            ..UpdateRouter::default()
        };
        session.update_router(&self.router, &router).await.unwrap();
    }

    /// Whether everything is as it was made.
    async fn assert_sound(&self, session: &Session, project: &ProjectId) -> anyhow::Result<()> {
        let rules = session.list_security_group_rules(project, Some(&self.group)).await?;
        ensure!(rules.len() == 2, "{} rules", rules.len());
        let open = rules
            .iter()
            .find(|rule| rule.direction == Direction::Ingress && rule.remote_group_id.is_none());
        ensure!(open.is_none(), "{open:?}");
        let network = session.get_network(&self.network).await?;
        ensure!(
            network.admin_state_up && network.port_security_enabled != Some(false),
            "{network:?}"
        );
        let subnet = session.get_subnet(&self.subnet).await?;
        ensure!(!subnet.enable_dhcp, "{subnet:?}");
        let router = session.get_router(&self.router).await?;
        ensure!(
            router.admin_state_up && router.external_gateway_info.is_some(),
            "{router:?}"
        );
        let legs = session.router_interfaces(&self.router).await?;
        ensure!(legs.iter().any(|leg| leg.subnet_id == self.subnet), "{legs:?}");
        Ok(())
    }
}

/// Spoils a Tenant's Network, then takes its router and security group away altogether; waits until all is as it was made, by nothing that
/// looks like it elsewhere. Without pods, whose ports would hold the security group.
pub(super) async fn assert_mended(devbox: &Devbox, tenant: &Tenant) {
    let (name, project) = (tenant.name_any(), tenant::project_of(tenant));
    let networks: Api<Network> = Api::namespaced(devbox.kube.clone(), &name);
    let status = async || networks.get(&name).await.unwrap().status.unwrap();
    let session = devbox.cloud.service();
    let made = Made::new(status().await);

    made.spoil(&session, &project).await;
    wait::until("everything is mended", MENDED, || made.assert_sound(&session, &project)).await;
    assert_group_admits_itself_only(devbox, &project, made.group.as_str()).await;

    session
        .remove_router_interface(&made.router, &made.subnet)
        .await
        .unwrap();
    session.delete_router(&made.router).await.unwrap();
    session.delete_security_group(&made.group).await.unwrap();
    wait::until("another router and group are there", MENDED, || async {
        let status = status().await;
        let router = status.router_id.context("no router")?;
        let group = status.security_group_id.context("no group")?;
        ensure!(
            router != made.router.as_str() && group != made.group.as_str(),
            "still those that are gone"
        );
        Ok(())
    })
    .await;
    let anew = Made::new(status().await);
    wait::until("it is connected", MENDED, || anew.assert_sound(&session, &project)).await;
    assert_group_admits_itself_only(devbox, &project, anew.group.as_str()).await;
    let (router, group) = (
        session.get_router(&anew.router).await.unwrap(),
        session.get_security_group(&anew.group).await.unwrap(),
    );
    assert_eq!(
        (router.project_id.as_ref(), group.project_id.as_ref()),
        (Some(&project), Some(&project)),
        "somebody else's was taken"
    );
    assert_eq!((anew.network, anew.subnet), (made.network, made.subnet));
}
