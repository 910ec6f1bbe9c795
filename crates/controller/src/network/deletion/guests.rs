//! Removal from a project that is not ours alone: an adopted one, or the service's own. Whoever owns it may have put servers on
//! our network, routers beside ours, networks of their own behind our router. None of that is ours to delete or to cut off, so
//! removal waits until it is gone.

use std::time::Duration;

use stackube_api::names::{PORT_DEVICE_OWNER, cluster_tag};
use stackube_openstack::id::{PortId, RouterId, SubnetId};
use stackube_openstack::network::{Port, PortFilter};
use stackube_openstack::{Error, Session};

use super::super::leftovers::Leftovers;
use crate::stop::Stop;

/// How often is looked whether they are gone: a person has to act.
const LOOK: Duration = Duration::from_secs(5);
/// So many are named.
const NAMED: usize = 3;

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
/// either. A floating IP of the owner's needs no look of its own: it leads to a port, and stays when that port goes.
///
/// # Errors
/// Waiting for what is not ours; those of Neutron.
pub(super) async fn empty(service: &Session, session: &Session, cluster: &str, found: &Leftovers) -> Result<(), Stop> {
    let ports = ports(service, found).await?;
    let fates: Vec<_> = ports.iter().map(|port| (port, fate(port, found, cluster))).collect();
    let foreign = fates.iter().filter(|(_, fate)| *fate == Fate::Foreign);
    if let Some(message) = in_use(foreign.map(|(port, _)| *port)) {
        return Err(Stop::waiting("InUse", message, LOOK));
    }
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

fn is_leg(port: &Port) -> bool {
    port.device_owner.starts_with("network:router_interface")
        || port.device_owner == "network:ha_router_replicated_interface"
}

/// Members of the project can write the marks, so these only tell what may be deleted together with the network that it is on.
fn fate(port: &Port, found: &Leftovers, cluster: &str) -> Fate {
    if port.device_owner == PORT_DEVICE_OWNER && port.tags.contains(&cluster_tag(cluster)) {
        return Fate::Delete;
    }
    if !is_leg(port) {
        return match port.device_owner.starts_with("network:") {
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

/// What has to go first, and that its owner has to do it; `None` if there is nothing.
fn in_use<'a>(foreign: impl Iterator<Item = &'a Port>) -> Option<String> {
    let mut named: Vec<_> = foreign
        .map(|port| match (port.device_owner.as_str(), is_leg(port)) {
            (_, true) => format!("{} (router {} in network {})", port.id, port.device_id, port.network_id),
            ("", _) => port.id.to_string(),
            (owner, _) => format!("{} ({owner})", port.id),
        })
        .collect();
    let count = named.len();
    if count == 0 {
        return None;
    }
    named.sort();
    named.truncate(NAMED);
    if count > NAMED {
        named.push("…".to_owned());
    }
    let (ports, need, them) = if count == 1 {
        ("port", "needs", "it")
    } else {
        ("ports", "need", "them")
    };
    Some(format!(
        "{count} {ports} in OpenStack that Stackube did not make {need} the network or its router: move or delete {them} to go on: {}",
        named.join(", ")
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

    #[test]
    fn what_is_waited_for_is_named() {
        assert_eq!(in_use([].into_iter()), None);
        let server = |id: &str| port(json!({"id": id, "device_owner": "compute:nova"}));
        let leg = port(json!({"device_owner": "network:router_interface", "device_id": "r", "network_id": "own"}));
        let one = in_use([&leg].into_iter()).unwrap();
        assert!(one.starts_with("1 port in OpenStack"), "{one}");
        assert!(one.ends_with(": p (router r in network own)"), "{one}");
        let many = ["p-4", "p-2", "p-1", "p-3"].map(server);
        let many = in_use(many.iter()).unwrap();
        assert!(many.starts_with("4 ports in OpenStack"), "{many}");
        assert!(
            many.ends_with(": p-1 (compute:nova), p-2 (compute:nova), p-3 (compute:nova), …"),
            "{many}"
        );
    }
}
