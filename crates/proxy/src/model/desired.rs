//! What the networks of this node should have, kept up to date change by change.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use ipnet::Ipv4Net;

use super::{Claim, Claims, Cluster, Dirty, ObjectName, Target, Vip};

/// What has to be looked at in the maps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// Networks that are new here: all of their entries.
    pub added: BTreeSet<String>,
    /// Networks that have no pod here any more.
    pub removed: BTreeSet<String>,
    /// Single addresses in networks that were here before.
    pub touched: BTreeSet<(String, Vip)>,
}

/// The claims of all networks of this node.
#[derive(Clone, Debug, Default)]
pub struct Desired {
    networks: BTreeMap<String, (Ipv4Net, Claims)>,
}

impl Desired {
    /// Takes in what has changed.
    pub fn update(&mut self, cluster: &Cluster, dirty: &Dirty) -> Update {
        let mut update = Update::default();
        if dirty.networks {
            let here = cluster.networks();
            let stays = |name: &String, range: &Ipv4Net| here.get(name) == Some(range);
            let gone: Vec<String> = self
                .networks
                .iter()
                .filter(|(n, (r, _))| !stays(n, r))
                .map(|(n, _)| n.clone())
                .collect();
            for name in gone {
                self.networks.remove(&name);
                update.removed.insert(name);
            }
            for (name, range) in here {
                if let Entry::Vacant(vacant) = self.networks.entry(name.clone()) {
                    vacant.insert((range, everything(cluster, &name, range)));
                    update.removed.remove(&name);
                    update.added.insert(name);
                }
            }
        }
        if dirty.viewpoint {
            let names: Vec<String> = self.networks.keys().cloned().collect();
            for name in names {
                let services: Vec<_> = cluster.services_in(&name).cloned().collect();
                services
                    .iter()
                    .for_each(|service| self.service(cluster, service, &mut update));
            }
        }
        for service in &dirty.services {
            self.service(cluster, service, &mut update);
        }
        if dirty.platform || dirty.viewpoint {
            for (name, (_, claims)) in &mut self.networks {
                for (owner, wanted) in cluster.platform_claims() {
                    let touched = claims.set(&owner, wanted);
                    update
                        .touched
                        .extend(touched.into_iter().map(|vip| (name.clone(), vip)));
                }
            }
        }
        update.touched.retain(|(network, _)| !update.added.contains(network));
        update
    }

    fn service(&mut self, cluster: &Cluster, service: &ObjectName, update: &mut Update) {
        // The namespace may have been another network's before it was made anew, or be unknown by now.
        for (name, (range, claims)) in &mut self.networks {
            let touched = claims.set(service, wanted(cluster, name, service, *range));
            update
                .touched
                .extend(touched.into_iter().map(|vip| (name.clone(), vip)));
        }
    }

    /// What an address stands for.
    pub fn get(&self, network: &str, vip: &Vip) -> Option<&Arc<Target>> {
        self.networks.get(network)?.1.get(vip)
    }

    /// The networks of this node.
    pub fn networks(&self) -> impl Iterator<Item = &String> {
        self.networks.keys()
    }

    /// All addresses of a network.
    pub fn vips(&self, network: &str) -> Vec<Vip> {
        self.networks
            .get(network)
            .map(|(_, claims)| claims.vips().collect())
            .unwrap_or_default()
    }
}

fn everything(cluster: &Cluster, network: &str, range: Ipv4Net) -> Claims {
    let mut claims = Claims::default();
    for (owner, wanted) in cluster.platform_claims() {
        claims.set(&owner, wanted);
    }
    for service in cluster.services_in(network).chain(cluster.shared_services()) {
        claims.set(service, wanted(cluster, network, service, range));
    }
    claims
}

/// What a Service claims in a network: its own, or another.
fn wanted(cluster: &Cluster, network: &str, service: &ObjectName, range: Ipv4Net) -> Vec<Claim> {
    if cluster.network_of(&service.namespace) == Some(network) {
        cluster.claims_of(service, range)
    } else {
        cluster.shared_claims(service)
    }
}
