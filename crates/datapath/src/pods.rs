//! The maps that say which pod is behind a device.

use std::path::Path;

use crate::Error;
use crate::abi;
use crate::identities::Identity;
use crate::table::{Table, wire};

/// The only writer of `pods`, `aliases` and `addresses`: kubestackd.
#[derive(Debug)]
pub(crate) struct Pods {
    pods: Table<u32, abi::Pod>,
    aliases: Table<u32, u32>,
    addresses: Table<u32, u32>,
    usage: Table<u32, abi::Usage>,
    released: Table<u32, abi::Released>,
}

impl Pods {
    pub(crate) fn open(root: &Path) -> Result<Self, Error> {
        Ok(Self {
            pods: Table::open(root, "pods")?,
            aliases: Table::open(root, "aliases")?,
            addresses: Table::open(root, "addresses")?,
            usage: Table::open(root, "usage")?,
            released: Table::open(root, "released")?,
        })
    }

    /// Writes the pod's entries. Counts of a pod that is there already are kept.
    pub(crate) fn add(&self, identity: &Identity) -> Result<(), Error> {
        let kept = self.pods.get(&identity.ifindex)?;
        if kept.is_none_or(|kept| kept.uid != identity.uid) {
            let empty = abi::Bucket { last: 0, tokens: 0 };
            self.usage.set(
                &identity.ifindex,
                &abi::Usage {
                    added: 0,
                    affinities: 0,
                    buckets: [empty; abi::BUCKETS],
                },
            )?;
            self.released.set(&identity.ifindex, &abi::Released::default())?;
        }
        let traced = kept.map_or(0, |kept| kept.flags & abi::POD_TRACED);
        let mut pod = identity.to_abi();
        pod.flags |= traced;
        self.pods.set(&identity.ifindex, &pod)?;
        self.aliases.set(&wire(identity.alias), &identity.ifindex)?;
        self.addresses.set(&wire(identity.ip), &identity.ifindex)
    }

    /// Removes the entries of whatever is behind the device; an alias or address that leads to another device by now is left.
    pub(crate) fn remove(&self, ifindex: u32) -> Result<(), Error> {
        if let Some(pod) = self.pods.get(&ifindex)? {
            for (table, address) in [(&self.aliases, pod.alias), (&self.addresses, pod.ip)] {
                if table.get(&address)? == Some(ifindex) {
                    table.remove(&address)?;
                }
            }
        }
        self.pods.remove(&ifindex)?;
        self.usage.remove(&ifindex)?;
        self.released.remove(&ifindex)?;
        Ok(())
    }

    pub(crate) fn list(&self) -> Result<Vec<Identity>, Error> {
        Ok(self
            .pods
            .entries()?
            .iter()
            .map(|(ifindex, pod)| Identity::from_abi(*ifindex, pod))
            .collect())
    }
}
