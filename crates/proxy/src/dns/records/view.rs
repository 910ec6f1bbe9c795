//! What one client can see.

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::RwLockReadGuard;

use super::{Entry, Inner, Kind, Network, Store};
use crate::dns::identity::{Client, NetworkId};
use crate::dns::message::RECORDS_MAX;

/// Services of the system network that every network sees, by namespace and name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared {
    pub(crate) system: NetworkId,
    pub(crate) services: HashMap<String, HashSet<String>>,
}

/// The records that exist for one client. Holds the store's lock: short use only.
pub(crate) struct View<'a> {
    inner: RwLockReadGuard<'a, Inner>,
    shared: &'a Shared,
    client: Client,
}

/// An address's name, relative to the zone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pointer {
    pub(crate) hostname: Option<String>,
    pub(crate) service: String,
    pub(crate) namespace: String,
}

impl Store {
    pub(crate) fn view<'a>(&'a self, client: Client, shared: &'a Shared) -> View<'a> {
        View {
            inner: self.read(),
            shared,
            client,
        }
    }
}

impl View<'_> {
    fn network(&self) -> Option<&Network> {
        self.inner.networks.get(&self.client.network)
    }

    /// True if the namespace exists for this client, be it only because of a shared Service in it.
    pub(crate) fn has_namespace(&self, namespace: &str) -> bool {
        self.own_namespace(namespace) || {
            let names = self.shared.services.get(namespace);
            names.is_some_and(|names| names.iter().any(|name| self.shared(namespace, name).is_some()))
        }
    }

    /// True if the namespace uses the client's network.
    pub(crate) fn own_namespace(&self, namespace: &str) -> bool {
        self.network()
            .is_some_and(|network| network.namespaces.contains_key(namespace))
    }

    /// A Service that exists for this client.
    pub(crate) fn service(&self, namespace: &str, name: &str) -> Option<&Entry> {
        let own = self.network().and_then(|network| {
            let namespace = network.namespaces.get(namespace)?;
            namespace.services.get(name)
        });
        own.filter(|entry| entry.kind().is_some())
            .or_else(|| self.shared(namespace, name))
    }

    /// A shared Service. Endpoints are not reachable from outside their network, so a headless Service cannot be shared.
    fn shared(&self, namespace: &str, name: &str) -> Option<&Entry> {
        self.shared.services.get(namespace)?.get(name)?;
        let system = self.inner.networks.get(&self.shared.system)?;
        let entry = system.namespaces.get(namespace)?.services.get(name)?;
        matches!(entry.kind(), Some(Kind::Cluster(_) | Kind::External(_))).then_some(entry)
    }

    /// True if a pod of the client's own `namespace` has `address`.
    pub(crate) fn has_pod(&self, namespace: &str, address: Ipv4Addr) -> bool {
        let network = self.network();
        let content = network.and_then(|network| network.namespaces.get(namespace));
        content.is_some_and(|content| {
            address == self.client.address
                || content.pods.contains(&address)
                || content.names(address).any(|name| name.hostname.is_some())
        })
    }

    /// The names of an address, sorted; as many as a reply can hold.
    pub(crate) fn reverse(&self, address: Ipv4Addr) -> Vec<Pointer> {
        let own = self.network().into_iter().flat_map(|network| &network.namespaces);
        let mut found: Vec<_> = own
            .flat_map(|(namespace, content)| {
                content.names(address).map(|name| Pointer {
                    hostname: name.hostname.as_deref().map(str::to_owned),
                    service: (*name.service).to_owned(),
                    namespace: namespace.clone(),
                })
            })
            .take(RECORDS_MAX)
            .collect();
        for (namespace, names) in &self.shared.services {
            for name in names {
                let kind = self.shared(namespace, name).and_then(Entry::kind);
                if kind == Some(&Kind::Cluster(address)) {
                    found.push(Pointer {
                        hostname: None,
                        service: name.clone(),
                        namespace: namespace.clone(),
                    });
                }
            }
        }
        found.sort();
        found.dedup();
        found
    }
}
