//! Removal from a project that is not ours alone: an adopted one, or the service's own. Whoever owns it may have put servers and
//! subnets on our network, routers beside ours, networks and routes of their own behind our router, our group on ports elsewhere.
//! None of that is ours to delete or to cut off, so removal waits until it is gone.

use std::time::Duration;

use stackube_api::names::{PORT_DEVICE_OWNER, cluster_tag};
use stackube_openstack::id::{PortId, RouterId, SecurityGroupId, SubnetId};
use stackube_openstack::network::{Port, PortFilter, SubnetFilter};
use stackube_openstack::{Error, Optional, Session};

use super::super::leftovers::Leftovers;
use crate::stop::Stop;

/// How often is looked whether they are gone: a person has to act.
const LOOK: Duration = Duration::from_secs(5);
/// So many are named.
const NAMED: usize = 3;
/// Owners of ports that Neutron takes away together with the network: its `AUTO_DELETE_PORT_OWNERS`. Ports of its other kinds, such
/// as a local IP's, stand for what somebody made.
const WITH_NETWORK: [&str; 3] = [
    "network:dhcp",
    "network:distributed",
    "network:floatingip_agent_gateway",
];
/// Owner of ports that it takes away with our router's leg. They belong to no project.
const WITH_LEG: &str = "network:router_centralized_snat";

/// What happens to a port when our network and router go.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// It is a pod's or the pool's, of this cluster.
    Delete,
    /// It is a leg of our router in our network.
    Detach(RouterId, Vec<SubnetId>),
    /// Neutron made it for itself.
    GoesByItself,
    /// It is somebody's.
    Foreign,
}

/// Takes our ports off our networks, and our routers out of them; nothing at all while something of somebody else's needs
/// either, or our groups. A floating IP of the owner's needs no look of its own: it leads to a port, and stays when that port goes.
///
/// # Errors
/// Waiting for what is not ours; those of Neutron.
pub(super) async fn empty(service: &Session, session: &Session, cluster: &str, found: &Leftovers) -> Result<(), Stop> {
    let ports = ports(service, found).await?;
    let fates: Vec<_> = ports.iter().map(|port| (port, fate(port, found, cluster))).collect();
    let foreign = fates.iter().filter(|(_, fate)| *fate == Fate::Foreign);
    let mut others: Vec<String> = foreign.map(|(port, _)| named(port)).collect();
    others.extend(subnets(service, found).await?);
    others.extend(routes(session, found).await?);
    others.extend(wearers(service, &found.groups, &ports).await?);
    wait_for(others)?;
    for (port, fate) in &fates {
        if *fate == Fate::Delete {
            service.delete_port(&port.id).await?;
        }
    }
    // After the ports: a floating IP that leads to one of them holds the leg.
    for (_, fate) in fates {
        if let Fate::Detach(router, subnets) = fate {
            for subnet in subnets {
                session.remove_router_interface(&router, &subnet).await?;
            }
        }
    }
    Ok(())
}

/// Every port on our networks, and every leg of our routers.
async fn ports(service: &Session, found: &Leftovers) -> Result<Vec<Port>, Error> {
    let mut all: Vec<Port> = vec![];
    for network in &found.networks {
        let filter = PortFilter {
            network_id: Some(network.clone()),
            ..PortFilter::default()
        };
        let there = service.list_ports_all_projects(&filter).await?.into_iter();
        all.extend(there.filter(|port| &port.network_id == network));
    }
    for router in &found.routers {
        let filter = PortFilter {
            device_id: Some(router.to_string()),
            ..PortFilter::default()
        };
        let known: Vec<PortId> = all.iter().map(|port| port.id.clone()).collect();
        let legs = service.list_ports_all_projects(&filter).await?.into_iter();
        all.extend(legs.filter(|port| port.device_id == router.as_str() && is_leg(port) && !known.contains(&port.id)));
    }
    Ok(all)
}

/// Subnets on our networks that are not ours: they would go with the network.
async fn subnets(service: &Session, found: &Leftovers) -> Result<Vec<String>, Error> {
    let mut others = vec![];
    for network in &found.networks {
        let filter = SubnetFilter {
            network_id: Some(network.clone()),
            ..SubnetFilter::default()
        };
        let there = service.list_subnets_all_projects(&filter).await?.into_iter();
        let there = there.filter(|subnet| &subnet.network_id == network && !found.subnets.contains(&subnet.id));
        others.extend(there.map(|subnet| format!("subnet {} ({})", subnet.id, subnet.cidr)));
    }
    Ok(others)
}

/// Routes of our routers: we make none.
async fn routes(session: &Session, found: &Leftovers) -> Result<Vec<String>, Error> {
    let mut others = vec![];
    for id in &found.routers {
        let router = session.get_router(id).await.optional()?;
        let routes = router.into_iter().flat_map(|router| router.routes);
        others.extend(routes.map(|route| format!("route {} via {} of router {id}", route.destination, route.nexthop)));
    }
    Ok(others)
}

/// Ports that have one of our groups, beside the `known` ones.
async fn wearers(service: &Session, groups: &[SecurityGroupId], known: &[Port]) -> Result<Vec<String>, Error> {
    let mut others = vec![];
    for group in groups {
        let filter = PortFilter {
            security_group: Some(group.clone()),
            ..PortFilter::default()
        };
        let there = service.list_ports_all_projects(&filter).await?.into_iter();
        let there = there.filter(|port| port.security_groups.contains(group));
        let there = there.filter(|port| known.iter().all(|known| known.id != port.id));
        others.extend(there.map(|port| format!("port {} (has security group {group})", port.id)));
    }
    Ok(others)
}

/// Waits until no ports but ours have our groups.
///
/// # Errors
/// Waiting for the others; those of Neutron.
pub(super) async fn wait_for_group(service: &Session, groups: &[SecurityGroupId], ours: &[Port]) -> Result<(), Stop> {
    wait_for(wearers(service, groups, ours).await?)
}

fn wait_for(others: Vec<String>) -> Result<(), Stop> {
    match in_use(others) {
        Some(message) => Err(Stop::waiting("InUse", message, LOOK)),
        None => Ok(()),
    }
}

/// Whether it is a router's leg in a subnet.
pub(super) fn is_leg(port: &Port) -> bool {
    port.device_owner.starts_with("network:router_interface")
        || port.device_owner == "network:ha_router_replicated_interface"
}

/// Whether Neutron takes it away together with the network that it is on, whoever made it.
pub(crate) fn goes_with_network(port: &Port) -> bool {
    WITH_NETWORK.contains(&port.device_owner.as_str())
}

/// Members of the project can write the marks, so these only tell what may be deleted together with the network that it is on.
fn fate(port: &Port, found: &Leftovers, cluster: &str) -> Fate {
    if port.device_owner == PORT_DEVICE_OWNER && port.tags.contains(&cluster_tag(cluster)) {
        return Fate::Delete;
    }
    if !is_leg(port) {
        return match goes_with_network(port) || port.device_owner == WITH_LEG {
            true => Fate::GoesByItself,
            false => Fate::Foreign,
        };
    }
    let router = found.routers.iter().find(|router| router.as_str() == port.device_id);
    match router.filter(|_| found.networks.contains(&port.network_id)) {
        Some(router) => {
            let subnets = port.fixed_ips.iter().map(|fixed| fixed.subnet_id.clone());
            Fate::Detach(router.clone(), subnets.collect())
        }
        None => Fate::Foreign,
    }
}

fn named(port: &Port) -> String {
    let id = &port.id;
    match (port.device_owner.as_str(), is_leg(port)) {
        (_, true) => format!("port {id} (router {} in network {})", port.device_id, port.network_id),
        ("", _) => format!("port {id}"),
        (owner, _) => format!("port {id} ({owner})"),
    }
}

/// What has to go first, and that its owner has to do it; `None` if there is nothing.
fn in_use(mut others: Vec<String>) -> Option<String> {
    let count = others.len();
    if count == 0 {
        return None;
    }
    others.sort();
    others.truncate(NAMED);
    if count > NAMED {
        others.push("…".to_owned());
    }
    let (objects, need, them) = if count == 1 {
        ("object", "needs", "it")
    } else {
        ("objects", "need", "them")
    };
    Some(format!(
        "{count} {objects} in OpenStack that Stackube did not make {need} the network, its router or its security group: move \
         or delete {them} to go on: {}",
        others.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn port(change: Value) -> Port {
        let mut port = json!({
            "id": "p", "project_id": "project", "network_id": "ours", "status": "ACTIVE", "admin_state_up": true,
            "mac_address": "fa:16:3e:00:00:01", "device_owner": "compute:stackube", "device_id": "u-1",
            "tags": ["stackube-cluster=c-1"], "fixed_ips": [{"subnet_id": "s", "ip_address": "10.0.0.9"}],
        });
        port.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        serde_json::from_value(port).unwrap()
    }

    fn found() -> Leftovers {
        Leftovers {
            networks: vec!["ours".parse().unwrap()],
            routers: vec!["r".parse().unwrap()],
            ..Leftovers::default()
        }
    }

    #[rstest]
    #[case::of_a_pod(json!({}), Fate::Delete)]
    #[case::of_the_pool(json!({"device_id": ""}), Fate::Delete)]
    #[case::another_clusters(json!({"tags": ["stackube-cluster=c-2"]}), Fate::Foreign)]
    #[case::without_mark(json!({"tags": []}), Fate::Foreign)]
    #[case::with_our_mark_only(json!({"device_owner": "compute:nova"}), Fate::Foreign)]
    #[case::a_server(json!({"device_owner": "compute:nova", "tags": []}), Fate::Foreign)]
    #[case::of_nothing_yet(json!({"device_owner": "", "tags": []}), Fate::Foreign)]
    #[case::a_load_balancer(json!({"device_owner": "Octavia", "tags": []}), Fate::Foreign)]
    #[case::neutrons_own(json!({"device_owner": "network:distributed", "tags": []}), Fate::GoesByItself)]
    #[case::neutrons_with_a_leg(json!({"device_owner": "network:router_centralized_snat", "project_id": ""}), Fate::GoesByItself)]
    #[case::neutrons_dhcp(json!({"device_owner": "network:dhcp", "tags": []}), Fate::GoesByItself)]
    #[case::a_local_ip(json!({"device_owner": "network:local_ip", "tags": []}), Fate::Foreign)]
    #[case::of_an_unknown_service(json!({"device_owner": "network:e2e", "tags": []}), Fate::Foreign)]
    #[case::our_leg(
        json!({"device_owner": "network:router_interface", "device_id": "r"}),
        Fate::Detach("r".parse().unwrap(), vec!["s".parse().unwrap()])
    )]
    #[case::another_routers_leg(json!({"device_owner": "network:router_interface", "device_id": "other"}), Fate::Foreign)]
    #[case::another_distributed_routers(
        json!({"device_owner": "network:router_interface_distributed", "device_id": "other"}), Fate::Foreign
    )]
    #[case::another_replicated_routers(
        json!({"device_owner": "network:ha_router_replicated_interface", "device_id": "other"}), Fate::Foreign
    )]
    #[case::our_leg_in_the_owners_network(
        json!({"device_owner": "network:router_interface", "device_id": "r", "network_id": "own"}), Fate::Foreign
    )]
    fn only_what_is_ours_goes(#[case] change: Value, #[case] expected: Fate) {
        assert_eq!(fate(&port(change), &found(), "c-1"), expected);
    }

    #[rstest]
    #[case::a_server(json!({"device_owner": "compute:nova"}), "port p (compute:nova)")]
    #[case::of_nothing_yet(json!({"device_owner": ""}), "port p")]
    #[case::a_leg(
        json!({"device_owner": "network:router_interface", "device_id": "r", "network_id": "own"}),
        "port p (router r in network own)"
    )]
    fn a_port_is_named(#[case] change: Value, #[case] expected: &str) {
        assert_eq!(named(&port(change)), expected);
    }

    #[test]
    fn what_is_waited_for_is_named() {
        let of = |names: &[&str]| in_use(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(of(&[]), None);
        let one = of(&["port p"]).unwrap();
        assert!(one.starts_with("1 object in OpenStack"), "{one}");
        assert!(one.ends_with("move or delete it to go on: port p"), "{one}");
        let many = of(&["port p-4", "port p-2", "port p-1", "port p-3"]).unwrap();
        assert!(many.starts_with("4 objects in OpenStack"), "{many}");
        assert!(many.ends_with(": port p-1, port p-2, port p-3, …"), "{many}");
    }
}
