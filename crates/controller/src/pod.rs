//! Pods: every pod that is bound to a node and has a network of its own gets a Port, named by its UID.
//!
//! Which network that is depends on the pod's Namespace alone, read from the API server itself and never from a cache, for a
//! wrong answer would put a pod into somebody else's network. Whatever is unclear waits.

use std::sync::Arc;
use std::time::Instant;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{DeleteParams, Preconditions};
use kube::core::Status;
use kube::runtime::WatchStreamExt;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::reflector::{ObjectRef, store::Writer};
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client, ResourceExt};
use stackube_api::{Port, Tenant};

use crate::port::{NetworkKey, Shared, after, make};
use crate::stop::Stop;

mod need;
mod network_of;
mod prune;

pub(crate) use need::{Need, need};
use network_of::network_of;

/// Pods of a page of the list, which is in memory as a whole before anything is dropped of it: a pod may take megabytes.
const PAGE: u32 = 10;

/// All pods that are bound to a node and not in the node's own network, without what is not needed of them. `ended` is told
/// the Port of each that has changed or vanished.
pub(crate) fn controller(
    client: Client,
    writer: Writer<Pod>,
    touched: impl Fn(ObjectRef<Port>) + Send + 'static,
) -> Controller<Pod> {
    let reader = writer.as_reader();
    let bound = watcher::Config::default()
        .fields("spec.nodeName!=,spec.hostNetwork=false")
        .page_size(PAGE);
    let pods = watcher(Api::<Pod>::all(client), bound)
        .default_backoff()
        .modify(prune::prune)
        .reflect(writer)
        .touched_objects()
        .inspect(move |pod| {
            if let Some(port) = pod.as_ref().ok().and_then(port_ref) {
                touched(port);
            }
        });
    // Bounded, so that the start of a large cluster does not ask for everything at once; each takes milliseconds.
    Controller::for_stream(pods, reader).with_config(Config::default().concurrency(crate::reconcile::CONCURRENCY))
}

/// The Port of a pod.
pub(crate) fn port_ref(pod: &Pod) -> Option<ObjectRef<Port>> {
    Some(ObjectRef::new(&pod.uid()?).within(&pod.namespace()?))
}

/// Makes the Port of a pod that needs one, and deletes that of a pod that has finished.
pub(crate) async fn reconcile(pod: Arc<Pod>, shared: Arc<Shared>) -> Result<Action, Stop> {
    let (Some(uid), Some(namespace)) = (pod.uid(), pod.namespace()) else {
        return Ok(Action::await_change());
    };
    let known = shared.ports.get(&ObjectRef::new(&uid).within(&namespace));
    let action = after(known.as_deref());
    match (need(&pod), known) {
        (Need::Port { node }, None) => {
            let network = match look_up_network(&shared, &namespace).await {
                Ok(network) => network,
                Err(stop) if shared.told.is_news(&uid, stop.reason(), Instant::now()) => {
                    shared
                        .context
                        .events
                        .warning(&*pod, "CreatePort", stop.reason(), stop.sentence())
                        .await;
                    return Err(stop);
                }
                Err(stop) => return Err(stop),
            };
            create(&shared, &pod, &uid, &node, network).await?;
        }
        (Need::Release, Some(port)) if port.metadata.deletion_timestamp.is_none() => delete(&shared, &port).await?,
        (Need::Port { .. }, Some(_)) => return Ok(action),
        (Need::Release | Need::Nothing, _) => {}
    }
    Ok(Action::await_change())
}

/// Asks the API server, for each new pod: a cached Namespace or Tenant may be one that has been deleted and made anew.
async fn look_up_network(shared: &Shared, namespace: &str) -> Result<NetworkKey, Stop> {
    let kube = &shared.context.kube;
    let found = Api::<Namespace>::all(kube.clone()).get(namespace).await?;
    let tenant = Api::<Tenant>::all(kube.clone()).get_opt(namespace).await?;
    network_of(&found, tenant.as_ref()).map_err(Stop::from)
}

async fn create(shared: &Shared, pod: &Pod, uid: &str, node: &str, network: NetworkKey) -> Result<(), Stop> {
    let Some(port) = need::port(pod, node, network) else {
        return Ok(());
    };
    shared.fresh.making(uid);
    let result = make(shared, &port).await;
    match &result {
        Ok(true) => shared.fresh.made(uid),
        Ok(false) | Err(_) => shared.fresh.not_made(uid),
    }
    match result {
        Ok(_) => Ok(()),
        // The pod will be gone soon.
        Err(kube::Error::Api(status)) if is_terminating(&status) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn is_terminating(status: &Status) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    status.code == 403 && causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// Deletes a Port; its finalizers hold it until the node and the controller have cleaned up.
pub(crate) async fn delete(shared: &Shared, port: &Port) -> Result<(), kube::Error> {
    let api: Api<Port> = Api::namespaced(shared.context.kube.clone(), &port.namespace().unwrap_or_default());
    let this_one = Preconditions {
        uid: port.uid(),
        resource_version: None,
    };
    let parameters = DeleteParams {
        preconditions: Some(this_one),
        ..DeleteParams::default()
    };
    match api.delete(&port.name_any(), &parameters).await {
        Ok(_) => Ok(()),
        // Gone, or another one of that name.
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        Err(error) => Err(error),
    }
}
