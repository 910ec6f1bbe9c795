//! The key of a network.

use std::path::Path;

use ipnet::Ipv4Net;
use sha2::{Digest, Sha256};

use crate::Error;
use crate::abi::{self, NetworkKey};
use crate::table::{Ranges, Table};

impl NetworkKey {
    /// The network whose Network object is in `namespace`. Computed, not allocated, so that all daemons of a node agree without talking.
    pub fn of(namespace: &str) -> Self {
        let mut key = [0; 16];
        key.copy_from_slice(&Sha256::digest(namespace.as_bytes())[..16]);
        Self(key)
    }
}

impl std::fmt::Debug for NetworkKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Whether all services of the network are in the maps; false as well when stackube-proxy has not begun with it.
///
/// # Errors
/// The maps are not pinned at `root`, or the kernel refuses.
pub fn is_synced(root: &Path, network: NetworkKey) -> Result<bool, Error> {
    let networks: Table<NetworkKey, abi::Network> = Table::open(root, "networks")?;
    Ok(networks.get(&network)?.is_some_and(|network| network.synced != 0))
}

/// The ranges of services, as stackube-proxy has written them; none before it has.
///
/// # Errors
/// The maps are not pinned at `root`, or the kernel refuses.
pub fn service_ranges(root: &Path) -> Result<Vec<Ipv4Net>, Error> {
    Ranges::open(root, "service_cidrs")?.list()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_hash_of_the_namespace() {
        // printf demo | sha256sum
        assert_eq!(
            format!("{:?}", NetworkKey::of("demo")),
            "2a97516c354b68848cdbd8f54a226a0a"
        );
        assert_ne!(NetworkKey::of("demo"), NetworkKey::of("demo2"));
    }
}
