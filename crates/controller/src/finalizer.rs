//! The controller's finalizer on its objects.

use std::fmt::Debug;

use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::json;
use stackube_api::names::CONTROLLER_FINALIZER;

/// Whether `object` carries the finalizer.
pub(crate) fn has(object: &impl ResourceExt) -> bool {
    object.finalizers().iter().any(|name| name == CONTROLLER_FINALIZER)
}

/// Puts the finalizer on, before anything is made for the object.
///
/// # Errors
/// A conflict when somebody else changed the object meanwhile; the reconcile is repeated.
pub(crate) async fn add<K>(api: &Api<K>, object: &K) -> Result<K, kube::Error>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let mut finalizers = object.finalizers().to_vec();
    finalizers.push(CONTROLLER_FINALIZER.to_owned());
    set(api, object, &finalizers).await
}

/// Takes the finalizer off, after all that was made for the object is gone. An object that is gone already is fine.
///
/// # Errors
/// A conflict when somebody else changed the object meanwhile; the reconcile is repeated.
pub(crate) async fn remove<K>(api: &Api<K>, object: &K) -> Result<(), kube::Error>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let rest: Vec<_> = object
        .finalizers()
        .iter()
        .filter(|name| *name != CONTROLLER_FINALIZER)
        .cloned()
        .collect();
    match set(api, object, &rest).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}

/// The list is written whole, so it is tied to the version that was read.
async fn set<K>(api: &Api<K>, object: &K, finalizers: &[String]) -> Result<K, kube::Error>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let patch = json!({"metadata": {"finalizers": finalizers, "resourceVersion": object.resource_version()}});
    api.patch(&object.name_any(), &PatchParams::default(), &Patch::Merge(patch))
        .await
}
