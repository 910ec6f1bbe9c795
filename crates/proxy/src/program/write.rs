//! Differences into the maps, within each network's share.

use std::collections::BTreeSet;

use stackube_datapath::abi::NetworkKey;
use stackube_datapath::{Error as MapError, ServiceKey, Services};

use super::share::Book;
use crate::model::{Desired, Target, Update, Vip};

/// Writes what has changed; the number of entries written or removed.
pub(super) fn apply(
    services: &mut Services,
    book: &mut Book,
    desired: &Desired,
    update: &Update,
) -> Result<u64, MapError> {
    let mut writes = 0;
    for network in &update.removed {
        services.forget(NetworkKey::of(network))?;
        book.forget(network, NetworkKey::of(network));
        writes += 1;
    }
    // Pods wait for them.
    for network in &update.added {
        writes += whole_network(services, book, desired, network)?;
    }
    for (network, vip) in &update.touched {
        let key = key(NetworkKey::of(network), vip);
        writes += u64::from(entry(services, book, desired, network, key)?);
    }
    // What had no room may have some now.
    let changed: BTreeSet<&String> = update.touched.iter().map(|(network, _)| network).collect();
    for network in changed {
        for vip in book.take_left_out(network) {
            let key = key(NetworkKey::of(network), &vip);
            writes += u64::from(entry(services, book, desired, network, key)?);
        }
    }
    Ok(writes)
}

/// Brings all entries of a network up to date, and says so in its flag.
pub(super) fn whole_network(
    services: &mut Services,
    book: &mut Book,
    desired: &Desired,
    network: &str,
) -> Result<u64, MapError> {
    let id = NetworkKey::of(network);
    let wanted: BTreeSet<ServiceKey> = desired.vips(network).iter().map(|vip| key(id, vip)).collect();
    let held = services
        .iter()
        .map(|(key, _)| *key)
        .filter(|key| key.network == id && !wanted.contains(key));
    let stale: Vec<ServiceKey> = held.collect();
    let mut writes = 0;
    for key in stale.into_iter().chain(wanted) {
        writes += u64::from(entry(services, book, desired, network, key)?);
    }
    services.set_synced(id, true)?;
    Ok(writes)
}

/// One entry, as far as the network's share allows; whether it was written.
fn entry(
    services: &mut Services,
    book: &mut Book,
    desired: &Desired,
    network: &str,
    key: ServiceKey,
) -> Result<bool, MapError> {
    let vip = Vip {
        address: key.vip,
        port: key.port,
        protocol: key.protocol,
    };
    let held = services.get(&key).map(|held| held.backends.len());
    let Some(wanted) = desired.get(network, &vip) else {
        let removed = services.remove(key)?;
        book.change(key.network, held, None);
        return Ok(removed);
    };
    let Some(target) = book.fit((network, key.network), &vip, held, wanted) else {
        return Ok(false);
    };
    let differs = services.get(&key).is_none_or(|held| !same(held, &target));
    services.upsert(key, &target)?;
    book.change(key.network, held, Some(target.backends.len()));
    Ok(differs)
}

/// Whether an entry is as wanted, in whatever slots its backends are.
fn same(held: &Target, wanted: &Target) -> bool {
    let mut backends = held.backends.clone();
    backends.sort_unstable();
    backends == wanted.backends && held.host == wanted.host && held.affinity == wanted.affinity
}

fn key(network: NetworkKey, vip: &Vip) -> ServiceKey {
    ServiceKey {
        network,
        vip: vip.address,
        port: vip.port,
        protocol: vip.protocol,
    }
}
