//! How many connections Open vSwitch tracks for the node's own port.
//!
//! Each zone of connection tracking may have as many as the operator permits a pod. The zone of this port has those of all
//! pods of the node to shared Services, and the node's own: it gets a limit of its own. ovn-controller chooses the zone when
//! the port is bound, may choose another later, and gives the old one to a pod; so the limit has to follow.

use std::collections::BTreeMap;

use stackube_datapath::Limits;
use stackube_datapath::abi::NODE_SHARE;

use crate::ovsdb::{Ovsdb, OvsdbError, Zone, Zones};

/// Note at a limit that is of this module: the logical port that it was for.
const NOTE: &str = "stackube-own-port";
/// Entries of the flow table for one connection.
const ENTRIES: u64 = 2;
/// A connection that has ended counts for a minute in the flow table, and up to two in Open vSwitch (TIME_WAIT of the kernel's
/// datapath): there may be as many again that the flow table has forgotten.
const LINGERING: u64 = 2;

/// What the zone may have: all connections for which the port has room in the flow table.
fn limit() -> u64 {
    u64::from(Limits::default().flows) * NODE_SHARE / ENTRIES * LINGERING
}

/// Gives the zone of `port`, the logical port of the node's own port as far as that is known, its limit, and takes the limit
/// from zones that are another port's or nobody's. Says the zone that it gave a limit, if it had to.
///
/// # Errors
/// When the database does not answer.
pub(crate) async fn ensure(ovsdb: &Ovsdb, bridge: &str, port: Option<&str>) -> Result<Option<u16>, OvsdbError> {
    let Some(zones) = Zones::read(ovsdb, bridge).await? else {
        return Ok(None);
    };
    let (stale, missing) = (stale(&zones, port), missing(&zones, port));
    let zone = port.map(zone_of);
    let operations = zones.change(&stale, missing.zip(zone.as_ref()));
    if !operations.is_empty() {
        ovsdb.transact(&operations).await?;
    }
    Ok(missing)
}

fn zone_of(port: &str) -> Zone {
    Zone {
        limit: Some(limit()),
        external_ids: BTreeMap::from([(NOTE.to_owned(), port.to_owned())]),
    }
}

/// Zones with a limit of this module that are not as they should be.
fn stale(zones: &Zones, port: Option<&str>) -> Vec<u16> {
    let is_right = |number: u16, zone: &Zone, of: &str| {
        zones.ports.get(of) == Some(&number) && zone.limit == Some(limit()) && port.is_none_or(|port| port == of)
    };
    let noted = zones
        .special
        .iter()
        .filter_map(|(number, zone)| Some((*number, zone, zone.external_ids.get(NOTE)?)));
    noted
        .filter(|(number, zone, of)| !is_right(*number, zone, of))
        .map(|(number, ..)| number)
        .collect()
}

/// The zone of `port` if it has to get its limit. One that somebody else has set stays.
fn missing(zones: &Zones, port: Option<&str>) -> Option<u16> {
    let number = *zones.ports.get(port?)?;
    let is_there = zones.special.contains_key(&number) && !stale(zones, port).contains(&number);
    (!is_there).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ovsdb::Uuid;

    /// As many pods as Kubernetes recommends for a node.
    const PODS: u64 = 110;
    /// What the role `openvswitch` permits a zone.
    const OF_A_POD: u64 = 12_288;
    /// What the userspace datapath tracks at most; the role gives the kernel's more.
    const TABLE: u64 = 3_000_000;

    fn zones(ports: &[(&str, u16)], special: &[(u16, Zone)]) -> Zones {
        Zones {
            datapath: Uuid("d".into()),
            ports: ports.iter().map(|(port, zone)| ((*port).to_owned(), *zone)).collect(),
            special: special.iter().cloned().collect(),
        }
    }

    fn decided(zones: &Zones, port: Option<&str>) -> (Vec<u16>, Option<u16>) {
        (stale(zones, port), missing(zones, port))
    }

    #[test]
    fn the_pods_of_a_node_fit_in_and_leave_room_to_the_node_and_in_the_table() {
        let connections = u64::from(Limits::default().flows) / ENTRIES / u64::from(stackube_datapath::abi::HOST_WEIGHT);
        assert_eq!((connections, limit()), (1024, 262_144));
        assert!(PODS * connections * LINGERING <= limit() * 7 / 8);
        assert!(PODS * OF_A_POD + limit() <= TABLE * 5 / 9);
    }

    #[test]
    fn the_limit_follows_the_zone_of_the_port() {
        let plain = Zone {
            limit: Some(5),
            ..Zone::default()
        };
        let wrong = Zone {
            limit: Some(5),
            ..zone_of("own")
        };
        let own = Some("own");
        for (what, ports, special, port, expected) in [
            ("no zone yet", vec![], vec![], own, (vec![], None)),
            ("new", vec![("own", 3)], vec![], own, (vec![], Some(3))),
            ("good", vec![("own", 3)], vec![(3, zone_of("own"))], own, (vec![], None)),
            (
                "another number",
                vec![("own", 4)],
                vec![(3, zone_of("own"))],
                own,
                (vec![3], Some(4)),
            ),
            (
                "another limit",
                vec![("own", 3)],
                vec![(3, wrong)],
                own,
                (vec![3], Some(3)),
            ),
            ("somebody's", vec![("own", 3)], vec![(3, plain)], own, (vec![], None)),
            (
                "not known",
                vec![("own", 3)],
                vec![(3, zone_of("own"))],
                None,
                (vec![], None),
            ),
            (
                "a pod's by now",
                vec![("pod", 3)],
                vec![(3, zone_of("own"))],
                None,
                (vec![3], None),
            ),
            (
                "another port",
                vec![("own", 3), ("old", 2)],
                vec![(2, zone_of("old"))],
                own,
                (vec![2], Some(3)),
            ),
        ] {
            assert_eq!(decided(&zones(&ports, &special), port), expected, "{what}");
        }
    }
}
