//! Comparing the pool with Neutron: after an election, and from time to time.

use std::collections::HashSet;
use std::net::Ipv4Addr;

use stackube_api::names::cluster_tag;
use stackube_openstack::Error;
use stackube_openstack::id::PortId;
use stackube_openstack::network::{Port as NeutronPort, PortFilter};
use tracing::{debug, info};

use super::{POOL_TAG, Spare, fill};
use crate::port::{DEVICE_OWNER, Place, Shared, Target, address};

/// A place that can take ports now, with what is needed to make them.
#[derive(Clone, Debug)]
pub(super) struct Site {
    pub(super) place: Place,
    pub(super) target: Target,
    pub(super) chassis: String,
}

/// What a pool port that was found in Neutron is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    /// A pod has claimed it; only its tags are still the pool's.
    Claimed,
    /// It belongs to this site (by index), with this address.
    Fits(usize, Ipv4Addr),
    /// No site takes it.
    Misfit,
    /// Not in one of our projects and networks: not ours to touch.
    Foreign,
}

/// Takes in ports that are not in the pool (made by an earlier leader, or by a call whose answer was lost), forgets those that
/// are gone, and deletes what does not fit anywhere if it did not fit the last time either.
///
/// # Errors
/// What Neutron answers.
pub(super) async fn resync(shared: &Shared, sites: &[Site], misfits: &mut HashSet<PortId>) -> Result<(), Error> {
    let session = shared.context.cloud.service();
    // Before the list is asked for: what is claimed while it is on its way was in the pool now, and is left alone below.
    let known = shared.pool.ids();
    let tags = vec![cluster_tag(&shared.context.identity.cluster), POOL_TAG.to_owned()];
    let found = session
        .list_ports_all_projects(&PortFilter {
            tags,
            ..PortFilter::default()
        })
        .await?;
    let mut still_misfits = HashSet::new();
    for port in found.iter().filter(|port| !known.contains(&port.id)) {
        match judge(port, sites, &projects(shared)) {
            Found::Claimed | Found::Foreign => {}
            Found::Fits(index, ip) => take_in(shared, &sites[index], port, ip),
            Found::Misfit if misfits.contains(&port.id) => {
                info!(neutron_port = %port.id, "a pool port that fits nowhere: deleted");
                session.delete_port(&port.id).await?;
            }
            Found::Misfit => {
                still_misfits.insert(port.id.clone());
            }
        }
    }
    *misfits = still_misfits;
    let present: HashSet<_> = found
        .into_iter()
        .filter(|port| port.device_id.is_empty())
        .map(|port| port.id)
        .collect();
    for (_, gone) in shared.pool.take_where(usize::MAX, |_, spare| {
        known.contains(&spare.id) && !present.contains(&spare.id)
    }) {
        info!(neutron_port = %gone.id, "a pool port is gone from Neutron");
        shared.book.cancel(&gone.holder());
    }
    Ok(())
}

/// Projects and networks of all Networks, also of those that cannot be used now.
fn projects(shared: &Shared) -> HashSet<(String, String)> {
    let networks = shared.context.networks.state().into_iter();
    networks
        .filter_map(|network| network.status.clone())
        .filter_map(|s| s.project_id.zip(s.network_id))
        .collect()
}

fn judge(port: &NeutronPort, sites: &[Site], ours: &HashSet<(String, String)>) -> Found {
    let Some(project) = &port.project_id else {
        return Found::Foreign;
    };
    if port.device_owner != DEVICE_OWNER || !ours.contains(&(project.to_string(), port.network_id.to_string())) {
        return Found::Foreign;
    }
    if !port.device_id.is_empty() {
        return Found::Claimed;
    }
    let fits = |site: &Site| {
        let ip = address(port, &site.target)?;
        let wanted = fill::request("", &site.target, &site.chassis, ip);
        let as_made = *project == site.target.project
            && port.network_id == site.target.network
            && port.binding_host_id == wanted.binding_host_id
            && port.security_groups == wanted.security_groups;
        as_made.then_some(ip)
    };
    sites
        .iter()
        .enumerate()
        .find_map(|(index, site)| fits(site).map(|ip| Found::Fits(index, ip)))
        .unwrap_or(Found::Misfit)
}

/// A port whose address somebody else has by now stays where it is: a pod may be about to claim it, or its owner ends one day.
fn take_in(shared: &Shared, site: &Site, port: &NeutronPort, ip: Ipv4Addr) {
    let spare = Spare::of(port, ip, &site.target.project);
    match shared.book.take(&spare.holder(), &site.place, ip) {
        Ok(()) => {
            debug!(neutron_port = %port.id, %ip, node = site.place.node, "taken into the pool");
            shared.pool.put(&site.place, spare);
        }
        Err(taken) => debug!(neutron_port = %port.id, "not taken into the pool: {taken}"),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};
    use stackube_api::address::{AddressRules, Subnet};

    use super::*;
    use crate::port::NetworkKey;

    fn site(network: &str, chassis: &str) -> Site {
        let key = NetworkKey {
            namespace: network.into(),
            name: network.into(),
        };
        Site {
            place: Place {
                node: "n1".into(),
                network: key.clone(),
            },
            target: Target {
                key,
                project: format!("project-{network}").parse().unwrap(),
                network: format!("network-{network}").parse().unwrap(),
                subnet: format!("subnet-{network}").parse().unwrap(),
                group: format!("group-{network}").parse().unwrap(),
                range: Subnet::new("10.244.0.0/16", None, &AddressRules::default()).unwrap(),
                mtu: 1442,
            },
            chassis: chassis.into(),
        }
    }

    fn port(change: &Value) -> NeutronPort {
        let mut port = json!({
            "id": "p-1", "project_id": "project-b", "network_id": "network-b", "mac_address": "fa:16:3e:00:00:01",
            "fixed_ips": [{"subnet_id": "subnet-b", "ip_address": "10.244.0.7"}], "security_groups": ["group-b"],
            "device_owner": "compute:stackube", "device_id": "", "binding:host_id": "h1", "binding:vif_type": "ovs",
        });
        port.as_object_mut()
            .unwrap()
            .extend(change.as_object().unwrap().clone());
        serde_json::from_value(port).unwrap()
    }

    #[rstest]
    #[case::fits(json!({}), Found::Fits(1, Ipv4Addr::new(10, 244, 0, 7)))]
    #[case::claimed(json!({"device_id": "u-1"}), Found::Claimed)]
    #[case::host_without_a_site(json!({"binding:host_id": "h2"}), Found::Misfit)]
    #[case::other_group(json!({"security_groups": ["open"]}), Found::Misfit)]
    #[case::no_address(json!({"fixed_ips": []}), Found::Misfit)]
    #[case::not_a_pods(json!({"device_owner": ""}), Found::Foreign)]
    #[case::foreign_project(json!({"project_id": "else"}), Found::Foreign)]
    #[case::project_and_network_of_two_tenants(json!({"project_id": "project-a"}), Found::Foreign)]
    #[case::no_project(json!({"project_id": ""}), Found::Foreign)]
    #[case::network_cannot_be_used_now(
        json!({"project_id": "project-c", "network_id": "network-c"}), Found::Misfit
    )]
    fn judges(#[case] change: Value, #[case] expected: Found) {
        let ours = ["a", "b", "c"]
            .map(|n| (format!("project-{n}"), format!("network-{n}")))
            .into();
        let sites = [site("a", "h1"), site("b", "h1")];
        assert_eq!(judge(&port(&change), &sites, &ours), expected);
    }
}
