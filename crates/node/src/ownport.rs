//! The node's own port: the node is plugged into the system network like one more pod, so that the API server, host
//! processes and hostNetwork pods reach what runs there on any node, by pod address and by ClusterIP.
//!
//! It is a pod's veth pair with the pod's programs on the end that is in Open vSwitch. The other end, [`DEVICE`], stays in
//! the node's own namespace. What is routed over it is [`TABLE`], the range of the system network and those of Services:
//! only what the node itself sends is sent to that table, and only if the main table has no route as specific of its own.
//! So nothing that was there before is shadowed, and nothing is forwarded but for shared Services, if there are any: what
//! pods send to those comes by the node's link, from their aliases, and leaves here with the node's address. The firewall
//! keeps out whatever the node has not begun itself or passed on so.

pub mod keep;
mod routes;
mod rules;
pub(crate) mod zone;

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::sync::Arc;

use ipnet::Ipv4Net;
use rtnetlink::Handle;
use rustix::net::{AddressFamily, SocketType, socket};
use tokio::sync::Mutex;

use crate::link::{LinkError, PodInterface, connect, offload};
use crate::nodelink::devices::{self, Shape};
use crate::ports::Assignment;
use crate::protocol::Attachment;

/// The node's end.
pub const DEVICE: &str = "stackube-sys";
/// Routing table of what is reached by it.
pub const TABLE: u32 = 78;
/// Stands for a container. No runtime can name one so (CNI specification 1.1, "CNI_CONTAINERID").
const CONTAINER: &str = "(node)";

/// The attachment under which the port is plugged in.
pub fn attachment() -> Attachment {
    Attachment {
        container_id: CONTAINER.to_owned(),
        ifname: DEVICE.to_owned(),
    }
}

/// Whether an attachment is the node's own port.
pub fn is_own(attachment: &Attachment) -> bool {
    attachment.container_id == CONTAINER
}

/// The node's end, and the routes over it.
#[derive(Clone, Debug)]
pub struct OwnPort {
    handle: Handle,
    /// One look or change at a time: the kernel does one dump at a time on a socket and refuses a second meanwhile.
    turn: Arc<Mutex<()>>,
}

impl OwnPort {
    /// Opens a netlink socket in the current namespace; a task serves it for as long as the handle lives.
    ///
    /// # Errors
    /// [`LinkError::Socket`].
    pub fn open() -> Result<Self, LinkError> {
        Ok(Self {
            handle: connect()?,
            turn: Arc::default(),
        })
    }

    /// The node's end as the veth pair is made.
    pub fn interface(assignment: &Assignment) -> PodInterface {
        assignment.interface(DEVICE)
    }

    /// Whether the node's end is there.
    ///
    /// # Errors
    /// When the kernel refuses to say.
    pub async fn exists(&self) -> Result<bool, LinkError> {
        let _turn = self.turn.lock().await;
        match devices::index(&self.handle, DEVICE).await {
            Ok(_) => Ok(true),
            Err(error) if error.is_missing() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The ranges of Services that the node sends there.
    ///
    /// # Errors
    /// When the kernel refuses to say.
    pub async fn services(&self) -> Result<BTreeSet<Ipv4Net>, LinkError> {
        let _turn = self.turn.lock().await;
        routes::services(&self.handle).await
    }

    /// Makes the node compute the checksums of what it sends there itself, for the userspace datapath.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn disable_tx_checksum(&self) -> Result<(), LinkError> {
        let done = socket(AddressFamily::INET, SocketType::DGRAM, None)
            .and_then(|socket| offload::disable_tx_checksum(socket.as_fd(), DEVICE));
        done.map_err(|source| LinkError::System {
            action: "switch off checksum offload of",
            device: DEVICE.to_owned(),
            source,
        })
    }

    /// Makes the node's end, which has to be there, and the ways to the system network and to `services` over it as they
    /// should be, and says what it had to do: nothing, usually. `shares` is whether pods are let through to `services`, as
    /// far as their programs send them here.
    ///
    /// # Errors
    /// When the kernel refuses, or the device is missing.
    pub async fn ensure(
        &self,
        interface: &PodInterface,
        services: &BTreeSet<Ipv4Net>,
        shares: bool,
    ) -> Result<Vec<&'static str>, LinkError> {
        let _turn = self.turn.lock().await;
        let mut done = vec![];
        let shape = Shape {
            mac: interface.mac,
            mtu: interface.mtu,
            arp: true,
        };
        let end = devices::ensure_end(&self.handle, DEVICE, &shape, &mut done).await?;
        devices::ensure_address(&self.handle, DEVICE, end.index, interface.address.addr(), &mut done).await?;
        routes::ensure(&self.handle, end.index, interface, services, &mut done).await?;
        let mut ranges = services.clone();
        ranges.insert(interface.address.trunc());
        let none = BTreeSet::new();
        let shared = if shares { services } else { &none };
        rules::ensure(&self.handle, &ranges, shared, &mut done).await?;
        Ok(done)
    }

    /// Sends nothing there any more; the routes go with the device.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub async fn clear(&self) -> Result<(), LinkError> {
        let _turn = self.turn.lock().await;
        let none = BTreeSet::new();
        rules::ensure(&self.handle, &none, &none, &mut vec![]).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{host_name, is_host_name};

    #[test]
    fn the_attachment_has_a_device_of_a_pods_kind_and_no_runtimes_name() {
        let own = attachment();
        assert!(is_own(&own) && is_host_name(&host_name(&own)));
        assert!(
            !CONTAINER.starts_with(|c: char| c.is_ascii_alphanumeric()),
            "a runtime could name it"
        );
        assert!(!is_host_name(DEVICE) && DEVICE.len() <= 15);
    }
}
