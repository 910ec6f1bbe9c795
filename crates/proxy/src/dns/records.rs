//! What the server knows of namespaces, Services and endpoints, arranged by network.
//!
//! A look-up starts at the asker's network and can reach nothing else, but for the shared Services of the system network
//! that the configuration names. So another tenant's names are not refused: they are not there.

mod service;
mod view;

use std::collections::btree_map::Entry as BTreeEntry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;

use crate::dns::identity::NetworkId;

pub(crate) use service::{Entry, Kind, Port, dashed};
pub(crate) use view::{Pointer, Shared, View};

/// The label that names the Service of an EndpointSlice.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The records of all networks that have pods on this node, and of the system network.
///
/// Fed from watches in any order: a Service may come before its namespace, an EndpointSlice before its Service.
#[derive(Debug, Default)]
pub struct Store(RwLock<Inner>);

#[derive(Debug, Default)]
struct Inner {
    networks: HashMap<NetworkId, Network>,
    placed: HashMap<String, NetworkId>,
    /// Namespaces whose network nobody has named yet. No query reaches them.
    unplaced: HashMap<String, Namespace>,
}

#[derive(Debug)]
struct Network {
    name: Arc<str>,
    namespaces: HashMap<String, Namespace>,
}

#[derive(Debug, Default)]
struct Namespace {
    services: HashMap<String, Entry>,
    /// Names by address, and how many slices of the Service say so: a change costs as much as the slice that it is about.
    reverse: BTreeMap<(Ipv4Addr, Reverse), usize>,
    pods: HashSet<Ipv4Addr>,
}

/// What an address is called: a Service, or an endpoint of a headless Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Reverse {
    service: Arc<str>,
    hostname: Option<Arc<str>>,
}

impl Store {
    /// Says that `namespace` uses `network`, whose name (for metrics) is `network_name`.
    pub fn set_namespace(&self, namespace: &str, network: NetworkId, network_name: &str) {
        let mut inner = self.write();
        let content = inner.take(namespace);
        let network_entry = inner.networks.entry(network).or_insert_with(|| Network {
            name: network_name.into(),
            namespaces: HashMap::new(),
        });
        network_entry.namespaces.insert(namespace.to_owned(), content);
        inner.placed.insert(namespace.to_owned(), network);
    }

    /// Says that `namespace` is gone, or that its network has no pods on this node any more.
    pub fn remove_namespace(&self, namespace: &str) {
        let mut inner = self.write();
        let content = inner.take(namespace);
        if !content.is_empty() {
            inner.unplaced.insert(namespace.to_owned(), content);
        }
    }

    /// Adds or replaces a Service. One without a name or namespace is ignored.
    pub fn apply_service(&self, service: &Service) {
        let (Some(name), Some(namespace)) = (&service.metadata.name, &service.metadata.namespace) else {
            return;
        };
        let record = service::service(service);
        self.write()
            .change(namespace, name, None, |entry| entry.service = Some(record));
    }

    /// Removes a Service. Unknown ones are ignored.
    pub fn remove_service(&self, namespace: &str, name: &str) {
        self.write().change(namespace, name, None, |entry| entry.service = None);
    }

    /// Adds or replaces an EndpointSlice. One of IPv6 addresses, or of no Service, is ignored.
    pub fn apply_slice(&self, slice: &EndpointSlice) {
        let meta = &slice.metadata;
        let (Some(name), Some(namespace)) = (&meta.name, &meta.namespace) else {
            return;
        };
        let Some(owner) = meta.labels.as_ref().and_then(|labels| labels.get(SERVICE_NAME)) else {
            return;
        };
        if slice.address_type != "IPv4" {
            return;
        }
        let record = service::slice(slice);
        self.write().change(namespace, owner, Some(name), |entry| {
            entry.slices.insert(name.clone(), record);
        });
    }

    /// Removes the EndpointSlice `slice` of the Service `service`. Unknown ones are ignored.
    pub fn remove_slice(&self, namespace: &str, service: &str, slice: &str) {
        self.write().change(namespace, service, Some(slice), |entry| {
            entry.slices.remove(slice);
        });
    }

    /// Says that a pod of `namespace` has `address`, for names like `10-0-0-7.shop.pod.cluster.local`.
    pub fn set_pod(&self, namespace: &str, address: Ipv4Addr) {
        self.write().namespace(namespace).pods.insert(address);
    }

    /// Undoes [`Store::set_pod`].
    pub fn remove_pod(&self, namespace: &str, address: Ipv4Addr) {
        let mut inner = self.write();
        inner.namespace(namespace).pods.remove(&address);
        inner.tidy(namespace);
    }

    /// Whether [`Store::set_pod`] said so last.
    #[cfg(test)]
    pub(crate) fn has_pod(&self, namespace: &str, address: Ipv4Addr) -> bool {
        self.write().namespace(namespace).pods.contains(&address)
    }

    /// The name of a network, or nothing if no namespace uses it.
    pub(crate) fn network_name(&self, network: &NetworkId) -> Option<Arc<str>> {
        Some(Arc::clone(&self.read().networks.get(network)?.name))
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        // A panic while writing can at worst leave one Service half changed; going on is better than answering nothing.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Takes a namespace's content out, wherever it is, and forgets its place.
    fn take(&mut self, namespace: &str) -> Namespace {
        let Some(id) = self.placed.remove(namespace) else {
            return self.unplaced.remove(namespace).unwrap_or_default();
        };
        let Some(network) = self.networks.get_mut(&id) else {
            return Namespace::default();
        };
        let content = network.namespaces.remove(namespace).unwrap_or_default();
        if network.namespaces.is_empty() {
            self.networks.remove(&id);
        }
        content
    }

    fn namespace(&mut self, namespace: &str) -> &mut Namespace {
        let placed = self.placed.get(namespace);
        match placed.and_then(|id| self.networks.get_mut(id)) {
            Some(network) => network.namespaces.entry(namespace.to_owned()).or_default(),
            None => self.unplaced.entry(namespace.to_owned()).or_default(),
        }
    }

    fn change(&mut self, namespace: &str, service: &str, slice: Option<&str>, change: impl FnOnce(&mut Entry)) {
        self.namespace(namespace).change(service, slice, change);
        self.tidy(namespace);
    }

    /// Forgets a namespace that has no network and no content.
    fn tidy(&mut self, namespace: &str) {
        if self.unplaced.get(namespace).is_some_and(Namespace::is_empty) {
            self.unplaced.remove(namespace);
        }
    }
}

impl Namespace {
    fn is_empty(&self) -> bool {
        self.services.is_empty() && self.pods.is_empty()
    }

    /// Changes one Service, or only one `slice` of it, and keeps the reverse index true.
    fn change(&mut self, service: &str, slice: Option<&str>, change: impl FnOnce(&mut Entry)) {
        let entry = self.services.entry(service.to_owned()).or_default();
        let old = entry.addresses(slice);
        change(entry);
        let new = entry.addresses(slice);
        if entry.service.is_none() && entry.slices.is_empty() {
            self.services.remove(service);
        }
        let service: Arc<str> = service.into();
        let named = |(address, hostname)| {
            let service = Arc::clone(&service);
            (address, Reverse { service, hostname })
        };
        // First what is new, so that a name that stays is not removed in between.
        for name in new {
            *self.reverse.entry(named(name)).or_default() += 1;
        }
        for name in old {
            if let BTreeEntry::Occupied(mut count) = self.reverse.entry(named(name)) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
    }

    /// The names of an address in this namespace.
    fn names(&self, address: Ipv4Addr) -> impl Iterator<Item = &Reverse> {
        let first = Reverse {
            service: "".into(),
            hostname: None,
        };
        let names = self.reverse.range((address, first)..);
        names
            .map(|(name, _)| name)
            .take_while(move |(of, _)| *of == address)
            .map(|(_, name)| name)
    }
}
