//! What this release's manifest says of policies and rights, beside what is in the API server.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::super::Finding;

const MANIFEST: &str = include_str!("../../../../../deployment/stackube.yaml");
/// What puts everything back.
const APPLY: &str = "kubectl apply --server-side --force-conflicts -f deployment/stackube.yaml";
/// Fields that decide whether a policy is asked, and whether its "no" counts. The others are what it asks, which another release
/// may have worded in another way.
const DECISIVE: [&str; 8] = [
    "failurePolicy",
    "matchConditions",
    "matchConstraints",
    "matchResources",
    "paramKind",
    "paramRef",
    "policyName",
    "validationActions",
];
/// Fields that make less of an object by being there, unless they have [`DEFAULTS`].
const NARROWING: [&str; 8] = [
    "excludeResourceRules",
    "matchConditions",
    "matchPolicy",
    "matchResources",
    "namespaceSelector",
    "objectSelector",
    "resourceNames",
    "scope",
];
/// What the API server gives `matchPolicy` and `scope` by itself, which is all.
const DEFAULTS: [&str; 2] = ["Equivalent", "*"];

/// Objects of one kind by name.
pub(super) type Objects = BTreeMap<String, Value>;

/// The manifest's objects of a kind.
///
/// # Errors
/// Only if the manifest that was built in is no YAML.
pub(super) fn objects(kind: &str) -> Result<Objects, serde_saphyr::Error> {
    let all: Vec<Value> = serde_saphyr::from_multiple(MANIFEST)?;
    let wanted = all.into_iter().filter(|object| object["kind"] == kind);
    let named = |object: Value| Some((object["metadata"]["name"].as_str()?.to_owned(), object));
    Ok(wanted.filter_map(named).collect())
}

/// Keys of the ConfigMap that the policies take as parameters.
pub(super) fn parameters() -> BTreeSet<&'static str> {
    let mut parts = MANIFEST.split("params.data[?'");
    parts.next();
    parts.filter_map(|rest| rest.split('\'').next()).collect()
}

/// What is not as in the manifest.
#[derive(Debug, Default)]
pub(super) struct Differences {
    missing: Vec<String>,
    changed: Vec<String>,
    /// Whether a field of [`DECISIVE`] is another.
    decisive: bool,
}

impl Differences {
    /// Notes how objects of a kind differ from those of the manifest. Whatever else there is of the kind is somebody else's.
    pub(super) fn note(&mut self, kind: &str, wanted: &Objects, live: &Objects) {
        for (name, wanted) in wanted {
            let Some(live) = live.get(name) else {
                self.missing.push(format!("{kind} {name}"));
                continue;
            };
            let fields = different(body(wanted), body(live));
            if !fields.is_empty() {
                self.decisive |= fields.iter().any(|field| DECISIVE.contains(field));
                self.changed.push(format!("{kind} {name} ({})", fields.join(", ")));
            }
        }
    }

    pub(super) fn finding(&self) -> Finding {
        let missing = (!self.missing.is_empty()).then(|| format!("there is no {}", self.missing.join(", no ")));
        let verb = if self.changed.len() == 1 { "differs" } else { "differ" };
        let changed =
            (!self.changed.is_empty()).then(|| format!("{} {verb} from this release", self.changed.join(", ")));
        let bad = missing.is_some() || self.decisive;
        let found: Vec<String> = missing.into_iter().chain(changed).collect();
        match (found.join("; "), bad) {
            (found, _) if found.is_empty() => Finding::Good("all there".to_owned()),
            (found, true) => Finding::Bad(format!("{found}: {APPLY}; tenants may not be held apart until then")),
            (found, false) => Finding::Doubtful(format!(
                "{found}: {APPLY}, or use the `stackube` of the cluster's release"
            )),
        }
    }
}

/// The part of an object that says something: a ClusterRole has no `spec`.
fn body(object: &Value) -> &Value {
    object.get("spec").unwrap_or(object)
}

/// Fields of the manifest that are others in the API server, and fields there that narrow what the manifest says.
fn different<'a>(wanted: &'a Value, live: &'a Value) -> Vec<&'a str> {
    let fields = wanted.as_object().into_iter().flatten();
    let changed = fields.filter(|(key, value)| !is_head(key) && !contains(&live[key.as_str()], value));
    changed
        .map(|(key, _)| key.as_str())
        .chain(narrowing(wanted, live))
        .collect()
}

fn is_head(key: &str) -> bool {
    matches!(key, "apiVersion" | "kind" | "metadata")
}

/// Fields of [`NARROWING`] that are given in the API server only.
fn narrowing<'a>(wanted: &'a Value, live: &'a Value) -> impl Iterator<Item = &'a str> {
    let fields: [&'a str; 8] = NARROWING;
    let added = |key: &&str| wanted.get(*key).is_none() && live.get(*key).is_some_and(|value| !is_default(value));
    fields.into_iter().filter(added)
}

/// Whether everything that is wanted is there. Lists are sets: server-side apply may order them anew.
fn contains(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(_), Value::Object(fields)) => {
            let all = fields.iter().all(|(key, value)| contains(&live[key.as_str()], value));
            all && narrowing(wanted, live).next().is_none()
        }
        (Value::Array(there), Value::Array(all)) => {
            there.len() == all.len() && all.iter().all(|value| there.iter().any(|live| contains(live, value)))
        }
        _ => live == wanted || is_empty(live) && is_empty(wanted),
    }
}

fn is_default(value: &Value) -> bool {
    is_empty(value) || value.as_str().is_some_and(|text| DEFAULTS.contains(&text))
}

/// What the API server may leave out.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(values) => values.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
