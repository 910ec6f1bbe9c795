//! The node's finalizer on Ports: it goes when nothing of the pod is plugged in any more, never before.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use stackube_api::Port;
use stackube_api::names::NODE_FINALIZER;
use stackube_daemon::chain;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::ports::kubernetes::key;
use crate::ports::{PortKey, PortMap, PortWriter};
use crate::sandbox::Engine;

/// How often Ports that could not be released are looked at again.
const INTERVAL: Duration = Duration::from_secs(10);

/// Releases the Ports that are being deleted, each as soon as its pod is unplugged, until `stop`.
pub async fn run(engine: Engine, writer: Arc<dyn PortWriter>, stop: CancellationToken) {
    let mut ports = engine.ports();
    let unplugged = engine.unplugged();
    // One task a Port: a pod that is being worked on must not hold up the others.
    let mut tasks = JoinSet::new();
    let mut working = BTreeSet::new();
    loop {
        for port in waiting(&ports.borrow_and_update()) {
            if working.insert(key(&port)) {
                tasks.spawn(release(engine.clone(), Arc::clone(&writer), port));
            }
        }
        // A task that ends is no reason to look again; what it left undone waits for the next event.
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                Some(done) = tasks.join_next() => match done {
                    Ok(done) => drop(working.remove(&done)),
                    Err(error) => warn!(%error, "a task that releases a Port died"),
                },
                changed = ports.changed() => match changed {
                    Ok(()) => break,
                    Err(_) => return,
                },
                () = unplugged.notified() => break,
                () = tokio::time::sleep(INTERVAL) => break,
            }
        }
    }
}

/// Ports that are being deleted and still have the node's finalizer.
fn waiting(ports: &PortMap) -> Vec<Arc<Port>> {
    let held = |port: &&Arc<Port>| {
        let finalizers = port.metadata.finalizers.as_deref().unwrap_or_default();
        port.metadata.deletion_timestamp.is_some() && finalizers.iter().any(|f| f == NODE_FINALIZER)
    };
    ports
        .iter()
        .flat_map(|ports| ports.values())
        .filter(held)
        .cloned()
        .collect()
}

async fn release(engine: Engine, writer: Arc<dyn PortWriter>, port: Arc<Port>) -> PortKey {
    let key = key(&port);
    let (namespace, pod) = (&key.0, &port.spec.pod_name);
    match engine
        .if_unplugged(&port.spec.pod_uid, async || writer.release(&port).await)
        .await
    {
        Ok(Some(Ok(()))) => info!(namespace, pod, "nothing of the pod is plugged in: its Port is released"),
        Ok(Some(Err(error))) => warn!(namespace, pod, error = %chain(&error), "cannot release a Port yet"),
        Ok(None) => {}
        Err(error) => warn!(namespace, pod, error = %error.report(), "cannot tell yet whether a pod is unplugged"),
    }
    key
}
