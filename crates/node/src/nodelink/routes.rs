//! Routes over the link: the aliases in the main table, pods' own addresses in a table of their own.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use futures::TryStreamExt;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope};
use rtnetlink::{Handle, RouteMessageBuilder};

use super::{ADDRESS, ALIASES, NEAR, TABLE};
use crate::link::LinkError;

/// Who made a route (`ip route` shows it as `proto 77`); 77 is not given out in linux/rtnetlink.h.
pub(crate) const PROTOCOL: RouteProtocol = RouteProtocol::Other(77);
/// The main table.
const MAIN: u32 = RouteHeader::RT_TABLE_MAIN as u32;

fn route(table: u32, near: u32, destination: Ipv4Addr, length: u8) -> RouteMessage {
    RouteMessageBuilder::<Ipv4Addr>::new()
        .table_id(table)
        .destination_prefix(destination, length)
        .output_interface(near)
        .pref_source(ADDRESS)
        .scope(RouteScope::Link)
        .protocol(PROTOCOL)
        .build()
}

/// The way to the aliases.
pub(super) async fn ensure_aliases(handle: &Handle, near: u32, done: &mut Vec<&'static str>) -> Result<(), LinkError> {
    let wanted = (ALIASES.addr(), ALIASES.prefix_len());
    if list(handle, MAIN)
        .await?
        .iter()
        .any(|r| is_over(r, near) && destination(r) == wanted)
    {
        return Ok(());
    }
    add(handle, NEAR, route(MAIN, near, wanted.0, wanted.1)).await?;
    done.push("routed the aliases");
    Ok(())
}

/// The way to one pod.
pub(super) async fn add_pod(handle: &Handle, near: u32, address: Ipv4Addr) -> Result<(), LinkError> {
    add(handle, NEAR, route(TABLE, near, address, 32)).await
}

/// Makes the pods' table hold `wanted` and nothing else; the number of changes.
pub(super) async fn set_pods(handle: &Handle, near: u32, wanted: &BTreeSet<Ipv4Addr>) -> Result<usize, LinkError> {
    let (mut held, mut changes) = (BTreeSet::new(), 0);
    for found in list(handle, TABLE).await? {
        let (address, length) = destination(&found);
        if is_over(&found, near) && length == 32 && wanted.contains(&address) {
            held.insert(address);
        } else {
            remove(handle, NEAR, found).await?;
            changes += 1;
        }
    }
    for address in wanted.difference(&held) {
        add_pod(handle, near, *address).await?;
        changes += 1;
    }
    Ok(changes)
}

/// Whether the pods' table leads to one pod.
pub(super) async fn has_pod(handle: &Handle, near: u32, address: Ipv4Addr) -> Result<bool, LinkError> {
    let routes = list(handle, TABLE).await?;
    Ok(routes
        .iter()
        .any(|found| is_over(found, near) && destination(found) == (address, 32)))
}

/// Adds a route over `device`, or puts it in the place of another to the same range.
pub(crate) async fn add(handle: &Handle, device: &str, route: RouteMessage) -> Result<(), LinkError> {
    let added = handle.route().add(route).replace().execute().await;
    added.map_err(LinkError::netlink("route over", device))
}

/// Removes a route over `device`. That there is none is success.
pub(crate) async fn remove(handle: &Handle, device: &str, route: RouteMessage) -> Result<(), LinkError> {
    let removed = handle.route().del(route).execute().await;
    match removed.map_err(LinkError::netlink("remove a route over", device)) {
        // It went with its device.
        Err(error) if !error.is_no_such() => Err(error),
        _ => Ok(()),
    }
}

/// The routes of a table.
pub(crate) async fn list(handle: &Handle, table: u32) -> Result<Vec<RouteMessage>, LinkError> {
    let routes = handle.route().get(RouteMessageBuilder::<Ipv4Addr>::new().build());
    let routes: Vec<RouteMessage> = routes
        .execute()
        .try_collect()
        .await
        .map_err(LinkError::netlink("list", "routes"))?;
    Ok(routes.into_iter().filter(|route| table_of(route) == table).collect())
}

fn table_of(route: &RouteMessage) -> u32 {
    let long = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    long.unwrap_or_else(|| u32::from(route.header.table))
}

/// Whether a route is as this module makes them.
fn is_over(route: &RouteMessage, near: u32) -> bool {
    let has = |attribute: &RouteAttribute| route.attributes.contains(attribute);
    has(&RouteAttribute::Oif(near)) && has(&RouteAttribute::PrefSource(RouteAddress::Inet(ADDRESS)))
}

/// Where a route leads to: address and prefix length.
pub(crate) fn destination(route: &RouteMessage) -> (Ipv4Addr, u8) {
    let address = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(*address),
        _ => None,
    });
    (
        address.unwrap_or(Ipv4Addr::UNSPECIFIED),
        route.header.destination_prefix_length,
    )
}
