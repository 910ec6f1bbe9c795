//! Routes over the node's own port, in a table of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteScope};
use rtnetlink::{Handle, RouteMessageBuilder};

use super::{DEVICE, TABLE};
use crate::link::{LinkError, PodInterface};
use crate::nodelink::routes::{PROTOCOL, add, destination, list, remove};

/// Ranges, each with the next hop; `None` for the network itself.
type Wanted = BTreeMap<(Ipv4Addr, u8), Option<Ipv4Addr>>;

/// Makes the table hold the system network and `services`, and nothing else.
pub(super) async fn ensure(
    handle: &Handle,
    index: u32,
    interface: &PodInterface,
    services: &BTreeSet<Ipv4Net>,
    done: &mut Vec<&'static str>,
) -> Result<(), LinkError> {
    let mut missing = wanted(interface, services);
    let before = done.len();
    for found in list(handle, TABLE).await? {
        let to = destination(&found);
        if missing.get(&to).is_some_and(|via| is(&found, index, interface, *via)) {
            missing.remove(&to);
        } else if !missing.contains_key(&to) {
            remove(handle, DEVICE, found).await?;
            done.push("removed a route");
        }
    }
    for ((network, length), via) in missing {
        add(handle, DEVICE, route(index, interface, network, length, via)).await?;
        done.push("added a route");
    }
    // One word for many.
    done.truncate(before + usize::from(done.len() > before));
    Ok(())
}

/// The ranges of Services that the table has ways to: those behind a router.
pub(super) async fn services(handle: &Handle) -> Result<BTreeSet<Ipv4Net>, LinkError> {
    let routes = list(handle, TABLE).await?;
    let behind = routes.iter().filter(|route| {
        route.header.protocol == PROTOCOL && route.attributes.iter().any(|a| matches!(a, RouteAttribute::Gateway(_)))
    });
    Ok(behind
        .map(destination)
        .filter_map(|(network, length)| Ipv4Net::new(network, length).ok())
        .collect())
}

fn wanted(interface: &PodInterface, services: &BTreeSet<Ipv4Net>) -> Wanted {
    let services = services
        .iter()
        .map(|range| ((range.network(), range.prefix_len()), Some(interface.gateway)));
    let network = interface.address.trunc();
    services
        .chain([((network.network(), network.prefix_len()), None)])
        .collect()
}

fn route(index: u32, interface: &PodInterface, network: Ipv4Addr, length: u8, via: Option<Ipv4Addr>) -> RouteMessage {
    let route = RouteMessageBuilder::<Ipv4Addr>::new()
        .table_id(TABLE)
        .destination_prefix(network, length)
        .output_interface(index)
        .pref_source(interface.address.addr())
        .protocol(PROTOCOL);
    match via {
        // The address on the device has no range, so the next hop has no route of its own.
        Some(gateway) => route.gateway(gateway).onlink().build(),
        None => route.scope(RouteScope::Link).build(),
    }
}

fn is(route: &RouteMessage, index: u32, interface: &PodInterface, via: Option<Ipv4Addr>) -> bool {
    let has = |attribute: &RouteAttribute| route.attributes.contains(attribute);
    let next_hop = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(gateway)) => Some(*gateway),
        _ => None,
    });
    has(&RouteAttribute::Oif(index))
        && has(&RouteAttribute::PrefSource(RouteAddress::Inet(
            interface.address.addr(),
        )))
        && next_hop == via
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_behind_the_gateway_and_the_network_is_not() {
        let interface = PodInterface {
            name: DEVICE.into(),
            mac: [2, 0, 0, 0, 0, 1],
            mtu: 1442,
            address: "10.240.3.7/16".parse().unwrap(),
            gateway: "10.240.0.1".parse().unwrap(),
        };
        let services = BTreeSet::from(["10.96.0.0/12".parse().unwrap(), "10.200.0.0/24".parse().unwrap()]);
        let gateway = Some(interface.gateway);
        let expected = [
            (("10.96.0.0".parse().unwrap(), 12), gateway),
            (("10.200.0.0".parse().unwrap(), 24), gateway),
            (("10.240.0.0".parse().unwrap(), 16), None),
        ];
        assert_eq!(wanted(&interface, &services), Wanted::from(expected));
        assert_eq!(wanted(&interface, &BTreeSet::new()).len(), 1);
    }
}
