//! The node's link to its pods: a veth pair whose near end `stackube0` is an ordinary device of the host, and whose far
//! end `stackube1` is where eBPF programs take over.
//!
//! Two kinds of traffic use it, and nothing else may: kubelet's probes of the pods of this node, and what pods send to
//! the node's DNS server and to the API server. A pod's own address never enters the host's main routing table, since
//! tenants choose their ranges: probes find it in table [`TABLE`], which only kubelet's marked sockets are sent to, and
//! what a pod sends arrives from the pod's *alias*, an address of [`ALIASES`] that this node gives out.
//!
//! Neither end speaks ARP: every frame carries the MAC address of the near end, and the programs write the real one.

pub(crate) mod devices;
pub mod keep;
pub(crate) mod routes;
pub(crate) mod rules;

use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;
use rtnetlink::Handle;
use tokio::sync::Mutex;

use crate::link::{LinkError, connect};

pub use devices::{End, Ends};

/// The host's end.
pub const NEAR: &str = "stackube0";
/// The end that the programs are attached to.
pub const FAR: &str = "stackube1";
/// The node's address on the link: what probes come from, and where DNS is served. Every node has the same.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 77, 1);
/// Where pods' aliases are taken from, by each node for itself: the two halves below.
pub const ALIASES: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 128, 0), 17);
/// Those of tenants' pods.
pub const TENANT_ALIASES: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 128, 0), 18);
/// Those of the system network: the node itself and the administrator's pods, for which Services may lead to nodes.
pub const SYSTEM_ALIASES: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 192, 0), 18);
/// Mark of kubelet's sockets.
pub const MARK: u32 = 0x77;
/// Routing table of the pods' own addresses.
pub const TABLE: u32 = 77;

/// The link, and the routes over it.
#[derive(Clone, Debug)]
pub struct NodeLink {
    handle: Handle,
    /// One look or change at a time: the kernel does one dump at a time on a socket and refuses a second meanwhile.
    turn: Arc<Mutex<()>>,
}

impl NodeLink {
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

    /// Makes the link as it should be, whatever there is, and says what it had to do: nothing, usually.
    ///
    /// # Errors
    /// When the kernel refuses, or a device of another kind has one of the names.
    pub async fn ensure(&self) -> Result<(Ends, Vec<&'static str>), LinkError> {
        let _turn = self.turn.lock().await;
        let mut done = vec![];
        let ends = devices::ensure(&self.handle, &mut done).await?;
        routes::ensure_aliases(&self.handle, ends.near.index, &mut done).await?;
        rules::ensure(&self.handle, &mut done).await?;
        Ok((ends, done))
    }

    /// Lets probes find a pod. Repeats safely.
    ///
    /// # Errors
    /// When the kernel refuses, or there is no link.
    pub async fn add_pod(&self, address: Ipv4Addr) -> Result<(), LinkError> {
        let _turn = self.turn.lock().await;
        let near = devices::index(&self.handle, NEAR).await?;
        routes::add_pod(&self.handle, near, address).await
    }

    /// Makes table [`TABLE`] hold the pods of `wanted` and no others, and says how many routes it changed. `wanted` is
    /// called when nobody else can be changing routes.
    ///
    /// # Errors
    /// When the kernel refuses, or what `wanted` fails with.
    pub async fn set_pods<E: From<LinkError>>(
        &self,
        wanted: impl AsyncFnOnce() -> Result<std::collections::BTreeSet<Ipv4Addr>, E>,
    ) -> Result<usize, E> {
        let _turn = self.turn.lock().await;
        let wanted = wanted().await?;
        let near = devices::index(&self.handle, NEAR).await?;
        Ok(routes::set_pods(&self.handle, near, &wanted).await?)
    }

    /// Whether probes can find a pod.
    ///
    /// # Errors
    /// When the kernel refuses to say.
    pub async fn has_pod(&self, address: Ipv4Addr) -> Result<bool, LinkError> {
        let _turn = self.turn.lock().await;
        let near = devices::index(&self.handle, NEAR).await?;
        routes::has_pod(&self.handle, near, address).await
    }
}
