//! Who may have a virtual address in a network, when more than one claims it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::{ObjectName, Target, Vip};

/// What makes an address a Service's own; earlier ones win.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rank {
    /// DNS and the API server: no Service takes their place.
    Platform,
    /// The API server gave it to one Service only.
    ClusterIp,
    /// A load balancer's address, as the Service's status tells.
    LoadBalancer,
}

/// A virtual address with the strength of the claim and what it should stand for.
pub type Claim = (Vip, Rank, Target);

type Claimant = (Rank, ObjectName);

/// All claims in one network.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    by_vip: HashMap<Vip, BTreeMap<Claimant, Arc<Target>>>,
    by_owner: HashMap<ObjectName, Vec<(Vip, Rank)>>,
}

impl Claims {
    /// Replaces the claims of `owner`; returns the addresses whose holder or target may have changed.
    pub fn set(&mut self, owner: &ObjectName, claims: Vec<Claim>) -> Vec<Vip> {
        let mut touched = vec![];
        let kept: Vec<(Vip, Rank)> = claims.iter().map(|(vip, rank, _)| (*vip, *rank)).collect();
        for (vip, rank) in self.by_owner.remove(owner).unwrap_or_default() {
            if !kept.contains(&(vip, rank)) {
                self.remove(vip, &(rank, owner.clone()));
                touched.push(vip);
            }
        }
        for (vip, rank, target) in claims {
            let claimants = self.by_vip.entry(vip).or_default();
            let old = claimants.get(&(rank, owner.clone()));
            if old.is_none_or(|old| **old != target) {
                claimants.insert((rank, owner.clone()), Arc::new(target));
                touched.push(vip);
            }
        }
        if !kept.is_empty() {
            self.by_owner.insert(owner.clone(), kept);
        }
        touched
    }

    fn remove(&mut self, vip: Vip, claimant: &Claimant) {
        if let Some(claimants) = self.by_vip.get_mut(&vip) {
            claimants.remove(claimant);
            if claimants.is_empty() {
                self.by_vip.remove(&vip);
            }
        }
    }

    /// What the address stands for.
    pub fn get(&self, vip: &Vip) -> Option<&Arc<Target>> {
        self.by_vip.get(vip)?.first_key_value().map(|(_, target)| target)
    }

    /// Whose the address is.
    pub fn holder(&self, vip: &Vip) -> Option<&ObjectName> {
        self.by_vip.get(vip)?.first_key_value().map(|((_, owner), _)| owner)
    }

    /// All addresses.
    pub fn vips(&self) -> impl Iterator<Item = Vip> {
        self.by_vip.keys().copied()
    }
}
