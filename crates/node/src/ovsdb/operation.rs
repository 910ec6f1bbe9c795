//! Operations of a transaction (RFC 7047 section 5.2), as far as the daemon needs them.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

/// A row's UUID.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub String);

impl Serialize for Uuid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ("uuid", &self.0).serialize(serializer)
    }
}

/// One operation. All operations of a transaction happen, or none.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "op", rename_all = "lowercase")]
pub enum Operation {
    /// Fails the transaction at once unless the rows that match `where` are (or are not) exactly `rows`.
    Wait {
        /// Table to look at.
        table: &'static str,
        /// Conditions, all of which a row has to meet.
        r#where: Vec<Value>,
        /// Columns that are compared.
        columns: Vec<&'static str>,
        /// `==` or `!=`.
        until: &'static str,
        /// Expected rows.
        rows: Vec<Value>,
        /// Milliseconds to wait; 0 decides at once.
        timeout: u32,
    },
    /// Inserts a row.
    Insert {
        /// Table to insert into.
        table: &'static str,
        /// Columns that differ from their defaults.
        row: Map<String, Value>,
        /// Name for references from other operations of the same transaction.
        #[serde(rename = "uuid-name")]
        uuid_name: &'static str,
    },
    /// Changes columns of the rows that match.
    Mutate {
        /// Table to change.
        table: &'static str,
        /// Conditions, all of which a row has to meet.
        r#where: Vec<Value>,
        /// `[column, mutator, value]`.
        mutations: Vec<Value>,
    },
    /// Reads columns of the rows that match.
    Select {
        /// Table to look at.
        table: &'static str,
        /// Conditions, all of which a row has to meet.
        r#where: Vec<Value>,
        /// Columns to read.
        columns: Vec<&'static str>,
    },
    /// A line for the database's log.
    Comment {
        /// Text of the line.
        comment: String,
    },
}

impl Operation {
    /// The transaction goes through only if the rows of `table` that match `conditions` are exactly `rows`.
    pub fn require(table: &'static str, conditions: Vec<Value>, columns: Vec<&'static str>, rows: Vec<Value>) -> Self {
        Self::Wait {
            table,
            r#where: conditions,
            columns,
            until: "==",
            rows,
            timeout: 0,
        }
    }
}

/// A map value.
pub fn map(entries: &BTreeMap<&str, String>) -> Value {
    json!(["map", entries.iter().collect::<Vec<_>>()])
}

/// A set of row references.
pub fn uuid_set(uuids: &[Uuid]) -> Value {
    json!(["set", uuids])
}

/// A reference to a row that the same transaction inserts.
pub fn named(name: &str) -> Value {
    json!(["named-uuid", name])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_have_the_form_of_the_rfc() {
        let ops = [
            Operation::require(
                "Bridge",
                vec![json!(["name", "==", "br-int"])],
                vec!["name"],
                vec![json!({"name": "br-int"})],
            ),
            Operation::Insert {
                table: "Port",
                row: Map::from_iter([("name".into(), json!("sk1"))]),
                uuid_name: "port",
            },
            Operation::Mutate {
                table: "Bridge",
                r#where: vec![json!(["name", "==", "br-int"])],
                mutations: vec![json!(["ports", "delete", uuid_set(&[Uuid("u1".into())])])],
            },
        ];
        assert_eq!(
            serde_json::to_value(ops).unwrap(),
            json!([
                {"op": "wait", "table": "Bridge", "where": [["name", "==", "br-int"]], "columns": ["name"],
                 "until": "==", "rows": [{"name": "br-int"}], "timeout": 0},
                {"op": "insert", "table": "Port", "row": {"name": "sk1"}, "uuid-name": "port"},
                {"op": "mutate", "table": "Bridge", "where": [["name", "==", "br-int"]],
                 "mutations": [["ports", "delete", ["set", [["uuid", "u1"]]]]]},
            ])
        );
        assert_eq!(
            map(&BTreeMap::from([("a", "b".to_owned())])),
            json!(["map", [["a", "b"]]])
        );
    }
}
