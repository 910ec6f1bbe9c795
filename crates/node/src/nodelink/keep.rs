//! Hears of changes to the host's network, so that the link can be put back at once.

use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc::UnboundedReceiver;
use netlink_packet_core::NetlinkMessage;
use netlink_packet_route::RouteNetlinkMessage;
use netlink_sys::SocketAddr;
use rtnetlink::MulticastGroup;
use tokio::time::timeout;
use tracing::info;

/// Longest time that a change which was not announced stays unnoticed.
const INTERVAL: Duration = Duration::from_secs(15);
/// Shortest time between two looks: every pod that comes or goes changes devices too.
const PAUSE: Duration = Duration::from_millis(500);
/// What the link is made of.
const GROUPS: [MulticastGroup; 4] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv4Rule,
];

/// Announcements of the kernel. Without them there is still a look every [`INTERVAL`].
#[derive(Debug)]
pub struct Changes(Option<UnboundedReceiver<(NetlinkMessage<RouteNetlinkMessage>, SocketAddr)>>);

impl Changes {
    /// Subscribes in the current namespace.
    pub fn subscribe() -> Self {
        match rtnetlink::new_multicast_connection(&GROUPS) {
            Ok((connection, _, messages)) => {
                tokio::spawn(connection);
                Self(Some(messages))
            }
            Err(error) => {
                info!(%error, "changes of network devices and routes are not announced here");
                Self(None)
            }
        }
    }

    /// Waits for the next reason to look at the link.
    pub async fn next(&mut self) {
        let Some(messages) = &mut self.0 else {
            return tokio::time::sleep(INTERVAL).await;
        };
        if matches!(timeout(INTERVAL, messages.next()).await, Ok(None)) {
            // The socket has failed.
            self.0 = None;
            return;
        }
        tokio::time::sleep(PAUSE).await;
        while let Ok(Some(_)) = timeout(Duration::ZERO, messages.next()).await {}
    }
}
