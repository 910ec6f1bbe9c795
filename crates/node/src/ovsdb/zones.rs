//! Zones of connection tracking: which logical port has which, and their limits (tables Datapath and CT_Zone; Open vSwitch
//! 3.3 and newer). They are read when asked for and not monitored: databases of older versions refuse to send columns that
//! they lack.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::operation::{Operation, Uuid, named};
use super::view::{Column, ViewError, reference, text};
use super::{Ovsdb, OvsdbError};

/// What ovn-controller puts before the name of a logical port in `external_ids` of its bridge, with the port's zone as the value.
const OF_PORT: &str = "ct-zone-";

/// A zone that has a row of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    /// Connections at most.
    pub limit: Option<u64>,
    /// Notes of other programs.
    pub external_ids: BTreeMap<String, String>,
}

/// The zones of one bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zones {
    /// The row of table Datapath that they belong to.
    pub datapath: Uuid,
    /// The zones of logical ports, by the ports' names.
    pub ports: BTreeMap<String, u16>,
    /// Zones that are not as all others.
    pub special: BTreeMap<u16, Zone>,
}

impl Zones {
    /// The zones of `bridge`; `None` if this Open vSwitch knows no limits, or has no such bridge or no row for its datapath yet.
    ///
    /// # Errors
    /// [`OvsdbError`] when the database does not answer.
    pub async fn read(ovsdb: &Ovsdb, bridge: &str) -> Result<Option<Self>, OvsdbError> {
        match ovsdb.transact(&questions(bridge)).await {
            Ok(answers) => Self::parse(&answers).map_err(|error| OvsdbError::Refused {
                method: "transact",
                error: json!(error.to_string()),
            }),
            // Questions alone fail only where a table or column is not known.
            Err(OvsdbError::RolledBack { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What makes `forget` zones like all others again, and `zone`, which must be so, a special one.
    pub fn change(&self, forget: &[u16], zone: Option<(u16, &Zone)>) -> Vec<Operation> {
        let mut operations = vec![];
        if !forget.is_empty() {
            operations.push(self.mutate("delete", json!(["set", forget])));
        }
        if let Some((number, zone)) = zone {
            operations.push(Operation::Insert {
                table: "CT_Zone",
                row: Map::from_iter([
                    ("limit".into(), json!(["set", zone.limit.as_slice()])),
                    (
                        "external_ids".into(),
                        json!(["map", zone.external_ids.iter().collect::<Vec<_>>()]),
                    ),
                ]),
                uuid_name: "zone",
            });
            // Without effect if somebody else has made the zone a special one meanwhile.
            operations.push(self.mutate("insert", json!(["map", [[number, named("zone")]]])));
        }
        operations
    }

    fn mutate(&self, mutator: &str, value: Value) -> Operation {
        Operation::Mutate {
            table: "Datapath",
            r#where: vec![json!(["_uuid", "==", self.datapath])],
            mutations: vec![json!(["ct_zones", mutator, value])],
        }
    }

    fn parse(answers: &[Value]) -> Result<Option<Self>, ViewError> {
        let rows = |question: usize| {
            answers
                .get(question)
                .and_then(|answer| answer["rows"].as_array())
                .into_iter()
                .flatten()
        };
        let all = |question, table| {
            rows(question)
                .filter_map(Value::as_object)
                .map(move |row| Column(table, row))
        };
        let (Some(bridge), Some(root)) = (all(0, "Bridge").next(), all(1, "Open_vSwitch").next()) else {
            return Ok(None);
        };
        let kind = match bridge.string("datapath_type")? {
            kind if kind.is_empty() => "system".to_owned(),
            kind => kind,
        };
        let Some(datapath) = root.map("datapaths", text, reference)?.remove(&kind) else {
            return Ok(None);
        };
        let rows: BTreeMap<Uuid, Zone> = all(3, "CT_Zone").map(|row| zone(&row)).collect::<Result<_, _>>()?;
        let mut special = BTreeMap::new();
        for row in all(2, "Datapath") {
            if row.uuid()? == datapath {
                special = row.map("ct_zones", number, reference)?;
            }
        }
        Ok(Some(Self {
            datapath,
            ports: of_ports(&bridge.strings("external_ids")?),
            special: special
                .into_iter()
                .map(|(number, row)| (number, rows.get(&row).cloned().unwrap_or_default()))
                .collect(),
        }))
    }
}

fn questions(bridge: &str) -> [Operation; 4] {
    let select = |table, conditions, columns| Operation::Select {
        table,
        r#where: conditions,
        columns,
    };
    [
        select(
            "Bridge",
            vec![json!(["name", "==", bridge])],
            vec!["datapath_type", "external_ids"],
        ),
        select("Open_vSwitch", vec![], vec!["datapaths"]),
        select("Datapath", vec![], vec!["_uuid", "ct_zones"]),
        select("CT_Zone", vec![], vec!["_uuid", "limit", "external_ids"]),
    ]
}

fn zone(row: &Column<'_>) -> Result<(Uuid, Zone), ViewError> {
    let zone = Zone {
        limit: row.optional("limit", Value::as_u64)?,
        external_ids: row.strings("external_ids")?,
    };
    Ok((row.uuid()?, zone))
}

fn of_ports(external_ids: &BTreeMap<String, String>) -> BTreeMap<String, u16> {
    let of_port = |(key, value): (&String, &String)| Some((key.strip_prefix(OF_PORT)?.to_owned(), value.parse().ok()?));
    external_ids.iter().filter_map(of_port).collect()
}

fn number(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|number| number.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(kind: &str) -> Vec<Value> {
        vec![
            json!({"rows": [{"datapath_type": kind, "external_ids": ["map", [
                ["ct-zone-n1", "7"], ["ct-zone-r1_snat", "8"], ["ct-zone-n2", "x"], ["other", "1"]]]}]}),
            json!({"rows": [{"datapaths": ["map", [["netdev", ["uuid", "d1"]], ["system", ["uuid", "d2"]]]]}]}),
            json!({"rows": [
                {"_uuid": ["uuid", "d1"], "ct_zones": ["map", [[7, ["uuid", "z1"]]]]},
                {"_uuid": ["uuid", "d2"], "ct_zones": ["map", []]}]}),
            json!({"rows": [{"_uuid": ["uuid", "z1"], "limit": 99, "external_ids": ["map", [["a", "b"]]]}]}),
        ]
    }

    #[test]
    fn the_zones_of_the_bridges_datapath_are_found() {
        let zones = Zones::parse(&answers("netdev")).unwrap().unwrap();
        assert_eq!(zones.datapath, Uuid("d1".into()));
        assert_eq!(zones.ports, BTreeMap::from([("n1".into(), 7), ("r1_snat".into(), 8)]));
        assert_eq!(zones.special[&7].limit, Some(99));
        assert_eq!(zones.special[&7].external_ids["a"], "b");
        let zones = Zones::parse(&answers("")).unwrap().unwrap();
        assert_eq!((zones.datapath, zones.special.len()), (Uuid("d2".into()), 0));
        assert_eq!(Zones::parse(&answers("unknown")).unwrap(), None);
        assert_eq!(Zones::parse(&[]).unwrap(), None);
    }

    #[test]
    fn a_change_has_the_form_of_the_rfc() {
        let zones = Zones::parse(&answers("netdev")).unwrap().unwrap();
        assert_eq!(zones.change(&[], None), []);
        let zone = Zone {
            limit: Some(5),
            external_ids: BTreeMap::from([("k".into(), "v".into())]),
        };
        let row = json!(["_uuid", "==", ["uuid", "d1"]]);
        assert_eq!(
            serde_json::to_value(zones.change(&[7], Some((9, &zone)))).unwrap(),
            json!([
                {"op": "mutate", "table": "Datapath", "where": [row], "mutations": [["ct_zones", "delete", ["set", [7]]]]},
                {"op": "insert", "table": "CT_Zone", "uuid-name": "zone",
                 "row": {"limit": ["set", [5]], "external_ids": ["map", [["k", "v"]]]}},
                {"op": "mutate", "table": "Datapath", "where": [row],
                 "mutations": [["ct_zones", "insert", ["map", [[9, ["named-uuid", "zone"]]]]]]},
            ])
        );
    }
}
