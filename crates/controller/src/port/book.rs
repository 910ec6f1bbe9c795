//! The address book: who holds which address, on which node and in which network.
//!
//! Pods of one node must differ in their addresses even if their tenants use one range twice (invariant 8), because the
//! node tells its pods apart by address. So an address is given out only when it is free in the network *and* on the node.
//!
//! There is one book for each leader. A new leader fills it from a quorum list of all Ports before it gives out anything
//! ([`AddressBook::observe`]); what an earlier leader was about to write is found again in Neutron and taken over only if
//! the address is still free here ([`AddressBook::take`]). The last fence is the node itself: it refuses an address that a
//! live sandbox has, and the book then looks for another ([`AddressBook::refuse`]).
//!
//! Addresses that become free rest for a while, so that neighbours forget the old owner (ARP entries, connections). The
//! rest is kept in memory only: what protects a new leader is that an address is free only after the node has torn the
//! sandbox down.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use stackube_api::address::Subnet;

mod ledger;
#[cfg(test)]
mod tests;

use ledger::Ledger;

/// A Network object. Networks of two tenants may have equal ranges, never equal keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NetworkKey {
    /// Namespace of the Network.
    pub(crate) namespace: String,
    /// Its name.
    pub(crate) name: String,
}

impl fmt::Display for NetworkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// Who holds an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Holder {
    /// A Port, by the UID of its pod or Node.
    Pod(String),
    /// A port of the pool, by a name that is unique in this process until the port has an ID, and its ID from then on.
    Pool(String),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod(uid) => write!(f, "pod {uid}"),
            Self::Pool(id) => write!(f, "the pool's port {id}"),
        }
    }
}

/// Where a holder's pod runs: the two places in which its address must be unique.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// Kubernetes name of the node.
    pub(crate) node: String,
    /// The network.
    pub(crate) network: NetworkKey,
}

/// No address can be given out. The numbers tell why, and with it who can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Exhausted {
    /// Every address of the network has an owner or rests.
    #[error("all addresses of the network are in use")]
    Network {
        /// How many will be free again when they have rested.
        resting: usize,
    },
    /// The network has free addresses, but other pods of this node have the same ones.
    #[error("the network's free addresses are all in use by other pods of this node")]
    Node {
        /// How many will be free again when they have rested.
        resting: usize,
    },
}

/// An address that somebody else holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{ip} is held by {by}")]
pub(crate) struct Taken {
    /// The address.
    pub(crate) ip: Ipv4Addr,
    /// One of its holders, or who had it and lets it rest.
    pub(crate) by: String,
}

/// Numbers for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Addresses with an owner, counted for each node.
    pub(crate) held: usize,
    /// Addresses that rest, counted for each node.
    pub(crate) resting: usize,
}

/// See the module. All methods are short and never block on I/O.
#[derive(Debug)]
pub(crate) struct AddressBook {
    ledger: Mutex<Ledger>,
}

impl AddressBook {
    /// An empty book in which addresses rest for `rest` after use.
    pub(crate) fn new(rest: Duration) -> Self {
        Self {
            ledger: Mutex::new(Ledger::new(rest)),
        }
    }

    /// Reserves a free address for `holder`. Asking again at the same place gives the same address, so that a creation
    /// whose outcome is unknown is repeated with the address of the first attempt.
    ///
    /// # Errors
    /// [`Exhausted`] when nothing is free.
    pub(crate) fn reserve(
        &self,
        holder: &Holder,
        place: &Place,
        subnet: &Subnet,
        random: u32,
    ) -> Result<Ipv4Addr, Exhausted> {
        self.ledger().reserve(holder, place, subnet, random, Instant::now())
    }

    /// Takes one given address, as found on a Neutron port that an earlier attempt or leader made.
    ///
    /// # Errors
    /// [`Taken`] when somebody else holds it on the node or in the network, or it rests there.
    pub(crate) fn take(&self, holder: &Holder, place: &Place, ip: Ipv4Addr) -> Result<(), Taken> {
        self.ledger().take(holder, place, ip, Instant::now())
    }

    /// Notes an address that a Port already has. Unlike [`Self::take`] it cannot be refused: the Port is a fact. Answers
    /// with the other holder if there is one on that node; then neither's address is given out before both are gone.
    pub(crate) fn observe(&self, holder: &Holder, place: &Place, ip: Ipv4Addr) -> Option<Taken> {
        self.ledger().observe(holder, place, ip)
    }

    /// Hands the address of a pool's port to a pod. False when `from` holds nothing.
    pub(crate) fn hand_over(&self, from: &Holder, to: &Holder) -> bool {
        self.ledger().hand_over(from, to)
    }

    /// Ends a holding whose Neutron port is gone: the address rests.
    pub(crate) fn release(&self, holder: &Holder) {
        self.ledger().release(holder, Instant::now());
    }

    /// Ends a reservation that never became a Neutron port: the address is free at once.
    pub(crate) fn cancel(&self, holder: &Holder) {
        self.ledger().cancel(holder);
    }

    /// Ends a holding that the node refused: the address rests on that node; other nodes may use it.
    pub(crate) fn refuse(&self, holder: &Holder) {
        self.ledger().refuse(holder, Instant::now());
    }

    /// Notes addresses that ports which are not ours have in a network, for `period`.
    pub(crate) fn foreign(
        &self,
        network: &NetworkKey,
        addresses: impl IntoIterator<Item = Ipv4Addr>,
        period: Duration,
    ) {
        self.ledger().foreign(network, addresses, Instant::now() + period);
    }

    /// The address that `holder` holds.
    #[cfg(test)]
    pub(crate) fn address_of(&self, holder: &Holder) -> Option<Ipv4Addr> {
        self.ledger().address_of(holder)
    }

    /// Drops what has rested long enough, and counts the remainder.
    pub(crate) fn usage(&self) -> Usage {
        let mut ledger = self.ledger();
        ledger.expire(Instant::now());
        ledger.usage()
    }

    /// A panic elsewhere cannot leave the ledger half-changed: its methods do not panic between two changes.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
