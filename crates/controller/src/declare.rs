//! Objects that are written as they have to be, whoever changed them.

use kube::api::{Patch, PatchParams};
use kube::{Api, Resource, ResourceExt};
use stackube_api::names::MANAGED_BY;

/// Server-side apply: what is written here holds, whatever somebody changed; other fields stay.
///
/// # Errors
/// Those of the API server.
pub(crate) async fn declare<K>(api: &Api<K>, object: &K) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let parameters = PatchParams::apply(MANAGED_BY).force();
    api.patch(&object.name_any(), &parameters, &Patch::Apply(object))
        .await
        .map(drop)
}
