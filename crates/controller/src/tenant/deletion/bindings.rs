//! Who may do what in a namespace that goes: its RoleBindings, those that the tenant made for its own service accounts as well.

use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, Client, ResourceExt};
use serde_json::json;

use super::gone;
use crate::stop::Stop;

/// Removes all of them. The API server itself would only when the last pod has ended. Asked for at every look: one may have been
/// made while another API server did not know yet that the namespace goes.
///
/// # Errors
/// Those of the API server.
pub(super) async fn remove(kube: &Client, namespace: &str) -> Result<(), Stop> {
    let bindings: Api<RoleBinding> = Api::namespaced(kube.clone(), namespace);
    let all = ListParams::default();
    if bindings.list_metadata(&all).await?.items.is_empty() {
        return Ok(());
    }
    bindings.delete_collection(&DeleteParams::default(), &all).await?;
    // A binding that somebody's finalizer holds gives its rights as before. From now on none can be added.
    let none = json!({"metadata": {"finalizers": null}});
    for held in bindings.list_metadata(&all).await? {
        let patch = Patch::Merge(&none);
        gone(
            bindings
                .patch_metadata(&held.name_any(), &PatchParams::default(), &patch)
                .await,
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    use kube::client::Body;
    use serde_json::Value;

    use super::*;

    const PATH: &str = "/apis/rbac.authorization.k8s.io/v1/namespaces/test/rolebindings";

    /// An API server with RoleBindings, by name and whether something holds them, and what changed them.
    fn api_server(bindings: &[(&str, bool)]) -> (Client, Arc<Mutex<Vec<String>>>) {
        let left: Vec<_> = bindings
            .iter()
            .map(|(name, held)| ((*name).to_owned(), *held))
            .collect();
        let (left, changes) = (Arc::new(Mutex::new(left)), Arc::<Mutex<Vec<_>>>::default());
        let seen = Arc::clone(&changes);
        let serve = move |request: http::Request<Body>| {
            let (left, seen) = (Arc::clone(&left), Arc::clone(&seen));
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                let name = head.uri.path().strip_prefix(PATH).unwrap().trim_start_matches('/');
                let mut left = left.lock().unwrap();
                if head.method != "GET" {
                    seen.lock().unwrap().push(format!("{} {name}", head.method));
                }
                match head.method.as_str() {
                    "DELETE" => left.retain(|(_, held)| *held),
                    "PATCH" => {
                        let patch: Value = serde_json::from_slice(&body).unwrap();
                        assert_eq!(patch, json!({"metadata": {"finalizers": null}}));
                        left.retain(|(found, _)| found != name);
                    }
                    _ => {}
                }
                let items: Vec<_> = left
                    .iter()
                    .map(|(name, _)| json!({"metadata": {"name": name}}))
                    .collect();
                let answer = if head.method == "PATCH" {
                    json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": name}})
                } else {
                    json!({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items})
                };
                Ok::<_, Infallible>(http::Response::new(Body::from(answer.to_string().into_bytes())))
            }
        };
        (Client::new(tower::service_fn(serve), "default"), changes)
    }

    #[tokio::test]
    async fn all_bindings_go_whoever_made_them_and_whatever_holds_them() {
        let (client, changes) = api_server(&[("stackube-admin", false), ("robots", false), ("held", true)]);
        remove(&client, "test").await.unwrap();
        assert_eq!(*changes.lock().unwrap(), ["DELETE ", "PATCH held"]);
        // And nothing is asked for where there is nothing.
        remove(&client, "test").await.unwrap();
        assert_eq!(changes.lock().unwrap().len(), 2);
    }
}
