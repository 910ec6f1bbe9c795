//! The host ends of the pods' veth pairs.

use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;

use futures::TryStreamExt;
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo, LinkMessage};
use rtnetlink::{Handle, LinkUnspec, LinkVeth};
use tokio::sync::Mutex;

use super::{LinkError, PodInterface, connect, forgo_ipv6, is_host_name};

/// A host end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostLink {
    /// Index of the device.
    pub index: u32,
    /// The attachment that it was made for, written as its alias by [`HostLinks::configure`].
    pub alias: Option<String>,
    /// MTU in bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
}

/// Network devices of the namespace in which the daemon runs: the host's.
#[derive(Clone, Debug)]
pub struct HostLinks {
    handle: Handle,
    /// The kernel does one dump at a time on a socket and refuses a second one meanwhile.
    dump: Arc<Mutex<()>>,
}

impl HostLinks {
    /// Opens a netlink socket in the current namespace; a task serves it for as long as the handle lives.
    ///
    /// # Errors
    /// [`LinkError::Socket`].
    pub fn open() -> Result<Self, LinkError> {
        Ok(Self {
            handle: connect()?,
            dump: Arc::default(),
        })
    }

    /// Every host end there is, by name.
    ///
    /// # Errors
    /// When the kernel refuses the dump.
    pub async fn list(&self) -> Result<BTreeMap<String, HostLink>, LinkError> {
        let _one_at_a_time = self.dump.lock().await;
        let failed = LinkError::netlink("list", "network devices");
        let links: Vec<LinkMessage> = self.handle.link().get().execute().try_collect().await.map_err(failed)?;
        Ok(links.iter().filter_map(read).collect())
    }

    /// The host end of that name.
    ///
    /// # Errors
    /// When the kernel refuses; that there is none is `None`.
    pub async fn get(&self, name: &str) -> Result<Option<HostLink>, LinkError> {
        let mut links = self.handle.link().get().match_name(name.to_owned()).execute();
        match links.try_next().await.map_err(LinkError::netlink("look up", name)) {
            Ok(link) => Ok(link.as_ref().and_then(read).map(|(_, link)| link)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a veth pair: `name` here, the pod's interface, complete but for addresses, right in the namespace
    /// `pod_namespace`. One request, so that no half of a pair is ever visible in the wrong place.
    ///
    /// # Errors
    /// When the kernel refuses; [`LinkError::is_present`] if either name is taken.
    pub async fn create(
        &self,
        name: &str,
        interface: &PodInterface,
        pod_namespace: BorrowedFd<'_>,
    ) -> Result<(), LinkError> {
        let peer = LinkUnspec::new_with_name(&interface.name)
            .mtu(interface.mtu)
            .address(interface.mac.to_vec())
            .setns_by_fd(pod_namespace.as_raw_fd())
            .build();
        let pair = LinkVeth::new(name, &interface.name)
            .mtu(interface.mtu)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .build();
        self.handle
            .link()
            .add(pair)
            .execute()
            .await
            .map_err(LinkError::netlink("make the veth pair", name))
    }

    /// Readies a host end and sets it up: notes whose it is, and takes the host's own protocols off it, so that the
    /// host neither answers nor learns from what a pod sends (the firewall keeps out IP; ARP is switched off here).
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn configure(&self, name: &str, alias: &str) -> Result<(), LinkError> {
        let link = self
            .get(name)
            .await?
            .ok_or_else(|| LinkError::Missing(name.to_owned()))?;
        let quiet = LinkUnspec::new_with_index(link.index)
            .arp(false)
            .append_extra_attribute(LinkAttribute::IfAlias(alias.to_owned()))
            .build();
        self.handle
            .link()
            .set(quiet)
            .execute()
            .await
            .map_err(LinkError::netlink("configure", name))?;
        forgo_ipv6(&self.handle, link.index, name).await?;
        let up = LinkUnspec::new_with_index(link.index).up().build();
        self.handle
            .link()
            .set(up)
            .execute()
            .await
            .map_err(LinkError::netlink("set up", name))
    }

    /// Deletes a host end, and with it the pod's. That there is none is success.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn delete(&self, name: &str) -> Result<(), LinkError> {
        let Some(link) = self.get(name).await? else {
            return Ok(());
        };
        match self
            .handle
            .link()
            .del(link.index)
            .execute()
            .await
            .map_err(LinkError::netlink("delete", name))
        {
            Err(error) if !error.is_missing() => Err(error),
            _ => Ok(()),
        }
    }
}

/// Reads a host end; `None` for any other device.
fn read(message: &LinkMessage) -> Option<(String, HostLink)> {
    let (mut name, mut alias, mut mtu, mut veth) = (None, None, 0, false);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(value) => name = Some(value.clone()),
            LinkAttribute::IfAlias(value) => alias = Some(value.clone()),
            LinkAttribute::Mtu(value) => mtu = *value,
            LinkAttribute::LinkInfo(infos) => veth = infos.contains(&LinkInfo::Kind(InfoKind::Veth)),
            _ => {}
        }
    }
    let up = message.header.flags.contains(LinkFlags::Up);
    let name = name.filter(|name| veth && is_host_name(name))?;
    Some((
        name,
        HostLink {
            index: message.header.index,
            alias,
            mtu,
            up,
        },
    ))
}
