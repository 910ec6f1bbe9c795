//! The host's firewall around the pods' veth pairs: nothing passes between a pod and the host's own IP stack, but for
//! what the node's link is for.
//!
//! A pod's frames belong to Open vSwitch. But a host end is also a network device of the host, and with the userspace
//! datapath the host sees a copy of every frame: a pod could send to its MAC address and have the node route for it,
//! past its security group and into other networks. Nothing may enter or leave there.
//!
//! One nftables table of its own, in whose chains everything of a device `sk*` is dropped: on arrival before routing,
//! connection tracking and address translation (which covers what is for the host and what it would forward), on the
//! way out after all of them, and in between once more. Rules of others cannot undo a drop. ARP is switched off on the
//! devices themselves, and they have no address of either family.
//!
//! On the link ([`crate::nodelink`]) only this passes: kubelet's probes, by the mark of its sockets; questions to the
//! node's DNS server and their answers; connections of pods to the API servers, and of the system network's to Services
//! whose endpoints are nodes, which leave a node with its own address; and answers to all of that. The programs at the
//! link's ends see to the same from the pods' side.
//!
//! By the node's own port ([`crate::ownport`]) the node begins what it likes, but for what kubelet's mark would send
//! elsewhere, and nobody begins anything with the node; neither there nor, by the port's address, anywhere else. Where
//! Services are shared, what pods send by the link may go out there, and answers back.
//!
//! The table is written by netlink, so that the image needs neither `nft` nor its libraries, and watched: whoever
//! flushes the ruleset gets it back within a second. It stays when the daemon goes, as the pods do.

mod expressions;
mod messages;
mod ruleset;
mod socket;

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use netlink_sys::{AsyncSocket, AsyncSocketExt, SocketAddr, TokioSocket, protocols::NETLINK_NETFILTER};
use stackube_daemon::chain;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use self::ruleset::{Known, TABLE, wanted};
use self::socket::NftSocket;
use crate::api_servers::ApiServers;
use crate::metrics::Metrics;
use crate::ownport::keep::Addresses;

/// `NFNLGRP_NFTABLES` of linux/netfilter/nfnetlink.h: every change of a ruleset.
const GROUP_NFTABLES: u32 = 7;
/// Longest time that a change which was not announced stays unnoticed.
const INTERVAL: Duration = Duration::from_secs(15);
/// Shortest time between two looks, so that busy rulesets of others cost little.
const PAUSE: Duration = Duration::from_millis(500);

/// The firewall could not be read or written.
#[derive(Debug, Error)]
pub enum FirewallError {
    /// The netlink socket failed.
    #[error("nftables: the netlink socket failed while it was to {action}")]
    Socket {
        /// What was to be done.
        action: &'static str,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// The kernel refused.
    #[error("nftables: the kernel refused to {action}")]
    Refused {
        /// What was to be done.
        action: &'static str,
        /// The kernel's reason.
        #[source]
        source: std::io::Error,
    },
    /// The kernel's answer makes no sense.
    #[error("nftables: the kernel's answer cannot be read")]
    Unreadable(#[source] netlink_packet_core::DecodeError),
}

/// What [`ensure`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The table was as it should be.
    Same,
    /// It was as it should have been before the addresses changed of API servers or of the node's own port.
    Updated,
    /// It was missing or changed.
    Restored,
}

/// What the table depends on. `None` is what nobody knows (yet): what the table has of it stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Where the API servers are.
    pub api_servers: Option<BTreeSet<SocketAddrV4>>,
    /// The addresses of the node's own port.
    pub own: Option<BTreeSet<Ipv4Addr>>,
    /// Whether pods use Services by it.
    pub shares: Option<bool>,
}

/// Held while the table is read and written, so that nobody writes what another has just changed.
static TURN: Mutex<()> = Mutex::new(());

/// Puts the table there, if it is not there as it should be.
///
/// # Errors
/// [`FirewallError`]; the table is as it was then.
pub fn ensure(facts: &Facts) -> Result<Outcome, FirewallError> {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let socket = NftSocket::open()?;
    let found = socket.read(TABLE)?;
    let known = found.as_ref().map(ruleset::known).unwrap_or_default();
    let wanted = wanted(&Known {
        api_servers: facts.api_servers.clone().unwrap_or_else(|| known.api_servers.clone()),
        own: facts.own.clone().unwrap_or_else(|| known.own.clone()),
        shares: facts.shares.unwrap_or(known.shares),
    });
    if found == Some(wanted.as_found()) {
        return Ok(Outcome::Same);
    }
    socket.replace(&wanted)?;
    Ok(if found == Some(ruleset::wanted(&known).as_found()) {
        Outcome::Updated
    } else {
        Outcome::Restored
    })
}

/// Keeps the table there until `stop`.
pub async fn keep(
    metrics: Metrics,
    mut api_servers: watch::Receiver<ApiServers>,
    mut own: watch::Receiver<Addresses>,
    shares: bool,
    stop: CancellationToken,
) {
    let mut announcements = subscribe();
    loop {
        let look = async {
            match &mut announcements {
                Some(socket) => {
                    // Whatever comes, an overrun included, is a reason to look.
                    let _ = timeout(INTERVAL, socket.recv_from_full()).await;
                    tokio::time::sleep(PAUSE).await;
                    while timeout(Duration::ZERO, socket.recv_from_full())
                        .await
                        .is_ok_and(|r| r.is_ok())
                    {}
                }
                None => tokio::time::sleep(INTERVAL).await,
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = look => {}
            Ok(()) = api_servers.changed() => {}
            Ok(()) = own.changed() => {}
        }
        let facts = Facts {
            api_servers: api_servers.borrow_and_update().clone(),
            own: own.borrow_and_update().clone(),
            shares: Some(shares),
        };
        match tokio::task::spawn_blocking(move || ensure(&facts)).await {
            Ok(Ok(Outcome::Same)) | Err(_) => {}
            Ok(Ok(Outcome::Updated)) => {
                info!("the firewall follows the addresses of API servers and of the node's own port");
            }
            Ok(Ok(Outcome::Restored)) => {
                metrics.firewall_restored();
                warn!("somebody had removed or changed Stackube's nftables table: it is back");
            }
            Ok(Err(error)) => warn!(error = %chain(&error), "cannot look after the firewall"),
        }
    }
}

/// A socket that hears of changes. Without it the firewall is still looked at every [`INTERVAL`].
fn subscribe() -> Option<TokioSocket> {
    let open = || {
        let mut socket = TokioSocket::new(NETLINK_NETFILTER)?;
        socket.socket_mut().bind(&SocketAddr::new(0, 0))?;
        socket.socket_mut().add_membership(GROUP_NFTABLES)?;
        Ok::<_, std::io::Error>(socket)
    };
    open()
        .inspect_err(|error| info!(%error, "changes of nftables rules are not announced here"))
        .ok()
}
