//! The transactions that plug in and unplug. Each is all or nothing in the database.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::plan::Removal;
use super::record::{
    ADDRESS, ATTACHED_MAC, CONTAINER, IFACE_ID, IFACE_STATUS, INTERFACE, POD_NAME, POD_NAMESPACE, POD_UID,
};
use crate::ovsdb::{Operation, Uuid, map, named, uuid_set};
use crate::ports::Assignment;
use crate::protocol::{Attachment, PodRef};

/// Puts `device` on the bridge for the attachment, and takes off what `removals` names.
///
/// It goes through only if then nothing else on the node has the logical port (OVN ignores a second device with the
/// same `iface-id`) and nobody else's sandbox the address, whatever happened since the plan was made.
pub fn plug(
    bridge: &str,
    device: &str,
    attachment: &Attachment,
    pod: &PodRef,
    assignment: &Assignment,
    removals: &[Removal],
) -> Vec<Operation> {
    let address = assignment.address.addr().to_string();
    let notes = BTreeMap::from([
        (IFACE_ID, assignment.port_id.clone()),
        (ATTACHED_MAC, assignment.mac_text()),
        (IFACE_STATUS, "active".to_owned()),
        (CONTAINER, attachment.container_id.clone()),
        (INTERFACE, attachment.ifname.clone()),
        (POD_UID, pod.uid.clone()),
        (POD_NAMESPACE, pod.namespace.clone()),
        (POD_NAME, pod.name.clone()),
        (ADDRESS, address.clone()),
    ]);
    let mut operations = unplug(
        bridge,
        removals,
        &format!("kubestack: plug in pod {}/{}", pod.namespace, pod.name),
    );
    operations.extend([
        nobody_else(IFACE_ID, &assignment.port_id, removals),
        nobody_else(ADDRESS, &address, removals),
        Operation::Insert {
            table: "Interface",
            row: row([("name", json!(device)), ("external_ids", map(&notes))]),
            uuid_name: "interface",
        },
        Operation::Insert {
            table: "Port",
            row: row([("name", json!(device)), ("interfaces", named("interface"))]),
            uuid_name: "port",
        },
        change_ports(bridge, "insert", named("port")),
    ]);
    operations
}

/// Takes devices off the bridge. Their rows in tables Port and Interface go with that.
pub fn unplug(bridge: &str, removals: &[Removal], comment: &str) -> Vec<Operation> {
    let ports: Vec<Uuid> = removals.iter().map(|removal| removal.port.clone()).collect();
    vec![
        Operation::Comment {
            comment: comment.to_owned(),
        },
        Operation::require(
            "Bridge",
            vec![json!(["name", "==", bridge])],
            vec!["name"],
            vec![json!({"name": bridge})],
        ),
        change_ports(bridge, "delete", uuid_set(&ports)),
    ]
}

fn change_ports(bridge: &str, mutator: &str, ports: Value) -> Operation {
    Operation::Mutate {
        table: "Bridge",
        r#where: vec![json!(["name", "==", bridge])],
        mutations: vec![json!(["ports", mutator, ports])],
    }
}

/// Requires that no Interface but those to be removed has the note. (Those are still in their table at this point of
/// the transaction: the database drops unreferenced rows when it commits.)
fn nobody_else(key: &'static str, value: &str, removals: &[Removal]) -> Operation {
    let mut conditions = vec![json!([
        "external_ids",
        "includes",
        map(&BTreeMap::from([(key, value.to_owned())]))
    ])];
    conditions.extend(removals.iter().map(|removal| json!(["_uuid", "!=", removal.interface])));
    Operation::require("Interface", conditions, vec!["name"], vec![])
}

fn row<const N: usize>(columns: [(&str, Value); N]) -> Map<String, Value> {
    columns
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}
