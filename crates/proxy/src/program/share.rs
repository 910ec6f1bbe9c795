//! What one network may take of the maps, so that no tenant fills them for the others of the node. Pure.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use stackube_datapath::abi::NetworkKey;

use crate::model::{Target, Vip};

/// Entries that one network has, or may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Virtual addresses with their ports.
    pub services: usize,
    /// Backends of all of them.
    pub backends: usize,
}

impl Share {
    /// A sixteenth of each map (`bpf/src/maps.rs`).
    pub const LIMIT: Self = Self {
        services: (1 << 18) / 16,
        backends: (1 << 21) / 16,
    };
    const NOTHING: Self = Self {
        services: 0,
        backends: 0,
    };
}

/// Who has how much, and what had to be left out.
#[derive(Debug)]
pub(super) struct Book {
    limit: Share,
    used: HashMap<NetworkKey, Share>,
    left_out: BTreeMap<String, BTreeSet<Vip>>,
}

impl Book {
    pub(super) fn new(limit: Share) -> Self {
        Self {
            limit,
            used: HashMap::new(),
            left_out: BTreeMap::new(),
        }
    }

    /// As much of `wanted` as fits beside the rest of its network; `None` when not even an entry without backends does. `held` is how many
    /// backends the entry has now, if there is one. What every network has (DNS, the API servers) always fits.
    pub(super) fn fit<'t>(
        &mut self,
        (name, network): (&str, NetworkKey),
        vip: &Vip,
        held: Option<usize>,
        wanted: &'t Target,
    ) -> Option<Cow<'t, Target>> {
        if wanted.host {
            return Some(Cow::Borrowed(wanted));
        }
        let used = self.used.get(&network).copied().unwrap_or(Share::NOTHING);
        let room = (self.limit.backends + held.unwrap_or(0)).saturating_sub(used.backends);
        let fits = held.is_some() || used.services < self.limit.services;
        if fits && wanted.backends.len() <= room {
            return Some(Cow::Borrowed(wanted));
        }
        self.left_out.entry(name.to_owned()).or_default().insert(*vip);
        fits.then(|| {
            let backends = wanted.backends.iter().take(room).copied().collect();
            Cow::Owned(Target {
                backends,
                ..wanted.clone()
            })
        })
    }

    /// An entry had so many backends and has so many now; `None`: it was not there, or is gone.
    pub(super) fn change(&mut self, network: NetworkKey, before: Option<usize>, after: Option<usize>) {
        let used = self.used.entry(network).or_insert(Share::NOTHING);
        used.services = (used.services + usize::from(after.is_some())).saturating_sub(usize::from(before.is_some()));
        used.backends = (used.backends + after.unwrap_or(0)).saturating_sub(before.unwrap_or(0));
    }

    /// A network has no entries any more.
    pub(super) fn forget(&mut self, name: &str, network: NetworkKey) {
        self.used.remove(&network);
        self.left_out.remove(name);
    }

    /// What was left out of a network, to be tried again.
    pub(super) fn take_left_out(&mut self, name: &str) -> BTreeSet<Vip> {
        self.left_out.remove(name).unwrap_or_default()
    }

    /// Networks whose share is used up, with the number of entries that are missing or have not all of their backends.
    pub(super) fn crowded(&self) -> BTreeMap<String, usize> {
        let counts = self.left_out.iter().map(|(name, vips)| (name.clone(), vips.len()));
        counts.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Protocol;

    fn vip(last: u8) -> Vip {
        Vip {
            address: [10, 96, 1, last].into(),
            port: 80,
            protocol: Protocol::Tcp,
        }
    }

    fn target(backends: u16) -> Target {
        Target {
            backends: (1..=backends)
                .map(|port| std::net::SocketAddrV4::new([10, 0, 0, 1].into(), port))
                .collect(),
            ..Target::default()
        }
    }

    #[test]
    fn a_network_takes_its_share_and_no_more() {
        let limit = Share {
            services: 2,
            backends: 5,
        };
        let (mut book, network) = (Book::new(limit), NetworkKey::of("a"));
        let add = |book: &mut Book, last, backends| {
            let fit = book
                .fit(("a", network), &vip(last), None, &target(backends))
                .map(|fit| fit.backends.len());
            if fit.is_some() {
                book.change(network, None, fit);
            }
            fit
        };
        assert_eq!(add(&mut book, 1, 3), Some(3));
        assert_eq!(
            add(&mut book, 2, 4),
            Some(2),
            "the backends that fit are better than none"
        );
        assert_eq!(add(&mut book, 3, 1), None);
        assert_eq!(book.crowded(), BTreeMap::from([("a".to_owned(), 2)]));
        // Another network has a share of its own, and the platform's entries are in nobody's way.
        assert_eq!(
            book.fit(("b", NetworkKey::of("b")), &vip(1), None, &target(5)),
            Some(Cow::Owned(target(5)))
        );
        let platform = Target {
            host: true,
            ..target(9)
        };
        assert!(book.fit(("a", network), &vip(9), None, &platform).is_some());

        assert_eq!(book.take_left_out("a"), BTreeSet::from([vip(2), vip(3)]));
        book.change(network, Some(3), None);
        let grown = book
            .fit(("a", network), &vip(2), Some(2), &target(4))
            .map(|fit| fit.backends.len());
        assert_eq!(grown, Some(4));
        assert!(book.crowded().is_empty());
    }
}
