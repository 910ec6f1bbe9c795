//! The port pool: Neutron ports made and bound ahead of need, so that a pod starts without waiting for Neutron.
//!
//! There is a small number for each network on each node where its tenant runs pods, since only a bound port saves time and
//! an address must be unique on its node. A pod claims one by writing its own identity into it, on condition that the port is
//! at the revision that was seen last (`If-Match`), so that two claims of one port cannot both succeed, not even of two leaders.
//! A port that has served a pod is never used again. Pool ports count in the tenant's quota and addresses, and give way when
//! either runs short. Size 0 switches the pool off.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use stackube_openstack::id::{NetworkId, PortId, ProjectId};
use stackube_openstack::network::Port as NeutronPort;
use stackube_openstack::{Error, Session};
use tokio::sync::Notify;
use tracing::debug;

use crate::port::{AddressBook, Holder, NetworkKey, Place, Target};

mod claim;
mod fill;
mod plan;
mod resync;
mod run;

pub(crate) use claim::Claimant;
pub(crate) use run::run;

/// Tag of ports in the pool, beside the cluster's.
pub(crate) const POOL_TAG: &str = "stackube-pool";
/// How long nothing is made where ports had to give way.
const PAUSE: Duration = Duration::from_secs(300);
/// How many ports give way at once for want of an address.
const GIVE_WAY: usize = 4;

/// A port in the pool.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Spare {
    id: PortId,
    ip: Ipv4Addr,
    revision: u64,
    project: ProjectId,
    network: NetworkId,
}

impl Spare {
    fn of(port: &NeutronPort, ip: Ipv4Addr, project: &ProjectId) -> Self {
        let (id, network) = (port.id.clone(), port.network_id.clone());
        Self {
            id,
            ip,
            revision: port.revision_number,
            project: project.clone(),
            network,
        }
    }

    fn holder(&self) -> Holder {
        Holder::Pool(self.id.to_string())
    }
}

/// What the pool stays away from for a while.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Scarce {
    Quota(ProjectId),
    Node(String),
    Network(NetworkKey),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Pool {
    size: usize,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    spares: HashMap<Place, Vec<Spare>>,
    paused: HashMap<Scarce, Instant>,
}

impl Pool {
    /// A pool of `size` ports for each network on each node where it has pods.
    pub(crate) fn new(size: u16) -> Self {
        Self {
            size: usize::from(size),
            state: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Takes a port of this network out of the pool; nobody else gets it.
    fn take(&self, place: &Place, network: &NetworkId) -> Option<Spare> {
        let mut state = self.state();
        let spares = state.spares.get_mut(place)?;
        let index = spares.iter().position(|spare| spare.network == *network)?;
        // The oldest: its binding has had the most time to reach the node.
        let spare = spares.remove(index);
        if spares.is_empty() {
            state.spares.remove(place);
        }
        Some(spare)
    }

    /// Whether there is a port of this network at this place.
    pub(crate) fn has(&self, place: &Place, network: &NetworkId) -> bool {
        let state = self.state();
        let mut spares = state.spares.get(place).into_iter().flatten();
        self.size > 0 && spares.any(|spare| spare.network == *network)
    }

    /// Looks soon whether there are enough: the first pod at a place became ready, or the last of a burst.
    pub(crate) fn wake(&self) {
        self.changed.notify_one();
    }

    fn put(&self, place: &Place, spare: Spare) {
        self.state().spares.entry(place.clone()).or_default().push(spare);
    }

    fn ids(&self) -> HashSet<PortId> {
        self.state()
            .spares
            .values()
            .flatten()
            .map(|spare| spare.id.clone())
            .collect()
    }

    /// How many there are, for each place.
    fn counts(&self) -> HashMap<Place, usize> {
        self.state()
            .spares
            .iter()
            .map(|(place, spares)| (place.clone(), spares.len()))
            .collect()
    }

    /// Takes out those that `unwanted` says, at most `most`.
    fn take_where(&self, most: usize, unwanted: impl Fn(&Place, &Spare) -> bool) -> Vec<(Place, Spare)> {
        let mut taken = vec![];
        for (place, spares) in &mut self.state().spares {
            spares.retain(|spare| {
                let goes = taken.len() < most && unwanted(place, spare);
                if goes {
                    taken.push((place.clone(), spare.clone()));
                }
                !goes
            });
        }
        taken
    }

    fn pause(&self, what: Scarce) {
        self.state().paused.insert(what, Instant::now() + PAUSE);
    }

    fn is_paused(&self, place: &Place, project: &ProjectId) -> bool {
        let mut state = self.state();
        state.paused.retain(|_, until| *until > Instant::now());
        [
            Scarce::Quota(project.clone()),
            Scarce::Node(place.node.clone()),
            Scarce::Network(place.network.clone()),
        ]
        .iter()
        .any(|what| state.paused.contains_key(what))
    }

    /// Gives up all ports of a project whose quota is used up. True if that made room.
    ///
    /// # Errors
    /// What Neutron answers to the deletion.
    pub(crate) async fn yield_quota(
        &self,
        book: &AddressBook,
        session: &Session,
        project: &ProjectId,
    ) -> Result<bool, Error> {
        self.pause(Scarce::Quota(project.clone()));
        let of_project = |_: &Place, spare: &Spare| spare.project == *project;
        self.give_up(book, session, self.take_where(usize::MAX, of_project))
            .await
    }

    /// Gives up some ports whose addresses stand in the way of a pod at `wanted`. True if that made room.
    ///
    /// # Errors
    /// What Neutron answers to the deletion.
    pub(crate) async fn yield_addresses(
        &self,
        book: &AddressBook,
        session: &Session,
        wanted: &Place,
        target: &Target,
    ) -> Result<bool, Error> {
        self.give_up(book, session, self.make_way(wanted, target)).await
    }

    /// Takes out ports of the network itself, and of others on the node that hold an address of its range. What has nothing to do
    /// with it stays: a tenant whose range is full takes nobody's pool away.
    fn make_way(&self, wanted: &Place, target: &Target) -> Vec<(Place, Spare)> {
        let range = target.range.range();
        let spares = self.take_where(GIVE_WAY, |place, spare| {
            place.network == wanted.network || (place.node == wanted.node && range.contains(&spare.ip))
        });
        self.pause(Scarce::Network(wanted.network.clone()));
        if spares.iter().any(|(_, spare)| spare.network != target.network) {
            self.pause(Scarce::Node(wanted.node.clone()));
        }
        spares
    }

    /// Deletes what was taken out; true if it was anything. What could not be deleted goes back.
    ///
    /// # Errors
    /// What Neutron answers to the deletion.
    async fn give_up(&self, book: &AddressBook, session: &Session, spares: Vec<(Place, Spare)>) -> Result<bool, Error> {
        let any = !spares.is_empty();
        let mut going = Going { pool: self, spares };
        while let Some((_, spare)) = going.spares.last() {
            discard(session, spare).await?;
            // It never carried a packet: nothing remembers the address.
            book.cancel(&spare.holder());
            going.spares.pop();
        }
        Ok(any)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ports on their way out. They return to the pool if they could not be deleted, or nobody waited for the answer: their addresses
/// are not forgotten then, and if one is gone from Neutron after all, the next comparison says so.
struct Going<'a> {
    pool: &'a Pool,
    spares: Vec<(Place, Spare)>,
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        for (place, spare) in self.spares.drain(..) {
            self.pool.put(&place, spare);
        }
    }
}

async fn discard(session: &Session, spare: &Spare) -> Result<(), Error> {
    debug!(neutron_port = %spare.id, ip = %spare.ip, "pool port deleted");
    session.delete_port(&spare.id).await
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::{copy_for_test, fill_for_test};
