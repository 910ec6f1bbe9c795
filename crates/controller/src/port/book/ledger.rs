//! The book's contents. No clock and no lock in here, so that every history can be tested.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use stackube_api::address::Subnet;

use super::{Exhausted, Holder, NetworkKey, Place, Taken, Usage};

/// One address at one place.
#[derive(Debug, Default)]
struct Slot {
    /// More than one only after [`Ledger::observe`] has met a collision.
    holders: BTreeSet<Holder>,
    /// Somebody had it until lately: not to be given out before this time.
    rests_until: Option<Instant>,
    /// A port that is not ours had it when last looked: not to be tried before this time.
    foreign_until: Option<Instant>,
}

impl Slot {
    fn is_free(&self, now: Instant) -> bool {
        !self.is_held(now) && !self.rests(now)
    }

    /// Whether it becomes free only when its holder gives it up.
    fn is_held(&self, now: Instant) -> bool {
        !self.holders.is_empty() || self.is_foreign(now)
    }

    fn is_foreign(&self, now: Instant) -> bool {
        self.foreign_until.is_some_and(|until| until > now)
    }

    fn rests(&self, now: Instant) -> bool {
        self.rests_until.is_some_and(|until| until > now)
    }

    /// Who keeps `holder` from using the address.
    fn rival(&self, holder: &Holder, now: Instant) -> Option<String> {
        let other = self
            .holders
            .iter()
            .find(|other| *other != holder)
            .map(ToString::to_string);
        if other.is_some() || self.holders.contains(holder) {
            return other;
        }
        let nobody = self.rests(now).then(|| "nobody yet: it rests after use".to_owned());
        self.is_foreign(now)
            .then(|| "a port that is not ours".to_owned())
            .or(nobody)
    }
}

/// The addresses of all nodes, or of all networks.
#[derive(Debug)]
struct Places<K>(HashMap<K, HashMap<Ipv4Addr, Slot>>);

impl<K: Clone + Eq + Hash> Places<K> {
    fn slot(&self, key: &K, ip: Ipv4Addr) -> Option<&Slot> {
        self.0.get(key)?.get(&ip)
    }

    fn slot_mut(&mut self, key: &K, ip: Ipv4Addr) -> &mut Slot {
        self.0.entry(key.clone()).or_default().entry(ip).or_default()
    }

    fn remove(&mut self, key: &K, ip: Ipv4Addr, holder: &Holder, rest: Option<Instant>) {
        let slot = self.slot_mut(key, ip);
        slot.holders.remove(holder);
        slot.rests_until = slot.rests_until.max(rest);
    }

    fn expire(&mut self, now: Instant) {
        for slots in self.0.values_mut() {
            slots.retain(|_, slot| !slot.is_free(now));
        }
        self.0.retain(|_, slots| !slots.is_empty());
    }
}

/// Who holds which address.
#[derive(Debug)]
pub(super) struct Ledger {
    rest: Duration,
    nodes: Places<String>,
    networks: Places<NetworkKey>,
    holdings: HashMap<Holder, (Place, Ipv4Addr)>,
}

impl Ledger {
    pub(super) fn new(rest: Duration) -> Self {
        Self {
            rest,
            nodes: Places(HashMap::new()),
            networks: Places(HashMap::new()),
            holdings: HashMap::new(),
        }
    }

    pub(super) fn reserve(
        &mut self,
        holder: &Holder,
        place: &Place,
        subnet: &Subnet,
        random: u32,
        now: Instant,
    ) -> Result<Ipv4Addr, Exhausted> {
        if let Some((held_at, ip)) = self.holdings.get(holder) {
            if held_at == place && subnet.range().contains(ip) {
                return Ok(*ip);
            }
            self.cancel(holder);
        }
        let ip = subnet
            .choose(random, |ip| !self.is_free(place, ip, now))
            .ok_or_else(|| self.why_exhausted(place, subnet, now))?;
        self.hold(holder, place, ip);
        Ok(ip)
    }

    pub(super) fn take(&mut self, holder: &Holder, place: &Place, ip: Ipv4Addr, now: Instant) -> Result<(), Taken> {
        let slots = [self.nodes.slot(&place.node, ip), self.networks.slot(&place.network, ip)];
        if let Some(by) = slots.into_iter().flatten().find_map(|slot| slot.rival(holder, now)) {
            return Err(Taken { ip, by });
        }
        self.hold(holder, place, ip);
        Ok(())
    }

    pub(super) fn observe(&mut self, holder: &Holder, place: &Place, ip: Ipv4Addr) -> Option<Taken> {
        self.hold(holder, place, ip);
        let slot = self.nodes.slot(&place.node, ip)?;
        slot.holders.iter().find(|other| *other != holder).map(|other| Taken {
            ip,
            by: other.to_string(),
        })
    }

    pub(super) fn hand_over(&mut self, from: &Holder, to: &Holder) -> bool {
        let Some((place, ip)) = self.holdings.get(from).cloned() else {
            return false;
        };
        self.cancel(from);
        self.hold(to, &place, ip);
        true
    }

    pub(super) fn release(&mut self, holder: &Holder, now: Instant) {
        let rest = Some(now + self.rest);
        self.remove(holder, rest, rest);
    }

    pub(super) fn refuse(&mut self, holder: &Holder, now: Instant) {
        let rest = Some(now + self.rest);
        self.remove(holder, rest, None);
    }

    pub(super) fn cancel(&mut self, holder: &Holder) {
        self.remove(holder, None, None);
    }

    pub(super) fn foreign(&mut self, network: &NetworkKey, ips: impl IntoIterator<Item = Ipv4Addr>, until: Instant) {
        for ip in ips {
            let slot = self.networks.slot_mut(network, ip);
            slot.foreign_until = slot.foreign_until.max(Some(until));
        }
    }

    #[cfg(test)]
    pub(super) fn address_of(&self, holder: &Holder) -> Option<Ipv4Addr> {
        self.holdings.get(holder).map(|(_, ip)| *ip)
    }

    pub(super) fn expire(&mut self, now: Instant) {
        self.nodes.expire(now);
        self.networks.expire(now);
    }

    pub(super) fn usage(&self) -> Usage {
        let slots = || self.nodes.0.values().flat_map(HashMap::values);
        Usage {
            held: slots().filter(|slot| !slot.holders.is_empty()).count(),
            resting: slots().filter(|slot| slot.holders.is_empty()).count(),
        }
    }

    fn is_free(&self, place: &Place, ip: Ipv4Addr, now: Instant) -> bool {
        self.nodes.slot(&place.node, ip).is_none_or(|slot| slot.is_free(now)) && self.is_free_in_network(place, ip, now)
    }

    fn is_free_in_network(&self, place: &Place, ip: Ipv4Addr, now: Instant) -> bool {
        self.networks
            .slot(&place.network, ip)
            .is_none_or(|slot| slot.is_free(now))
    }

    /// Walks the whole range once, which only happens when nothing is free and the range is therefore full of entries.
    fn why_exhausted(&self, place: &Place, subnet: &Subnet, now: Instant) -> Exhausted {
        let hosts = || subnet.range().hosts().filter(|ip| *ip != subnet.gateway());
        let resting = hosts()
            .filter(|ip| {
                let slots = [
                    self.nodes.slot(&place.node, *ip),
                    self.networks.slot(&place.network, *ip),
                ];
                !slots.into_iter().flatten().any(|slot| slot.is_held(now))
            })
            .count();
        if hosts().any(|ip| self.is_free_in_network(place, ip, now)) {
            Exhausted::Node { resting }
        } else {
            Exhausted::Network { resting }
        }
    }

    fn hold(&mut self, holder: &Holder, place: &Place, ip: Ipv4Addr) {
        if self
            .holdings
            .get(holder)
            .is_some_and(|held| *held != (place.clone(), ip))
        {
            self.cancel(holder);
        }
        self.nodes.slot_mut(&place.node, ip).holders.insert(holder.clone());
        self.networks
            .slot_mut(&place.network, ip)
            .holders
            .insert(holder.clone());
        self.holdings.insert(holder.clone(), (place.clone(), ip));
    }

    fn remove(&mut self, holder: &Holder, rest_on_node: Option<Instant>, rest_in_network: Option<Instant>) {
        if let Some((place, ip)) = self.holdings.remove(holder) {
            self.nodes.remove(&place.node, ip, holder, rest_on_node);
            self.networks.remove(&place.network, ip, holder, rest_in_network);
        }
    }
}
