//! Ports and the API server: the watch that fills the map, and the writes.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Api, Patch, PatchParams};
use kube::runtime::WatchStreamExt;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::runtime::watcher::{self, watcher};
use kube::{Client, ResourceExt};
use serde_json::json;
use stackube_api::names::{ADDRESS_REFUSED_ANNOTATION, NODE_FINALIZER};
use stackube_api::{Port, PortHolder};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use stackube_daemon::chain;

use super::{PortKey, PortMap, PortWriter, Refusal, WriteError};

/// Name under which Events are published.
const REPORTER: &str = "kubestack";
/// How often a patch that lost a race is tried again at once.
const ATTEMPTS: u32 = 5;

/// Keeps `publish` filled with the Ports of `node` until `stop`. Errors are retried with back-off for ever; the last
/// state stays published meanwhile, so that pods whose Port is known still start.
pub async fn watch(client: Client, node: String, publish: watch::Sender<PortMap>, stop: CancellationToken) {
    let config = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
    let events = watcher(Api::<Port>::all(client), config).default_backoff();
    futures::pin_mut!(events);
    let mut list = BTreeMap::new();
    loop {
        let event = tokio::select! {
            () = stop.cancelled() => return,
            event = events.next() => event,
        };
        match event {
            Some(Ok(event)) => apply(event, &mut list, &publish),
            Some(Err(error)) => warn!(error = %chain(&error), "cannot watch Ports"),
            None => return,
        }
    }
}

/// Takes in one event. A new list replaces the old one when it is complete.
fn apply(event: watcher::Event<Port>, list: &mut BTreeMap<PortKey, Arc<Port>>, publish: &watch::Sender<PortMap>) {
    match event {
        watcher::Event::Init => list.clear(),
        watcher::Event::InitApply(port) => {
            list.insert(key(&port), Arc::new(port));
        }
        watcher::Event::InitDone => {
            info!(ports = list.len(), "have the list of Ports");
            publish.send_replace(Some(std::mem::take(list)));
        }
        watcher::Event::Apply(port) => publish.send_modify(|ports| {
            ports.get_or_insert_default().insert(key(&port), Arc::new(port));
        }),
        watcher::Event::Delete(port) => publish.send_modify(|ports| {
            ports.get_or_insert_default().remove(&key(&port));
        }),
    }
}

/// The key of a Port in the map.
pub fn key(port: &Port) -> PortKey {
    (port.namespace().unwrap_or_default(), port.name_any())
}

/// Writes to the API server.
#[derive(Clone)]
pub struct KubernetesWriter {
    client: Client,
    events: Recorder,
}

impl std::fmt::Debug for KubernetesWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KubernetesWriter")
    }
}

impl KubernetesWriter {
    /// A writer whose Events come from `node`.
    pub fn new(client: Client, node: &str) -> Self {
        let reporter = Reporter {
            controller: REPORTER.into(),
            instance: Some(node.to_owned()),
        };
        Self {
            events: Recorder::new(client.clone(), reporter),
            client,
        }
    }

    fn ports(&self, namespace: &str) -> Api<Port> {
        Api::namespaced(self.client.clone(), namespace)
    }

    async fn refuse(&self, refusal: &Refusal) -> Result<(), kube::Error> {
        let address = refusal.address.to_string();
        let patch = json!({"metadata": {"annotations": {ADDRESS_REFUSED_ANNOTATION: address}}});
        let ports = self.ports(&refusal.namespace);
        ports
            .patch(&refusal.pod_uid, &PatchParams::default(), &Patch::Merge(patch))
            .await?;
        let event = Event {
            type_: EventType::Warning,
            reason: "AddressRefused".into(),
            note: Some(format!(
                "{address} is still held by another pod's sandbox on this node; asking for another"
            )),
            action: "PlugIn".into(),
            secondary: None,
        };
        let (kind, namespace) = match refusal.holder {
            PortHolder::Pod => ("Pod", Some(refusal.namespace.clone())),
            PortHolder::Node => ("Node", None),
        };
        let holder = ObjectReference {
            api_version: Some("v1".into()),
            kind: Some(kind.into()),
            namespace,
            name: Some(refusal.pod_name.clone()),
            uid: Some(refusal.pod_uid.clone()),
            ..ObjectReference::default()
        };
        if let Err(error) = self.events.publish(&event, &holder).await {
            warn!(error = %chain(&error), "cannot publish an Event");
        }
        Ok(())
    }

    async fn release(&self, port: &Port) -> Result<(), kube::Error> {
        let ports = self.ports(&port.namespace().unwrap_or_default());
        let name = port.name_any();
        let mut current = Some(port.clone());
        for _ in 0..ATTEMPTS {
            let Some(port) = current.filter(|p| p.metadata.deletion_timestamp.is_some()) else {
                return Ok(());
            };
            let Some(index) = port.finalizers().iter().position(|f| f == NODE_FINALIZER) else {
                return Ok(());
            };
            match ports
                .patch(&name, &PatchParams::default(), &Patch::Json::<()>(removal(index)))
                .await
            {
                Ok(_) => return Ok(()),
                Err(kube::Error::Api(status)) if status.is_not_found() => return Ok(()),
                // The list of finalizers has changed, and the test in the patch has failed.
                Err(kube::Error::Api(status)) if status.code == 422 || status.is_conflict() => {
                    current = ports.get_opt(&name).await?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl PortWriter for KubernetesWriter {
    fn refuse_address<'a>(&'a self, refusal: &'a Refusal) -> BoxFuture<'a, Result<(), WriteError>> {
        let failed = failed(refusal.namespace.clone(), refusal.pod_uid.clone());
        self.refuse(refusal).map(|r| r.map_err(failed)).boxed()
    }

    fn release<'a>(&'a self, port: &'a Port) -> BoxFuture<'a, Result<(), WriteError>> {
        let failed = failed(port.namespace().unwrap_or_default(), port.name_any());
        self.release(port).map(|r| r.map_err(failed)).boxed()
    }
}

fn failed(namespace: String, name: String) -> impl FnOnce(kube::Error) -> WriteError {
    move |source| WriteError {
        namespace,
        name,
        source: Box::new(source),
    }
}

/// Removes the finalizer at that place, if it is still there.
fn removal(index: usize) -> json_patch::Patch {
    let path = format!("/metadata/finalizers/{index}");
    let patch = json!([
        {"op": "test", "path": path, "value": NODE_FINALIZER},
        {"op": "remove", "path": path},
    ]);
    // The value above is a patch; an empty one would change nothing.
    serde_json::from_value(patch).unwrap_or_else(|_| json_patch::Patch(vec![]))
}
