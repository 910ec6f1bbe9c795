//! What somebody changes in Neutron, and what somebody makes there that looks like a tenant's.

use std::sync::OnceLock;

use kube::{Api, ResourceExt};
use stackube_api::{Network, NetworkStatus};
use stackube_e2e::{
    always::always,
    devbox::Devbox,
    tenant::{self, with_tenant},
};
use stackube_openstack::{
    Session,
    id::{NetworkId, ProjectId, RouterId, SecurityGroupId, SubnetId},
    identity::CreateProject,
    network::{CreateNetwork, CreateRouter, CreateSecurityGroup, CreateSubnet, Taggable},
};

use super::spoil::assert_mended;
use crate::shared;

/// Objects in another project that have the names, descriptions and tags of a tenant's.
struct Lookalikes {
    project: ProjectId,
    network: NetworkId,
    subnet: SubnetId,
    router: RouterId,
    group: SecurityGroupId,
}

impl Lookalikes {
    async fn make(session: &Session, status: &NetworkStatus) -> Self {
        let project = CreateProject {
            name: tenant::unique("alike"),
            domain_id: session.find_domain("Default").await.unwrap().unwrap().id,
            description: String::new(),
            tags: vec![],
            enabled: true,
        };
        let project = session.create_project(&project).await.unwrap().id;
        let (network, subnet) = network_like(session, &project, status).await;
        let router = router_like(session, &project, status).await;
        let group = group_like(session, &project, status).await;
        Self {
            project,
            network,
            subnet,
            router,
            group,
        }
    }

    async fn assert_untouched(&self, session: &Session) {
        let network = session.get_network(&self.network).await.unwrap();
        assert_eq!(network.subnets, std::slice::from_ref(&self.subnet));
        let router = session.get_router(&self.router).await.unwrap();
        assert!(router.external_gateway_info.is_none(), "{router:?}");
        // As Neutron makes every group: the way out only.
        let group = session.get_security_group(&self.group).await.unwrap();
        assert_eq!(group.security_group_rules.len(), 2, "{group:?}");
    }

    async fn remove(&self, session: &Session) {
        let _ = session.delete_router(&self.router).await;
        let _ = session.delete_network(&self.network).await;
        for group in session
            .list_security_groups(&self.project, &Default::default())
            .await
            .unwrap()
        {
            session.delete_security_group(&group.id).await.unwrap();
        }
        session.delete_project(&self.project).await.unwrap();
    }
}

async fn tag(session: &Session, object: Taggable, tags: &[String]) {
    assert!(!tags.is_empty(), "{object:?}: the tenant's own has no tags");
    session.replace_tags(&object, tags).await.unwrap();
}

async fn network_like(session: &Session, project: &ProjectId, status: &NetworkStatus) -> (NetworkId, SubnetId) {
    let id = status.network_id.as_ref().unwrap().parse().unwrap();
    let like = session.get_network(&id).await.unwrap();
    let network = CreateNetwork {
        project_id: project.clone(),
        name: like.name,
        description: like.description.unwrap(),
        tags: vec![],
        mtu: None,
    };
    let network = session.create_network(&network).await.unwrap().id;
    tag(session, Taggable::Network(network.clone()), &like.tags).await;
    let id = status.subnet_id.as_ref().unwrap().parse().unwrap();
    let like = session.get_subnet(&id).await.unwrap();
    let (range, gateway) = ("10.244.0.0/16".parse().unwrap(), "10.244.0.1".parse().unwrap());
    let mut subnet = CreateSubnet::new(project.clone(), network.clone(), like.name, range, gateway);
    subnet.description = like.description.unwrap();
    let subnet = session.create_subnet(&subnet).await.unwrap().id;
    tag(session, Taggable::Subnet(subnet.clone()), &like.tags).await;
    (network, subnet)
}

async fn router_like(session: &Session, project: &ProjectId, status: &NetworkStatus) -> RouterId {
    let id = status.router_id.as_ref().unwrap().parse().unwrap();
    let like = session.get_router(&id).await.unwrap();
    let router = CreateRouter {
        project_id: project.clone(),
        name: like.name,
        description: like.description.unwrap(),
        tags: vec![],
        external_gateway_info: None,
    };
    let router = session.create_router(&router).await.unwrap().id;
    tag(session, Taggable::Router(router.clone()), &like.tags).await;
    router
}

async fn group_like(session: &Session, project: &ProjectId, status: &NetworkStatus) -> SecurityGroupId {
    let id = status.security_group_id.as_ref().unwrap().parse().unwrap();
    let like = session.get_security_group(&id).await.unwrap();
    let group = CreateSecurityGroup {
        project_id: project.clone(),
        name: like.name,
        description: like.description.unwrap(),
        tags: vec![],
    };
    let group = session.create_security_group(&group).await.unwrap().id;
    tag(session, Taggable::SecurityGroup(group.clone()), &like.tags).await;
    group
}

async fn status_of(devbox: &Devbox, name: &str) -> NetworkStatus {
    let networks: Api<Network> = Api::namespaced(devbox.kube.clone(), name);
    networks.get(name).await.unwrap().status.unwrap()
}

#[tokio::test]
async fn drift_in_neutron_is_repaired() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    let (session, alike) = (devbox.cloud.service(), OnceLock::new());
    let body = async {
        with_tenant(&devbox, "drift", "", async |tenant| {
            let status = status_of(&devbox, &tenant.name_any()).await;
            let _ = alike.set(Lookalikes::make(&session, &status).await);
            Box::pin(assert_mended(&devbox, &tenant)).await;
        })
        .await;
        // Neither the repair nor the Tenant's end has touched them.
        alike.get().unwrap().assert_untouched(&session).await;
    };
    always(body, async {
        if let Some(alike) = alike.get() {
            alike.remove(&session).await;
        }
    })
    .await;
}
