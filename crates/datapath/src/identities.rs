//! Who is behind an address.

use std::net::Ipv4Addr;
use std::path::Path;

use crate::Error;
use crate::abi::{self, NetworkKey};
use crate::table::{Table, address, wire};

/// A pod of this node, as kubestackd wrote it before the pod could send anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// Index of the host-side veth.
    pub ifindex: u32,
    /// The pod's network.
    pub network: NetworkKey,
    /// UID of the pod.
    pub uid: [u8; 16],
    /// The pod's address, unique on the node.
    pub ip: Ipv4Addr,
    /// The router's address in the pod's subnet.
    pub gateway: Ipv4Addr,
    /// The pod's address on the host link, 169.254.128.0/17.
    pub alias: Ipv4Addr,
    /// The pod's MAC address.
    pub mac: [u8; 6],
    /// Whether it is the node itself, by its own port, which may have more flows than a pod.
    pub is_node: bool,
}

impl Identity {
    pub(crate) fn to_abi(&self) -> abi::Pod {
        abi::Pod {
            network: self.network,
            uid: self.uid,
            ip: wire(self.ip),
            gateway: wire(self.gateway),
            alias: wire(self.alias),
            flags: if self.is_node { abi::POD_NODE } else { 0 },
            mac: self.mac,
            pad: [0; 2],
        }
    }

    pub(crate) fn from_abi(ifindex: u32, pod: &abi::Pod) -> Self {
        Self {
            ifindex,
            network: pod.network,
            uid: pod.uid,
            ip: address(pod.ip),
            gateway: address(pod.gateway),
            alias: address(pod.alias),
            mac: pod.mac,
            is_node: pod.flags & abi::POD_NODE != 0,
        }
    }
}

/// Read-only view of the pods of this node.
#[derive(Debug)]
pub struct Identities {
    pods: Table<u32, abi::Pod>,
    aliases: Table<u32, u32>,
    addresses: Table<u32, u32>,
}

impl Identities {
    /// Opens the maps pinned under `root` ([`crate::PIN_ROOT`]).
    ///
    /// # Errors
    /// [`Error::NotLoaded`] until kubestackd has loaded the datapath.
    pub fn open(root: &Path) -> Result<Self, Error> {
        Ok(Self {
            pods: Table::open(root, "pods")?,
            aliases: Table::open(root, "aliases")?,
            addresses: Table::open(root, "addresses")?,
        })
    }

    /// The pod that sends from `alias` on the host link.
    ///
    /// # Errors
    /// The kernel refuses to read the maps.
    pub fn by_alias(&self, alias: Ipv4Addr) -> Result<Option<Identity>, Error> {
        let found = self.follow(&self.aliases, alias)?;
        // Between two writes of kubestackd an entry may lead to a device that has another pod.
        Ok(found.filter(|identity| identity.alias == alias))
    }

    /// The pod that has `ip`.
    ///
    /// # Errors
    /// The kernel refuses to read the maps.
    pub fn by_address(&self, ip: Ipv4Addr) -> Result<Option<Identity>, Error> {
        let found = self.follow(&self.addresses, ip)?;
        Ok(found.filter(|identity| identity.ip == ip))
    }

    /// All pods.
    ///
    /// # Errors
    /// The kernel refuses to read the maps.
    pub fn list(&self) -> Result<Vec<Identity>, Error> {
        Ok(self
            .pods
            .entries()?
            .iter()
            .map(|(ifindex, pod)| Identity::from_abi(*ifindex, pod))
            .collect())
    }

    fn follow(&self, index: &Table<u32, u32>, address: Ipv4Addr) -> Result<Option<Identity>, Error> {
        let Some(ifindex) = index.get(&wire(address))? else {
            return Ok(None);
        };
        Ok(self.pods.get(&ifindex)?.map(|pod| Identity::from_abi(ifindex, &pod)))
    }
}
