//! The pod's end of its veth pair, reached through a netlink socket that the plugin opened in the pod's namespace.

#![expect(unsafe_code, reason = "netlink-sys takes an open socket only as a raw descriptor")]

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, FromRawFd, IntoRawFd, OwnedFd};

use futures::TryStreamExt;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use netlink_sys::TokioSocket;
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder};

use super::offload::disable_tx_checksum;
use super::{LinkError, PodInterface, forgo_ipv6};

/// Name of every namespace's loopback device.
const LOOPBACK: &str = "lo";

/// Network devices of a pod.
#[derive(Debug)]
pub struct PodLinks {
    handle: Handle,
    /// The same socket again, for what is no netlink request.
    socket: OwnedFd,
}

impl PodLinks {
    /// Takes over a NETLINK_ROUTE socket that was opened in the pod's namespace.
    ///
    /// # Errors
    /// [`LinkError::Socket`] when the descriptor is something else or cannot be used.
    pub fn new(socket: OwnedFd) -> Result<Self, LinkError> {
        let spare = socket.try_clone().map_err(LinkError::Socket)?;
        let family = rustix::net::sockopt::socket_domain(&socket).map_err(|e| LinkError::Socket(e.into()))?;
        if family != rustix::net::AddressFamily::NETLINK {
            return Err(LinkError::Socket(std::io::ErrorKind::InvalidInput.into()));
        }
        // SAFETY: the descriptor is open, a netlink socket, and owned by nobody else from here on.
        let socket = unsafe { TokioSocket::from_raw_fd(socket.into_raw_fd()) };
        let (connection, handle, _) = rtnetlink::from_socket(socket);
        tokio::spawn(connection);
        Ok(Self { handle, socket: spare })
    }

    /// Gives the interface its address and default route and sets it and loopback up.
    ///
    /// # Errors
    /// [`LinkError`] with the step that failed.
    pub async fn configure(&self, interface: &PodInterface) -> Result<(), LinkError> {
        self.set_up(self.index(LOOPBACK).await?, LOOPBACK).await?;
        let index = self.index(&interface.name).await?;
        forgo_ipv6(&self.handle, index, &interface.name).await?;
        self.set_up(index, &interface.name).await?;
        let address = interface.address;
        let add = self
            .handle
            .address()
            .add(index, IpAddr::V4(address.addr()), address.prefix_len());
        add.execute()
            .await
            .map_err(LinkError::netlink("give the pod's address to", &interface.name))?;
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .output_interface(index)
            .gateway(interface.gateway)
            .onlink()
            .build();
        let add = self.handle.route().add(route);
        add.execute()
            .await
            .map_err(LinkError::netlink("set the default route through", &interface.name))
    }

    /// Makes the pod compute its checksums itself, for the userspace datapath.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn disable_tx_checksum(&self, name: &str) -> Result<(), LinkError> {
        let failed = |source| LinkError::System {
            action: "switch off checksum offload of",
            device: name.into(),
            source,
        };
        disable_tx_checksum(self.socket.as_fd(), name).map_err(failed)
    }

    /// Says how the pod's side differs from `wanted`; nothing if it does not.
    ///
    /// # Errors
    /// When the kernel refuses to say.
    pub async fn differences(&self, wanted: &PodInterface) -> Result<Vec<String>, LinkError> {
        let Some(link) = self.link(&wanted.name).await? else {
            return Ok(vec![format!("the pod has no interface {}", wanted.name)]);
        };
        let addresses: Vec<AddressMessage> = self
            .handle
            .address()
            .get()
            .set_link_index_filter(link.header.index)
            .execute()
            .try_collect()
            .await
            .map_err(LinkError::netlink("list addresses of", &wanted.name))?;
        let routes: Vec<RouteMessage> = self
            .handle
            .route()
            .get(RouteMessageBuilder::<Ipv4Addr>::new().build())
            .execute()
            .try_collect()
            .await
            .map_err(LinkError::netlink("list routes of", &wanted.name))?;
        Ok(compare(wanted, &link, &addresses, &routes))
    }

    async fn link(&self, name: &str) -> Result<Option<LinkMessage>, LinkError> {
        let mut links = self.handle.link().get().match_name(name.to_owned()).execute();
        match links
            .try_next()
            .await
            .map_err(LinkError::netlink("look up the pod's", name))
        {
            Err(error) if error.is_missing() => Ok(None),
            other => other,
        }
    }

    async fn index(&self, name: &str) -> Result<u32, LinkError> {
        let link = self.link(name).await?;
        link.map(|link| link.header.index)
            .ok_or_else(|| LinkError::Missing(name.to_owned()))
    }

    async fn set_up(&self, index: u32, name: &str) -> Result<(), LinkError> {
        let up = LinkUnspec::new_with_index(index).up().build();
        self.handle
            .link()
            .set(up)
            .execute()
            .await
            .map_err(LinkError::netlink("set up the pod's", name))
    }
}

/// How a pod's interface differs from what it should be.
fn compare(
    wanted: &PodInterface,
    link: &LinkMessage,
    addresses: &[AddressMessage],
    routes: &[RouteMessage],
) -> Vec<String> {
    let mut differences = vec![];
    let mut expect = |holds: bool, what: String| {
        if !holds {
            differences.push(what);
        }
    };
    let name = &wanted.name;
    let has = |attribute: &LinkAttribute| link.attributes.contains(attribute);
    expect(link.header.flags.contains(LinkFlags::Up), format!("{name} is down"));
    expect(
        has(&LinkAttribute::Address(wanted.mac.to_vec())),
        format!("{name} has another MAC address"),
    );
    expect(
        has(&LinkAttribute::Mtu(wanted.mtu)),
        format!("the MTU of {name} is not {}", wanted.mtu),
    );
    let held = |message: &AddressMessage| {
        message.header.index == link.header.index
            && message.header.prefix_len == wanted.address.prefix_len()
            && message
                .attributes
                .contains(&AddressAttribute::Local(IpAddr::V4(wanted.address.addr())))
    };
    expect(
        addresses.iter().any(held),
        format!("{name} does not have the address {}", wanted.address),
    );
    let default = |message: &RouteMessage| {
        message.header.destination_prefix_length == 0
            && message.attributes.contains(&RouteAttribute::Oif(link.header.index))
            && message
                .attributes
                .contains(&RouteAttribute::Gateway(RouteAddress::Inet(wanted.gateway)))
    };
    expect(
        routes.iter().any(default),
        format!("the default route is not through {}", wanted.gateway),
    );
    differences
}
