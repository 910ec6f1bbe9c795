//! Networks and namespaces that existed before their Tenant: used if they fit, refused with the reason if not. A network stays
//! when its Tenant goes.

use std::time::Duration;

use anyhow::ensure;
use kube::Api;
use stackube_api::{Network, NetworkState, TenantState};
use stackube_e2e::{always::always, devbox::Devbox, pods, tenant, wait};
use stackube_openstack::{
    Session,
    id::{NetworkId, ProjectId, RouterId, SubnetId},
    identity::CreateProject,
    network::{
        CreateNetwork, CreateRouter, CreateSubnet, ExternalGateway, NetworkFilter, SecurityGroupFilter, UpdateRouter,
    },
};

use crate::{immutable, shared};

mod namespaces;

const RANGE: &str = "10.233.0.0/24";
const GATEWAY: &str = "10.233.0.1";

/// What a customer of the cloud had before Stackube came: a project with a network, its subnet and a router.
struct Estate {
    name: String,
    project: ProjectId,
    network: NetworkId,
    subnet: SubnetId,
    router: RouterId,
}

impl Estate {
    /// Without a leg of the router in the network, and without external gateway.
    async fn build(session: &Session, test: &str) -> Self {
        let name = tenant::unique(test);
        let domain = session.find_domain("Default").await.unwrap().unwrap().id;
        let project = CreateProject {
            name: format!("{name}-project"),
            domain_id: domain,
            description: String::new(),
            tags: vec![],
            enabled: true,
        };
        let project = session.create_project(&project).await.unwrap().id;
        let text = || "a customer's own".to_owned();
        let network = CreateNetwork {
            project_id: project.clone(),
            name: "own".into(),
            description: text(),
            tags: vec![],
            mtu: None,
        };
        let network = session.create_network(&network).await.unwrap().id;
        let (range, gateway) = (RANGE.parse().unwrap(), GATEWAY.parse().unwrap());
        let mut subnet = CreateSubnet::new(project.clone(), network.clone(), "own".into(), range, gateway);
        subnet.description = text();
        let subnet = session.create_subnet(&subnet).await.unwrap().id;
        let router = CreateRouter {
            project_id: project.clone(),
            name: "own".into(),
            description: text(),
            tags: vec![],
            external_gateway_info: None,
        };
        let router = session.create_router(&router).await.unwrap().id;
        Self {
            name,
            project,
            network,
            subnet,
            router,
        }
    }

    async fn remove(&self, session: &Session) {
        let _ = session.remove_router_interface(&self.router, &self.subnet).await;
        session.delete_router(&self.router).await.unwrap();
        session.delete_network(&self.network).await.unwrap();
        for group in session
            .list_security_groups_all_projects(&SecurityGroupFilter::default())
            .await
            .unwrap()
        {
            if group.project_id.as_ref() == Some(&self.project) {
                session.delete_security_group(&group.id).await.unwrap();
            }
        }
        session.delete_project(&self.project).await.unwrap();
    }

    /// The spec of a Tenant that adopts `network` of this project.
    fn spec(&self, network: &str) -> String {
        format!(
            "tenantID: \"{}\", domain: Default, network: {{networkID: \"{network}\", cidr: {RANGE}, gateway: {GATEWAY}}}",
            self.project
        )
    }
}

async fn with_estate(devbox: &Devbox, test: &str, body: impl AsyncFnOnce(&Estate)) {
    let session = devbox.cloud.service();
    let estate = Estate::build(&session, test).await;
    always(body(&estate), async {
        // Whatever Tenants a failed test leaves stand in the way of removing what they use.
        tenant::delete(devbox, &estate.name).await;
        estate.remove(&session).await;
    })
    .await;
}

/// Waits until the Tenant's Network is Failed, and its and the Tenant's messages contain `why`; deletes the Tenant.
async fn assert_refused(devbox: &Devbox, name: &str, why: &str) {
    let networks: Api<Network> = Api::namespaced(devbox.kube.clone(), name);
    wait::until(&format!("Network {name} Failed: {why}"), tenant::ACTIVE, || async {
        let status = networks.get(name).await?.status.unwrap_or_default();
        let message = status.message.unwrap_or_default();
        ensure!(
            status.state == Some(NetworkState::Failed) && message.contains(why),
            "{:?}: {message}",
            status.state
        );
        let shown = devbox
            .kubectl(&["get", "tenant", name, "-o", "jsonpath={.status.message}"], "")
            .await?;
        ensure!(shown.contains(why), "the Tenant says only {shown:?}");
        Ok(())
    })
    .await;
    tenant::delete(devbox, name).await;
}

/// Gives the router an external gateway; the network that it leads to.
async fn attach(session: &Session, router: &RouterId) -> NetworkId {
    let external = NetworkFilter {
        external: Some(true),
        ..NetworkFilter::default()
    };
    let outside = session
        .list_networks_all_projects(&external)
        .await
        .unwrap()
        .remove(0)
        .id;
    let attached = UpdateRouter {
        external_gateway_info: Some(Some(ExternalGateway {
            network_id: outside.clone(),
            enable_snat: None,
            external_fixed_ips: vec![],
        })),
        ..UpdateRouter::default()
    };
    session.update_router(router, &attached).await.unwrap();
    outside
}

/// Asserts that network, router and the one leg are there and as the customer made them.
async fn assert_untouched(session: &Session, estate: &Estate, outside: &NetworkId) {
    let network = session.get_network(&estate.network).await.unwrap();
    assert_eq!(
        (
            network.name.as_str(),
            network.description.as_deref(),
            network.tags.len()
        ),
        ("own", Some("a customer's own"), 0),
        "nothing of an adopted network is changed"
    );
    let router = session.get_router(&estate.router).await.unwrap();
    assert_eq!(
        router.external_gateway_info.map(|gateway| gateway.network_id).as_ref(),
        Some(outside)
    );
    let legs = session.router_interfaces(&estate.router).await.unwrap();
    assert_eq!(legs.len(), 1, "{legs:?}");
}

#[tokio::test]
async fn a_network_of_the_project_is_used_and_stays() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_estate(&devbox, "network", async |estate| {
        let session = devbox.cloud.service();
        // First as it is: nothing joins network and router, then the router leads nowhere.
        let spec = estate.spec(estate.network.as_str());
        tenant::create(&devbox, &estate.name, &spec).await.unwrap();
        assert_refused(&devbox, &estate.name, "no router of the project has the address").await;
        session
            .add_router_interface(&estate.router, &estate.subnet)
            .await
            .unwrap();
        tenant::create(&devbox, &estate.name, &spec).await.unwrap();
        assert_refused(&devbox, &estate.name, "has no external gateway").await;

        let outside = attach(&session, &estate.router).await;
        tenant::create(&devbox, &estate.name, &spec).await.unwrap();
        tenant::active(&devbox, &estate.name).await;
        immutable::assert_what_is_set_stays(&devbox, &estate.name).await;
        let address = pods::run(&devbox, &estate.name, "web", "adopted").await;
        assert!(
            address.starts_with("10.233.0."),
            "{address} is not of the adopted network"
        );
        pods::exec(&devbox, &estate.name, "web", "ping -c 2 -W 3 172.24.4.1")
            .await
            .expect("the external gateway should answer through the customer's own router");
        tenant::delete(&devbox, &estate.name).await;

        assert_untouched(&session, estate, &outside).await;
    })
    .await;
}

#[tokio::test]
async fn a_network_that_is_not_the_projects_is_refused() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    with_estate(&devbox, "wrong", async |estate| {
        with_estate(&devbox, "foreign", async |other| {
            for id in [other.network.as_str(), "00000000-0000-4000-8000-000000000000"] {
                tenant::create(&devbox, &estate.name, &estate.spec(id)).await.unwrap();
                assert_refused(&devbox, &estate.name, "has no network").await;
            }
        })
        .await;
        // A network of an existing project, without saying which project.
        let name = tenant::unique("orphan");
        let spec = format!(
            "network: {{networkID: \"{}\", cidr: {RANGE}, gateway: {GATEWAY}}}",
            estate.network
        );
        match tenant::create(&devbox, &name, &spec).await {
            // Refused at once by the schema, or by the controller.
            Err(error) => assert!(error.to_string().contains("tenantID"), "{error}"),
            Ok(_) => {
                let refused = tenant::in_state(&devbox, &name, TenantState::Failed, Duration::from_secs(240)).await;
                let message = refused.status.unwrap().message.unwrap_or_default();
                assert!(message.contains("tenantID"), "{message}");
                tenant::delete(&devbox, &name).await;
            }
        }
    })
    .await;
}
