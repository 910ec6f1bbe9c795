//! Services of the networks on this node, in the maps.

mod slots;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use ipnet::Ipv4Net;

use crate::Error;
use crate::abi::{self, BackendKey, NetworkKey};
use crate::model::{Backend, Protocol, Service, ServiceKey};
use crate::table::{Ranges, Table};

/// The only writer of `services`, `backends`, `networks` and `service_cidrs`: stackube-proxy. It holds what the maps hold, so that nothing
/// is written twice; opening it reads the maps back, so that a new process goes on where the last one ended and no flow notices.
#[derive(Debug)]
pub struct Services {
    services: Table<abi::ServiceKey, abi::Service>,
    backends: Table<BackendKey, abi::Backend>,
    networks: Table<NetworkKey, abi::Network>,
    service_cidrs: Ranges,
    held: HashMap<ServiceKey, Held>,
    next_id: u32,
    generation: u32,
}

#[derive(Debug)]
struct Held {
    id: u32,
    service: Service,
    /// Whether the maps have it as this version writes it: not if a write has failed, or a process of another version has written.
    whole: bool,
}

/// Flags and weight of a service in the maps.
fn kind(key: ServiceKey, service: &Service) -> (u16, u16) {
    if !service.host {
        return (0, 1);
    }
    // Endpoints of Services are never link-local (Kubernetes refuses them), so this is the node itself.
    let on_link = !service.backends.is_empty() && service.backends.iter().all(|backend| backend.ip().is_link_local());
    let is_dns = key.protocol == Protocol::Udp && key.port.to_be() == abi::DNS_PORT && on_link;
    if is_dns {
        (abi::SERVICE_HOST | abi::SERVICE_DNS, 1)
    } else {
        (abi::SERVICE_HOST, abi::HOST_WEIGHT)
    }
}

impl Services {
    /// Opens the maps pinned under `root` ([`crate::PIN_ROOT`]), reads them back, and removes what a crash left in between.
    ///
    /// # Errors
    /// [`Error::NotLoaded`] until kubestackd has loaded the datapath.
    pub fn open(root: &Path) -> Result<Self, Error> {
        let mut opened = Self {
            services: Table::open(root, "services")?,
            backends: Table::open(root, "backends")?,
            networks: Table::open(root, "networks")?,
            service_cidrs: Ranges::open(root, "service_cidrs")?,
            held: HashMap::new(),
            next_id: 1,
            // Begins elsewhere in every process, so that a flow of a service that was removed and made again is not taken for checked.
            generation: clock_milliseconds(),
        };
        opened.read_back()?;
        Ok(opened)
    }

    fn read_back(&mut self) -> Result<(), Error> {
        let backends: HashMap<BackendKey, abi::Backend> = self.backends.entries()?.into_iter().collect();
        let mut used = HashSet::new();
        for (key, value) in self.services.entries()? {
            let slots = (0..value.backends).map(|slot| BackendKey {
                service: value.id,
                slot,
            });
            let found: Vec<Backend> = slots
                .clone()
                .filter_map(|slot| backends.get(&slot).copied().map(Backend::from))
                .collect();
            let complete = found.len() == value.backends as usize;
            let Some(known) = ServiceKey::from_abi(&key).filter(|_| complete) else {
                self.services.remove(&key)?;
                continue;
            };
            used.extend(slots);
            self.next_id = self.next_id.max(value.id.wrapping_add(1));
            let service = Service {
                backends: found,
                affinity: (value.affinity > 0).then(|| std::time::Duration::from_secs(value.affinity.into())),
                host: value.flags & abi::SERVICE_HOST != 0,
            };
            let whole = (value.flags, value.weight) == kind(known, &service);
            let id = value.id;
            self.held.insert(known, Held { id, service, whole });
        }
        for key in backends.keys().filter(|key| !used.contains(key)) {
            self.backends.remove(key)?;
        }
        Ok(())
    }

    /// Makes `key` lead to `service`. New connections find either the old backends or the new, never none; backends that stay keep their
    /// clients. Does nothing if it is so already.
    ///
    /// # Errors
    /// The kernel refuses a write, for one because a map is full. The call can be repeated.
    pub fn upsert(&mut self, key: ServiceKey, service: &Service) -> Result<(), Error> {
        let old = self.held.remove(&key);
        let (id, before) = match old {
            Some(held) if held.whole && slots::same(&held.service, service) => {
                self.held.insert(key, held);
                return Ok(());
            }
            Some(held) => (held.id, held.service.backends),
            None => (self.take_id(), Vec::new()),
        };
        let after = slots::arrange(&before, &service.backends);
        let written = self.write(key, id, &before, &after, service);
        let whole = written.is_ok();
        // What is not written whole is remembered as nothing: the next call writes every slot again, and knows which id to use.
        let backends = if whole { after } else { Vec::new() };
        self.held.insert(
            key,
            Held {
                id,
                service: Service {
                    backends,
                    ..service.clone()
                },
                whole,
            },
        );
        written
    }

    fn write(
        &mut self,
        key: ServiceKey,
        id: u32,
        before: &[Backend],
        after: &[Backend],
        service: &Service,
    ) -> Result<(), Error> {
        for (slot, backend) in (0..).zip(after) {
            if before.get(slot as usize) != Some(backend) {
                self.backends
                    .set(&BackendKey { service: id, slot }, &(*backend).into())?;
            }
        }
        self.generation = self.generation.wrapping_add(1);
        let count = u32::try_from(after.len()).unwrap_or(u32::MAX);
        let (flags, weight) = kind(key, service);
        let value = abi::Service {
            id,
            backends: count,
            flags,
            weight,
            affinity: service
                .affinity
                .map_or(0, |time| u32::try_from(time.as_secs()).unwrap_or(u32::MAX)),
            generation: self.generation,
        };
        self.services.set(&key.into(), &value)?;
        for slot in count..u32::try_from(before.len()).unwrap_or(u32::MAX) {
            self.backends.remove(&BackendKey { service: id, slot })?;
        }
        Ok(())
    }

    /// Removes `key`; whether it was there. Its connections go on, new ones are refused.
    ///
    /// # Errors
    /// The kernel refuses a write. The call can be repeated.
    pub fn remove(&mut self, key: ServiceKey) -> Result<bool, Error> {
        let Some(held) = self.held.get(&key) else {
            return Ok(false);
        };
        self.services.remove(&key.into())?;
        for slot in 0..u32::try_from(held.service.backends.len()).unwrap_or(u32::MAX) {
            self.backends.remove(&BackendKey { service: held.id, slot })?;
        }
        self.held.remove(&key);
        Ok(true)
    }

    /// Says whether all services of a network are in the maps. From then on, addresses without service are refused instead of dropped.
    ///
    /// # Errors
    /// The kernel refuses a write.
    pub fn set_synced(&mut self, network: NetworkKey, synced: bool) -> Result<(), Error> {
        let now = self.networks.get(&network)?;
        if now.is_some_and(|now| (now.synced != 0) == synced) {
            return Ok(());
        }
        let generation = now.map_or(0, |now| now.generation).wrapping_add(1);
        self.networks.set(
            &network,
            &abi::Network {
                synced: synced.into(),
                generation,
            },
        )
    }

    /// Removes a network with all its services: no pod of it is left on the node.
    ///
    /// # Errors
    /// The kernel refuses a write. The call can be repeated.
    pub fn forget(&mut self, network: NetworkKey) -> Result<(), Error> {
        self.networks.remove(&network)?;
        let keys: Vec<ServiceKey> = self.held.keys().filter(|key| key.network == network).copied().collect();
        keys.into_iter().try_for_each(|key| self.remove(key).map(drop))
    }

    /// The networks that have an entry, and whether they are synced.
    ///
    /// # Errors
    /// The kernel refuses to read.
    pub fn networks(&self) -> Result<HashMap<NetworkKey, bool>, Error> {
        Ok(self
            .networks
            .entries()?
            .into_iter()
            .map(|(key, network)| (key, network.synced != 0))
            .collect())
    }

    /// What the maps hold.
    pub fn iter(&self) -> impl Iterator<Item = (&ServiceKey, &Service)> {
        self.held.iter().map(|(key, held)| (key, &held.service))
    }

    /// What the maps hold for one port of a service.
    pub fn get(&self, key: &ServiceKey) -> Option<&Service> {
        self.held.get(key).map(|held| &held.service)
    }

    /// Sets the ranges that services' addresses come from: an address of them that is no service is refused, never passed on.
    ///
    /// # Errors
    /// The kernel refuses a write; at most 64 ranges fit.
    pub fn set_service_cidrs(&self, ranges: &[Ipv4Net]) -> Result<(), Error> {
        self.service_cidrs.replace(ranges)
    }

    fn take_id(&mut self) -> u32 {
        let id = self.next_id;
        self.next_id = self.next_id.wrapping_add(1).max(1);
        id
    }
}

/// Milliseconds of the monotonic clock, cut to 32 bits.
fn clock_milliseconds() -> u32 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let milliseconds = now.tv_sec.wrapping_mul(1000).wrapping_add(now.tv_nsec / 1_000_000);
    u32::try_from(milliseconds & 0xffff_ffff).unwrap_or(0)
}
