//! What pods may not reach through their router: what the Nodes' status says of every node, every address of this one, and what the operator
//! names. Addresses of other nodes that no status has are up to the operator.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use ipnet::Ipv4Net;
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::api::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{self, watcher};
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::Handle;
use stackube_daemon::chain;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::Datapath;
use crate::link::LinkError;
use crate::ownport;

/// How often nodes' addresses are compared.
const INTERVAL: Duration = Duration::from_secs(3);
/// Never anything of a tenant: this host, and link-local (the node's link, metadata services of clouds).
const ALWAYS: [Ipv4Net; 2] = [
    Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(169, 254, 0, 0), 16),
];

/// A list of ranges and addresses, separated by white space or commas, as an operator writes it; what follows a range
/// on its line is a remark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(pub Vec<Ipv4Net>);

impl FromStr for Ranges {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let entries = text
            .lines()
            .flat_map(|line| line.split(','))
            .map(str::trim)
            .filter(|e| !e.is_empty());
        let read = |entry: &str| {
            let range = entry.split_whitespace().next().unwrap_or_default();
            let parsed = range
                .parse()
                .or_else(|_| range.parse().map(|address: Ipv4Addr| Ipv4Net::from(address)));
            parsed.map_err(|_| format!("{range:?} is neither an IPv4 range like 10.0.0.0/8 nor an address"))
        };
        entries.map(read).collect::<Result<_, _>>().map(Self)
    }
}

/// Keeps the programs' ranges right until `stop`. `written` is cancelled when they are for the first time.
pub async fn keep(
    datapath: Datapath,
    client: Client,
    refused: Ranges,
    permitted: Ranges,
    written: CancellationToken,
    stop: CancellationToken,
) {
    let (store, writer) = reflector::store::<Node>();
    let nodes = reflector::reflector(writer, watcher(Api::<Node>::all(client), watcher::Config::default()))
        .default_backoff()
        .for_each(async |event| {
            if let Err(error) = event {
                warn!(error = %chain(&error), "cannot watch the nodes' addresses");
            }
        });
    let ranges = keep_ranges(datapath, store, refused.0, permitted.0, written);
    tokio::select! {
        () = stop.cancelled() => {}
        () = nodes => {}
        () = ranges => {}
    }
}

async fn keep_ranges(
    datapath: Datapath,
    nodes: Store<Node>,
    refused: Vec<Ipv4Net>,
    permitted: Vec<Ipv4Net>,
    written: CancellationToken,
) {
    // Until the nodes are known, what an earlier daemon wrote is better than this node's addresses alone.
    if nodes.wait_until_ready().await.is_err() {
        return;
    }
    let mut last = BTreeSet::new();
    loop {
        let mut wanted: BTreeSet<Ipv4Net> = ALWAYS.into_iter().chain(refused.iter().copied()).collect();
        wanted.extend(nodes.state().iter().flat_map(|node| addresses(node)).map(Ipv4Net::from));
        match own().await {
            Ok(own) => wanted.extend(own),
            Err(error) => {
                warn!(error = %chain(&error), "cannot list this node's addresses");
                wanted.extend(last.iter().copied());
            }
        }
        if last != wanted {
            match datapath
                .set_ranges(wanted.iter().copied().collect(), permitted.clone())
                .await
            {
                Ok(()) => {
                    info!(
                        ranges = wanted.len(),
                        "pods are kept from the infrastructure's addresses"
                    );
                    written.cancel();
                    last = wanted;
                }
                Err(error) => warn!(error = %chain(&error), "cannot keep pods from the infrastructure's addresses"),
            }
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Addresses in a Node's status.
fn addresses(node: &Node) -> Vec<Ipv4Addr> {
    let addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    addresses.filter_map(|address| address.address.parse().ok()).collect()
}

/// Every address of this host but that of the node's own port; those of bridges and tunnels are among them.
async fn own() -> Result<Vec<Ipv4Net>, LinkError> {
    let (connection, handle, _) = rtnetlink::new_connection().map_err(LinkError::Socket)?;
    let task = tokio::spawn(connection);
    let listed = list(&handle).await;
    task.abort();
    listed
}

async fn list(handle: &Handle) -> Result<Vec<Ipv4Net>, LinkError> {
    let messages: Vec<AddressMessage> = handle
        .address()
        .get()
        .execute()
        .try_collect()
        .await
        .map_err(LinkError::netlink("list addresses of", "this host"))?;
    // But for the node's own port: its neighbours on the system network have to answer it. The firewall keeps them, and
    // everybody else, from beginning anything there.
    let of_own_port = AddressAttribute::Label(ownport::DEVICE.to_owned());
    let local = messages
        .iter()
        .filter(|message| !message.attributes.contains(&of_own_port))
        .flat_map(|message| &message.attributes)
        .filter_map(|attribute| match attribute {
            AddressAttribute::Local(IpAddr::V4(address)) => Some(Ipv4Net::from(*address)),
            _ => None,
        });
    Ok(local.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_people_write_them() {
        let read = |text: &str| text.parse::<Ranges>().map(|ranges| ranges.0);
        let range = |text: &str| text.parse::<Ipv4Net>().unwrap();
        assert_eq!(read(""), Ok(vec![]));
        let two = vec![range("10.0.0.0/8"), range("192.0.2.7/32")];
        for text in ["10.0.0.0/8, 192.0.2.7", "10.0.0.0/8 the hosts\n192.0.2.7 Keystone\n"] {
            assert_eq!(read(text), Ok(two.clone()), "{text}");
        }
        for text in ["10.0.0.0/33", "keystone.example.org", "2001:db8::/32"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
