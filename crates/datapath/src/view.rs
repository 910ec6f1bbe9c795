//! What the maps hold, for the person who asks.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::path::Path;

use crate::Error;
use crate::abi::{self, BackendKey, NetworkKey};
use crate::model::{Backend, Service, ServiceKey};
use crate::table::{Ranges, Table};

/// Read-only look at the services and ranges of the node. Unlike [`Services`](crate::Services) it may stand beside the writer.
#[derive(Debug)]
pub struct View {
    services: Table<abi::ServiceKey, abi::Service>,
    backends: Table<BackendKey, abi::Backend>,
    networks: Table<NetworkKey, abi::Network>,
    service_cidrs: Ranges,
    infrastructure: Ranges,
    permitted: Ranges,
}

impl View {
    /// Opens the maps pinned under `root` ([`crate::PIN_ROOT`]).
    ///
    /// # Errors
    /// [`Error::NotLoaded`] until kubestackd has loaded the datapath.
    pub fn open(root: &Path) -> Result<Self, Error> {
        Ok(Self {
            services: Table::open(root, "services")?,
            backends: Table::open(root, "backends")?,
            networks: Table::open(root, "networks")?,
            service_cidrs: Ranges::open(root, "service_cidrs")?,
            infrastructure: Ranges::open(root, "infrastructure")?,
            permitted: Ranges::open(root, "permitted")?,
        })
    }

    /// Whether all services of the network are in the maps; `None` if nothing is known of it.
    ///
    /// # Errors
    /// The kernel refuses to read.
    pub fn is_synced(&self, network: NetworkKey) -> Result<Option<bool>, Error> {
        Ok(self.networks.get(&network)?.map(|network| network.synced != 0))
    }

    /// The services of a network, in no order. An entry that is being written at this moment may miss backends.
    ///
    /// # Errors
    /// The kernel refuses to read.
    pub fn services(&self, network: NetworkKey) -> Result<HashMap<ServiceKey, Service>, Error> {
        let mut found = HashMap::new();
        for (key, value) in self.services.entries()? {
            let Some(key) = ServiceKey::from_abi(&key).filter(|key| key.network == network) else {
                continue;
            };
            let mut backends = Vec::new();
            for slot in 0..value.backends {
                let slot = BackendKey {
                    service: value.id,
                    slot,
                };
                backends.extend(self.backends.get(&slot)?.map(Backend::from));
            }
            let affinity = (value.affinity > 0).then(|| std::time::Duration::from_secs(value.affinity.into()));
            let host = value.flags & abi::SERVICE_HOST != 0;
            found.insert(
                key,
                Service {
                    backends,
                    affinity,
                    host,
                },
            );
        }
        Ok(found)
    }

    /// Whether the address is in a range of services.
    ///
    /// # Errors
    /// The kernel refuses to read.
    pub fn is_service_address(&self, address: Ipv4Addr) -> Result<bool, Error> {
        self.service_cidrs.contains(address)
    }

    /// Whether pods are kept from the address, because it is the infrastructure's and not permitted.
    ///
    /// # Errors
    /// The kernel refuses to read.
    pub fn is_refused(&self, address: Ipv4Addr) -> Result<bool, Error> {
        Ok(self.infrastructure.contains(address)? && !self.permitted.contains(address)?)
    }
}
