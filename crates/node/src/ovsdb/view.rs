//! What the daemon sees of the Open_vSwitch database: four tables, a few columns each, kept up to date by a monitor
//! (RFC 7047 sections 4.1.5 and 4.1.6; schema: ovs-vswitchd.conf.db(5)).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::{Map, Value, json};
use thiserror::Error;

use super::operation::Uuid;

/// The database did not send what its schema promises.
#[derive(Debug, Error)]
#[error("Open_vSwitch database: column {column} of table {table} is {value}")]
pub struct ViewError {
    table: &'static str,
    column: &'static str,
    value: Value,
}

/// Row of table Interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Name of the network device.
    pub name: String,
    /// Notes of other programs, among them `iface-id` and `ovn-installed`.
    pub external_ids: BTreeMap<String, String>,
    /// OpenFlow port; -1 when the device could not be opened, absent until ovs-vswitchd has looked.
    pub ofport: Option<i64>,
    /// Why the device could not be opened.
    pub error: Option<String>,
}

/// Row of table Port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Port {
    /// Interfaces of the port: one, unless it is a bond.
    pub interfaces: BTreeSet<Uuid>,
}

/// Row of table Bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bridge {
    /// Name.
    pub name: String,
    /// `netdev` is the userspace datapath; `system` or nothing the kernel's.
    pub datapath_type: String,
    /// Ports on the bridge.
    pub ports: BTreeSet<Uuid>,
}

/// One state of the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Table Interface.
    pub interfaces: BTreeMap<Uuid, Arc<Interface>>,
    /// Table Port.
    pub ports: BTreeMap<Uuid, Arc<Port>>,
    /// Table Bridge.
    pub bridges: BTreeMap<Uuid, Arc<Bridge>>,
    /// `external_ids` of the only row of table Open_vSwitch.
    pub external_ids: Arc<BTreeMap<String, String>>,
}

impl View {
    /// The `monitor` request that [`View::apply`] understands the answers to.
    pub(super) fn monitor_request() -> Value {
        json!({
            "Interface": [{"columns": ["name", "external_ids", "ofport", "error"]}],
            "Port": [{"columns": ["interfaces"]}],
            "Bridge": [{"columns": ["name", "datapath_type", "ports"]}],
            "Open_vSwitch": [{"columns": ["external_ids"]}],
        })
    }

    /// The bridge with that name.
    pub fn bridge(&self, name: &str) -> Option<&Bridge> {
        self.bridges.values().find(|b| b.name == name).map(Arc::as_ref)
    }

    /// Interfaces on a bridge, each with the Port row that holds it.
    pub fn on_bridge<'v>(&'v self, bridge: &'v Bridge) -> impl Iterator<Item = (&'v Uuid, &'v Uuid, &'v Interface)> {
        bridge
            .ports
            .iter()
            .filter_map(|id| self.ports.get(id).map(|p| (id, p)))
            .flat_map(move |(port_id, port)| {
                port.interfaces
                    .iter()
                    .filter_map(move |id| self.interfaces.get(id).map(|i| (port_id, id, i.as_ref())))
            })
    }

    /// Takes in table-updates: the first dump or the difference to the state before.
    pub(super) fn apply(&mut self, updates: &Value) -> Result<(), ViewError> {
        for (table, rows) in updates.as_object().into_iter().flatten() {
            for (uuid, update) in rows.as_object().into_iter().flatten() {
                let new = update.get("new").and_then(Value::as_object);
                let uuid = Uuid(uuid.clone());
                match table.as_str() {
                    "Interface" => replace(&mut self.interfaces, uuid, new.map(interface).transpose()?),
                    "Port" => replace(&mut self.ports, uuid, new.map(port).transpose()?),
                    "Bridge" => replace(&mut self.bridges, uuid, new.map(bridge).transpose()?),
                    "Open_vSwitch" => {
                        let row = new
                            .map(|row| Column("Open_vSwitch", row).strings("external_ids"))
                            .transpose()?;
                        self.external_ids = Arc::new(row.unwrap_or_default());
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

fn replace<T>(table: &mut BTreeMap<Uuid, Arc<T>>, uuid: Uuid, row: Option<T>) {
    match row {
        Some(row) => table.insert(uuid, Arc::new(row)),
        None => table.remove(&uuid),
    };
}

fn interface(row: &Map<String, Value>) -> Result<Interface, ViewError> {
    let row = Column("Interface", row);
    Ok(Interface {
        name: row.string("name")?,
        external_ids: row.strings("external_ids")?,
        ofport: row.optional("ofport", Value::as_i64)?,
        error: row.optional("error", |v| v.as_str().map(str::to_owned))?,
    })
}

fn port(row: &Map<String, Value>) -> Result<Port, ViewError> {
    Ok(Port {
        interfaces: Column("Port", row).references("interfaces")?,
    })
}

fn bridge(row: &Map<String, Value>) -> Result<Bridge, ViewError> {
    let row = Column("Bridge", row);
    Ok(Bridge {
        name: row.string("name")?,
        datapath_type: row.string("datapath_type")?,
        ports: row.references("ports")?,
    })
}

/// Typed access to the columns of one row (RFC 7047 section 5.1: a set of one element may stand as the element alone).
pub(super) struct Column<'r>(pub(super) &'static str, pub(super) &'r Map<String, Value>);

impl Column<'_> {
    fn wrong(&self, column: &'static str) -> ViewError {
        ViewError {
            table: self.0,
            column,
            value: self.1.get(column).cloned().unwrap_or(Value::Null),
        }
    }

    pub(super) fn string(&self, column: &'static str) -> Result<String, ViewError> {
        self.1
            .get(column)
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| self.wrong(column))
    }

    fn set(&self, column: &'static str) -> Result<Vec<&Value>, ViewError> {
        let value = self.1.get(column).ok_or_else(|| self.wrong(column))?;
        Ok(match tagged(value, "set") {
            Some(elements) => elements.as_array().ok_or_else(|| self.wrong(column))?.iter().collect(),
            None => vec![value],
        })
    }

    pub(super) fn optional<T>(
        &self,
        column: &'static str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<Option<T>, ViewError> {
        match self.set(column)?.first() {
            None => Ok(None),
            Some(value) => read(value).map(Some).ok_or_else(|| self.wrong(column)),
        }
    }

    fn references(&self, column: &'static str) -> Result<BTreeSet<Uuid>, ViewError> {
        self.set(column)?
            .into_iter()
            .map(|v| reference(v).ok_or_else(|| self.wrong(column)))
            .collect()
    }

    pub(super) fn uuid(&self) -> Result<Uuid, ViewError> {
        const COLUMN: &str = "_uuid";
        self.1.get(COLUMN).and_then(reference).ok_or_else(|| self.wrong(COLUMN))
    }

    pub(super) fn strings(&self, column: &'static str) -> Result<BTreeMap<String, String>, ViewError> {
        self.map(column, text, text)
    }

    pub(super) fn map<K: Ord, V>(
        &self,
        column: &'static str,
        key: impl Fn(&Value) -> Option<K>,
        value: impl Fn(&Value) -> Option<V>,
    ) -> Result<BTreeMap<K, V>, ViewError> {
        let entries = self
            .1
            .get(column)
            .and_then(|v| tagged(v, "map"))
            .and_then(Value::as_array);
        let pair = |e: &Value| Some((key(e.get(0)?)?, value(e.get(1)?)?));
        let entries = entries.ok_or_else(|| self.wrong(column))?;
        entries
            .iter()
            .map(|e| pair(e).ok_or_else(|| self.wrong(column)))
            .collect()
    }
}

pub(super) fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

/// The row that a value refers to.
pub(super) fn reference(value: &Value) -> Option<Uuid> {
    tagged(value, "uuid").and_then(text).map(Uuid)
}

/// The second element of `[tag, value]`.
fn tagged<'v>(value: &'v Value, tag: &str) -> Option<&'v Value> {
    match value.as_array()?.as_slice() {
        [Value::String(t), inner] if t == tag => Some(inner),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> View {
        let mut view = View::default();
        view.apply(&json!({
            "Bridge": {"b1": {"new": {"name": "br-int", "datapath_type": "netdev", "ports": ["uuid", "p1"]}}},
            "Port": {"p1": {"new": {"interfaces": ["uuid", "i1"]}}},
            "Interface": {"i1": {"new": {"name": "sk1", "ofport": 3, "error": ["set", []],
                "external_ids": ["map", [["iface-id", "n1"], ["ovn-installed", "true"]]]}}},
            "Open_vSwitch": {"o1": {"new": {"external_ids": ["map", [["hostname", "node-1.example.org"]]]}}},
        }))
        .unwrap();
        view
    }

    #[test]
    fn rows_are_read_and_joined() {
        let view = example();
        let bridge = view.bridge("br-int").unwrap();
        let (port, id, interface) = view.on_bridge(bridge).next().unwrap();
        assert_eq!((port.0.as_str(), id.0.as_str()), ("p1", "i1"));
        assert_eq!((interface.ofport, interface.error.as_deref()), (Some(3), None));
        assert_eq!(interface.external_ids["ovn-installed"], "true");
        assert_eq!(view.external_ids["hostname"], "node-1.example.org");
    }

    #[test]
    fn updates_replace_and_delete() {
        let mut view = example();
        view.apply(&json!({
            "Bridge": {"b1": {"old": {"ports": ["uuid", "p1"]},
                              "new": {"name": "br-int", "datapath_type": "", "ports": ["set", []]}}},
            "Interface": {"i1": {"old": {"name": "sk1"}}},
        }))
        .unwrap();
        assert!(view.interfaces.is_empty());
        assert_eq!(view.on_bridge(view.bridge("br-int").unwrap()).count(), 0);
    }

    #[test]
    fn a_broken_row_is_an_error_that_names_it() {
        let error = View::default()
            .apply(&json!({"Port": {"p": {"new": {"interfaces": 7}}}}))
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "Open_vSwitch database: column interfaces of table Port is 7"
        );
    }
}
