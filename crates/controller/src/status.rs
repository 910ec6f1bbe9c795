//! Writing the status of a custom resource: only what changed, so that a reconcile that changes nothing writes nothing.

use std::fmt::Debug;

use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// The longest message that the CRDs allow in a status, in characters.
const MAX_MESSAGE: usize = 4096;

/// What a status can hold of a message. With a longer one the API server refuses the whole status, and nobody is told anything.
pub(crate) fn cut(message: String) -> String {
    if message.chars().count() <= MAX_MESSAGE {
        return message;
    }
    message.chars().take(MAX_MESSAGE - 1).chain(['…']).collect()
}

/// Writes the difference between the status as it was read and as it should be; nothing if there is none.
///
/// # Errors
/// Those of the API server. A 404 means that the object is gone.
pub(crate) async fn write<K, S>(api: &Api<K>, object: &K, old: &S, new: &S) -> Result<(), kube::Error>
where
    K: Resource + Clone + Debug + DeserializeOwned,
    S: Serialize,
{
    let Some(difference) = difference(old, new).map_err(kube::Error::SerdeError)? else {
        return Ok(());
    };
    let patch = Patch::Merge(json!({"status": difference}));
    api.patch_status(&object.name_any(), &PatchParams::default(), &patch)
        .await?;
    Ok(())
}

/// A JSON merge patch (RFC 7396) from `old` to `new`, of the top level; lists and objects in it are replaced whole.
fn difference<S: Serialize>(old: &S, new: &S) -> serde_json::Result<Option<Value>> {
    let (old, new) = (fields(old)?, fields(new)?);
    let mut patch = Map::new();
    for (name, value) in &new {
        if old.get(name) != Some(value) {
            patch.insert(name.clone(), value.clone());
        }
    }
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    Ok((!patch.is_empty()).then_some(Value::Object(patch)))
}

fn fields<S: Serialize>(status: &S) -> serde_json::Result<Map<String, Value>> {
    match serde_json::to_value(status)? {
        Value::Object(map) => Ok(map),
        _ => Ok(Map::new()),
    }
}

#[cfg(test)]
mod tests {
    use stackube_api::{NetworkState, NetworkStatus};

    use super::*;

    #[test]
    fn a_message_is_cut_to_what_the_crds_allow() {
        let fits = "ä".repeat(MAX_MESSAGE);
        assert_eq!(cut(fits.clone()), fits);
        let long = cut("ä".repeat(MAX_MESSAGE + 1));
        assert!(long.chars().count() == MAX_MESSAGE && long.ends_with("ä…"));
    }

    #[test]
    fn only_what_changed_is_written_and_what_is_gone_becomes_null() {
        let old = NetworkStatus {
            state: Some(NetworkState::Pending),
            message: Some("waiting".into()),
            mtu: Some(1442),
            ..NetworkStatus::default()
        };
        let new = NetworkStatus {
            state: Some(NetworkState::Active),
            message: None,
            ..old.clone()
        };
        assert_eq!(
            difference(&old, &new).unwrap(),
            Some(json!({"state": "Active", "message": null}))
        );
        assert_eq!(difference(&new, &new).unwrap(), None);
    }
}
