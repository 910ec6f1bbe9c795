//! A cloud to test against, and projects that are cleaned up whatever happens.

use std::panic::resume_unwind;
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use ipnet::Ipv4Net;
use stackube_openstack::id::{DomainId, NetworkId, ProjectId, RoleId};
use stackube_openstack::identity::{Actor, CreateProject};
use stackube_openstack::network::{
    CreateNetwork, CreateSubnet, FloatingIpFilter, Network, NetworkFilter, PortFilter, RouterFilter,
    SecurityGroupFilter, Subnet, SubnetFilter,
};
use stackube_openstack::{Cloud, CloudConfig, Error, Session};

/// The service user of the devbox.
pub(crate) fn config() -> CloudConfig {
    let file = std::env::var("STACKUBE_CLOUDS_FILE").expect(
        "STACKUBE_CLOUDS_FILE is not set: these tests need a cloud; run `make devbox` and set it to .devbox/clouds.yaml",
    );
    CloudConfig::from_clouds_yaml(file, "stackube").unwrap()
}

pub(crate) fn cloud() -> Cloud {
    Cloud::new(config()).unwrap()
}

/// A name that nobody has.
pub(crate) fn unique(what: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    format!(
        "live-{what}-{}-{}-{}",
        process::id(),
        now % 1_000_000,
        COUNT.fetch_add(1, Ordering::SeqCst)
    )
}

pub(crate) async fn default_domain(session: &Session) -> DomainId {
    session.find_domain("Default").await.unwrap().unwrap().id
}

pub(crate) async fn role(session: &Session, name: &str) -> RoleId {
    session.find_role(name).await.unwrap().unwrap().id
}

pub(crate) async fn external_network(session: &Session) -> NetworkId {
    let filter = NetworkFilter {
        external: Some(true),
        ..NetworkFilter::default()
    };
    session.list_networks_all_projects(&filter).await.unwrap().remove(0).id
}

/// A tenant's project where the service user is a member.
#[derive(Clone)]
pub(crate) struct Tenant {
    pub(crate) cloud: Cloud,
    pub(crate) project: ProjectId,
    /// Everything this test makes has this name.
    pub(crate) name: String,
}

impl Tenant {
    async fn new(cloud: Cloud) -> Self {
        let (name, session) = (unique("tenant"), cloud.service());
        let new = CreateProject {
            name: name.clone(),
            domain_id: default_domain(&session).await,
            description: "made by a test".into(),
            tags: vec!["stackube-live-test".into()],
            enabled: true,
        };
        let project = session.create_project(&new).await.unwrap().id;
        let me = Actor::User(session.token_info().await.unwrap().user_id);
        session
            .grant_role(&project, &me, &role(&session, "member").await)
            .await
            .unwrap();
        Self { cloud, project, name }
    }

    /// Kind T: the service user as a member of this project.
    pub(crate) fn session(&self) -> Session {
        self.cloud.project(&self.project).unwrap()
    }

    /// Kind P.
    pub(crate) fn service(&self) -> Session {
        self.cloud.service()
    }

    pub(crate) async fn network(&self) -> Network {
        let new = CreateNetwork {
            project_id: self.project.clone(),
            name: self.name.clone(),
            description: "d".into(),
            tags: vec!["a".into(), "b".into()],
            mtu: None,
        };
        self.session().create_network(&new).await.unwrap()
    }

    pub(crate) async fn subnet(&self, network: &NetworkId, cidr: &str) -> Subnet {
        let cidr: Ipv4Net = cidr.parse().unwrap();
        let gateway = cidr.hosts().next().unwrap();
        let mut new = CreateSubnet::new(self.project.clone(), network.clone(), self.name.clone(), cidr, gateway);
        (new.description, new.tags) = ("subnet".into(), vec!["s".into()]);
        self.session().create_subnet(&new).await.unwrap()
    }

    /// Removes all that the project owns, then the project, as the service user.
    async fn remove(&self) -> Result<(), Error> {
        let (session, project) = (self.service(), &self.project);
        for floating_ip in session.list_floating_ips(project, &FloatingIpFilter::default()).await? {
            session.delete_floating_ip(&floating_ip.id).await?;
        }
        for router in session.list_routers(project, &RouterFilter::default()).await? {
            session.clear_routes(&router.id).await?;
            for interface in session.router_interfaces(&router.id).await? {
                session
                    .remove_router_interface(&router.id, &interface.subnet_id)
                    .await?;
            }
            session.delete_router(&router.id).await?;
        }
        for port in session.list_ports(project, &PortFilter::default()).await? {
            session.delete_port(&port.id).await?;
        }
        for subnet in session.list_subnets(project, &SubnetFilter::default()).await? {
            session.delete_subnet(&subnet.id).await?;
        }
        for network in session.list_networks(project, &NetworkFilter::default()).await? {
            session.delete_network(&network.id).await?;
        }
        for group in session
            .list_security_groups(project, &SecurityGroupFilter::default())
            .await?
        {
            session.delete_security_group(&group.id).await?;
        }
        session.delete_quota(project).await?;
        session.delete_project(project).await?;
        self.cloud.forget(project);
        Ok(())
    }
}

/// Runs a test in a new project, which is removed also when the test fails.
pub(crate) async fn with_tenant<F, T>(test: F)
where
    F: FnOnce(Tenant) -> T,
    T: Future<Output = ()> + Send + 'static,
{
    with_tenant_of(cloud(), test).await;
}

pub(crate) async fn with_tenant_of<F, T>(cloud: Cloud, test: F)
where
    F: FnOnce(Tenant) -> T,
    T: Future<Output = ()> + Send + 'static,
{
    let tenant = Tenant::new(cloud).await;
    let outcome = tokio::spawn(test(tenant.clone())).await;
    let removed = tenant.remove().await;
    if let Err(failure) = outcome {
        resume_unwind(failure.into_panic());
    }
    removed.unwrap();
    assert!(
        tenant
            .service()
            .get_project(&tenant.project)
            .await
            .unwrap_err()
            .is_not_found()
    );
}
