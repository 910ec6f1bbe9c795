//! All of this cluster's networks in Neutron, in five lists: so that looking for drift costs the same for one tenant as for a
//! thousand.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stackube_api::NetworkStatus;
use stackube_openstack::id::{NetworkId, ProjectId, RouterId, SecurityGroupId, SubnetId};
use stackube_openstack::network::{
    Network, NetworkFilter, PortFilter, Router, RouterFilter, SecurityGroup, SecurityGroupFilter, Subnet, SubnetFilter,
};
use stackube_openstack::{Error, Session};
use tokio::sync::Mutex;

use super::observed::Observed;

/// What carries the cluster's tag, as it was at one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    networks: HashMap<NetworkId, Network>,
    subnets: HashMap<SubnetId, Subnet>,
    routers: HashMap<RouterId, Router>,
    groups: HashMap<SecurityGroupId, SecurityGroup>,
    legs: HashMap<RouterId, Vec<SubnetId>>,
}

/// The last snapshot, shared by all Networks.
#[derive(Debug, Default)]
pub(crate) struct Inventory(Mutex<Option<(Instant, Arc<Snapshot>)>>);

impl Inventory {
    /// A snapshot that is at most `age` old; one caller takes it, the others wait for it.
    ///
    /// # Errors
    /// Those of Neutron.
    pub(crate) async fn get(&self, service: &Session, tag: &str, age: Duration) -> Result<Arc<Snapshot>, Error> {
        let mut last = self.0.lock().await;
        if let Some((taken, snapshot)) = last.as_ref().filter(|(taken, _)| taken.elapsed() <= age) {
            tracing::trace!(age = ?taken.elapsed(), "inventory reused");
            return Ok(Arc::clone(snapshot));
        }
        let started = Instant::now();
        let snapshot = Arc::new(Snapshot::take(service, tag).await?);
        tracing::debug!(networks = snapshot.networks.len(), took = ?started.elapsed(), "inventory taken");
        *last = Some((started, Arc::clone(&snapshot)));
        Ok(snapshot)
    }
}

impl Snapshot {
    async fn take(service: &Session, tag: &str) -> Result<Self, Error> {
        let tags = || vec![tag.to_owned()];
        let (networks, subnets, routers, groups, ports) = (
            NetworkFilter {
                tags: tags(),
                ..NetworkFilter::default()
            },
            SubnetFilter {
                tags: tags(),
                ..SubnetFilter::default()
            },
            RouterFilter {
                tags: tags(),
                ..RouterFilter::default()
            },
            SecurityGroupFilter {
                tags: tags(),
                ..SecurityGroupFilter::default()
            },
            PortFilter {
                device_owner: Some("network:router_interface".to_owned()),
                ..PortFilter::default()
            },
        );
        let (networks, subnets, routers, groups, ports) = tokio::try_join!(
            service.list_networks_all_projects(&networks),
            service.list_subnets_all_projects(&subnets),
            service.list_routers_all_projects(&routers),
            service.list_security_groups_all_projects(&groups),
            service.list_ports_all_projects(&ports),
        )?;
        let mut legs: HashMap<RouterId, Vec<SubnetId>> = HashMap::new();
        for port in ports {
            if let Ok(router) = RouterId::new(port.device_id) {
                legs.entry(router)
                    .or_default()
                    .extend(port.fixed_ips.into_iter().map(|fixed| fixed.subnet_id));
            }
        }
        Ok(Self {
            networks: networks
                .into_iter()
                .map(|network| (network.id.clone(), network))
                .collect(),
            subnets: subnets.into_iter().map(|subnet| (subnet.id.clone(), subnet)).collect(),
            routers: routers.into_iter().map(|router| (router.id.clone(), router)).collect(),
            groups: groups.into_iter().map(|group| (group.id.clone(), group)).collect(),
            legs,
        })
    }

    /// What the snapshot has of a Network. Whatever is not there (also: lost its tag, or made since) has to be looked up.
    pub(crate) fn of(&self, status: &NetworkStatus, project: &ProjectId) -> Observed {
        fn find<I, T>(all: &HashMap<I, T>, id: Option<&str>, parse: impl Fn(&str) -> Option<I>) -> Option<T>
        where
            I: std::hash::Hash + Eq,
            T: Clone,
        {
            all.get(&parse(id?)?).cloned()
        }
        let owned = |owner: &Option<ProjectId>| owner.as_ref() == Some(project);
        let router = find(&self.routers, status.router_id.as_deref(), |id| RouterId::new(id).ok());
        Observed {
            network: find(&self.networks, status.network_id.as_deref(), |id| {
                NetworkId::new(id).ok()
            })
            .filter(|network| owned(&network.project_id)),
            subnet: find(&self.subnets, status.subnet_id.as_deref(), |id| SubnetId::new(id).ok())
                .filter(|subnet| owned(&subnet.project_id)),
            legs: router
                .as_ref()
                .and_then(|router| self.legs.get(&router.id))
                .cloned()
                .unwrap_or_default(),
            router: router.filter(|router| owned(&router.project_id)),
            group: find(&self.groups, status.security_group_id.as_deref(), |id| {
                SecurityGroupId::new(id).ok()
            })
            .filter(|group| owned(&group.project_id)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::port::fake::Fake;

    #[tokio::test]
    async fn a_round_over_many_networks_costs_as_many_lists_as_over_one() {
        const NETWORKS: usize = 200;
        let (fake, inventory) = (Fake::start().await, Inventory::default());
        let networks = (0..NETWORKS)
            .map(|n| {
                json!({"id": format!("n-{n}"), "name": "test", "project_id": format!("p-{n}"), "status": "ACTIVE",
                    "admin_state_up": true, "mtu": 1442, "tags": ["stackube-cluster=c-1"]})
            })
            .collect();
        fake.state().others.insert("networks".into(), networks);
        let look = async |n: usize| {
            let age = Duration::from_secs(300);
            let snapshot = inventory.get(&fake.session, "stackube-cluster=c-1", age).await.unwrap();
            let status = NetworkStatus {
                network_id: Some(format!("n-{n}")),
                ..NetworkStatus::default()
            };
            let project = ProjectId::new(format!("p-{n}")).unwrap();
            assert!(snapshot.of(&status, &project).network.is_some());
        };
        futures::future::join_all((0..NETWORKS).map(look)).await;
        let mut requests = fake.state().requests.clone();
        requests.sort();
        let lists = ["networks", "ports", "routers", "security-groups", "subnets"];
        assert_eq!(requests, lists.map(|list| format!("GET /v2.0/{list}")));
    }
}
