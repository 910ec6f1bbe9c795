//! Network devices: the veth pair of a pod, its end on the host ([`HostLinks`]) and its end in the pod ([`PodLinks`]).

mod host;
mod name;
pub(crate) mod offload;
mod pod;

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use netlink_packet_route::link::{AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute};
use rtnetlink::{Handle, LinkUnspec};
use thiserror::Error;

pub use host::{HostLink, HostLinks};
pub use name::{HOST_PREFIX, host_name, is_host_name};
pub use pod::PodLinks;

/// A request to the kernel failed.
#[derive(Debug, Error)]
pub enum LinkError {
    /// No netlink socket.
    #[error("cannot open a netlink socket")]
    Socket(#[source] std::io::Error),
    /// The kernel refused.
    #[error("cannot {action} {device}")]
    Netlink {
        /// What was to be done.
        action: &'static str,
        /// With which device.
        device: String,
        /// What the kernel said.
        #[source]
        source: rtnetlink::Error,
    },
    /// A system call other than netlink failed.
    #[error("cannot {action} {device}")]
    System {
        /// What was to be done.
        action: &'static str,
        /// With which device.
        device: String,
        /// What the kernel said.
        #[source]
        source: rustix::io::Errno,
    },
    /// A device of another kind has a name that is ours.
    #[error("device {0} is not a veth: something else made it; rename or remove it")]
    Foreign(String),
    /// The device is not there.
    #[error("there is no device {0}")]
    Missing(String),
}

/// Opens a netlink socket in the current namespace; a task serves it for as long as the handle lives.
///
/// # Errors
/// [`LinkError::Socket`].
pub(crate) fn connect() -> Result<Handle, LinkError> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(LinkError::Socket)?;
    tokio::spawn(connection);
    Ok(handle)
}

impl LinkError {
    pub(crate) fn netlink(action: &'static str, device: &str) -> impl FnOnce(rtnetlink::Error) -> Self {
        let device = device.to_owned();
        move |source| Self::Netlink { action, device, source }
    }

    /// The kernel's error number, positive, if it was the kernel who refused.
    fn errno(&self) -> Option<i32> {
        match self {
            Self::Netlink {
                source: rtnetlink::Error::NetlinkError(message),
                ..
            } => message.code.map(|c| c.get().saturating_neg()),
            _ => None,
        }
    }

    /// Whether the device or its namespace has gone.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_)) || self.errno() == Some(rustix::io::Errno::NODEV.raw_os_error())
    }

    /// Whether what was to be removed has gone.
    pub(crate) fn is_no_such(&self) -> bool {
        let gone = [
            rustix::io::Errno::SRCH,
            rustix::io::Errno::NOENT,
            rustix::io::Errno::NODEV,
        ];
        gone.iter().any(|errno| self.errno() == Some(errno.raw_os_error()))
    }

    /// Whether something of that name is there already.
    pub fn is_present(&self) -> bool {
        self.errno() == Some(rustix::io::Errno::EXIST.raw_os_error())
    }
}

/// What a pod's interface has to look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodInterface {
    /// Name in the pod, `eth0` with Kubernetes.
    pub name: String,
    /// MAC address.
    pub mac: [u8; 6],
    /// MTU in bytes, of both ends.
    pub mtu: u32,
    /// Address with the prefix length of the subnet.
    pub address: Ipv4Net,
    /// Next hop of the default route, an address of the subnet.
    pub gateway: Ipv4Addr,
}

/// Keeps the kernel from giving a device an IPv6 address of its own: only IPv4 is supported. Unlike the sysctl
/// `disable_ipv6` this needs no writable /proc/sys.
pub(crate) async fn forgo_ipv6(handle: &Handle, index: u32, name: &str) -> Result<(), LinkError> {
    let mode = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
    let request = LinkUnspec::new_with_index(index)
        .append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![mode])]))
        .build();
    let set = handle.link().set(request).execute().await;
    match set.map_err(LinkError::netlink("keep IPv6 addresses from", name)) {
        // No IPv6 in this kernel, or not on a device with so small an MTU.
        Err(error) if error.errno() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error()) => Ok(()),
        other => other,
    }
}
