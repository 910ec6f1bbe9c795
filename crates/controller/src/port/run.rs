//! Starting and ending everything that has to do with ports.

use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc;
use k8s_openapi::api::core::v1::Node;
use kube::api::PartialObjectMeta;
use kube::runtime::controller::{Config, Controller};
use kube::runtime::reflector::{self, ObjectRef, Store};
use kube::runtime::watcher::{self, watcher};
use kube::runtime::{Predicate, PredicateConfig, WatchStreamExt, predicates};
use kube::{Api, Client, ResourceExt};
use stackube_api::{Network, Port};
use tokio_util::sync::CancellationToken;

use super::eviction::Considered;
use super::shared::{Fresh, REST, Shared, Told};
use super::{AddressBook, batch::Batches, drift, lanes::Lanes, rebuild};
use crate::context::Context;
use crate::pool::{self, Pool};
use crate::reconcile::drive;
use crate::{node, pod, sweep};

/// How often the address gauges are refreshed and rested addresses forgotten.
const TICK: Duration = Duration::from_secs(5);

/// Runs pods, nodes, ports, pool, drift and sweeper until `shutdown`. Nothing is given out before the address book has been filled.
pub(crate) async fn run(context: Arc<Context>, shutdown: CancellationToken) {
    let book = AddressBook::new(REST);
    if !rebuild::rebuild(&context, &book, &shutdown).await {
        return;
    }
    let (pods, pod_writer) = reflector::store();
    let (ports, port_writer) = reflector::store();
    let (nodes, node_writer) = reflector::store();
    let (wake_pod, pods_to_wake) = mpsc::unbounded();
    let (wake_node, nodes_to_wake) = mpsc::unbounded();
    let (wake_port, ports_to_wake) = mpsc::unbounded();
    let shared = Arc::new(Shared {
        book,
        pool: Pool::new(context.config.pool_size),
        lanes: Lanes::new(context.config.cloud.max_concurrent_requests_per_project.get()),
        batches: Batches::default(),
        ports: ports.clone(),
        pods,
        nodes,
        fresh: Fresh::default(),
        told: Told::default(),
        considered: Considered::default(),
        metrics: context.metrics.ports().clone(),
        wake_pod,
        wake_node,
        wake_port: wake_port.clone(),
        context: Arc::clone(&context),
    });
    let pod_controller = pod::controller(context.kube.clone(), pod_writer, move |port| {
        // The receiver lives as long as the Port controller; after that nobody needs to know.
        let _ = wake_port.unbounded_send(port);
    })
    .reconcile_on(pods_to_wake);
    let port_controller = port_controller(&context.kube, port_writer, node_writer).reconcile_on(ports_to_wake);
    let node_controller = node::controller(context.kube.clone()).reconcile_on(nodes_to_wake);
    let (for_pods, for_ports) = (Arc::clone(&shared), Arc::clone(&shared));
    let for_nodes = Arc::clone(&shared);
    tokio::join!(
        drive(
            pod_controller,
            Arc::clone(&context),
            shutdown.clone(),
            "pod",
            move |pod, _| { pod::reconcile(pod, Arc::clone(&for_pods)) }
        ),
        drive(
            node_controller,
            Arc::clone(&context),
            shutdown.clone(),
            "node",
            move |node, _| { node::reconcile(node, Arc::clone(&for_nodes)) }
        ),
        drive(port_controller, context, shutdown.clone(), "port", move |port, _| {
            super::reconcile(port, Arc::clone(&for_ports))
        }),
        pool::run(Arc::clone(&shared), shutdown.clone()),
        drift::run(Arc::clone(&shared), shutdown.clone()),
        sweep::run(Arc::clone(&shared), shutdown.clone()),
        watch_addresses(&shared, shutdown.clone()),
    );
}

/// Triggered by Ports (spec, finalizers, annotations, not their status), by Networks that become usable, and by Nodes that
/// announce their chassis.
fn port_controller(
    client: &Client,
    ports: reflector::store::Writer<Port>,
    nodes: reflector::store::Writer<PartialObjectMeta<Node>>,
) -> Controller<Port> {
    let reader = ports.as_reader();
    let (of_node, of_network) = (reader.clone(), reader.clone());
    let what_matters = predicates::generation
        .combine(predicates::finalizers)
        .combine(predicates::annotations);
    let changes = watcher(Api::<Port>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .reflect(ports)
        .applied_objects()
        .predicate_filter(what_matters, PredicateConfig::default());
    let announced = watcher(
        Api::<PartialObjectMeta<Node>>::all(client.clone()),
        watcher::Config::default(),
    )
    .default_backoff()
    .modify(|node| node.metadata.managed_fields = None)
    .reflect(nodes)
    .touched_objects()
    .predicate_filter(predicates::annotations, PredicateConfig::default());
    // Unbounded: a Port that waits for its project's lane holds no place that another project needs (see Lanes).
    Controller::for_stream(changes, reader)
        .with_config(Config::default().concurrency(0))
        .watches_stream(announced, move |node| {
            unfinished(&of_node, |port| port.spec.node_name == node.name_any())
        })
        .watches(
            Api::<Network>::all(client.clone()),
            watcher::Config::default(),
            move |network| {
                let namespace = network.namespace().unwrap_or_default();
                unfinished(&of_network, |port| {
                    port.spec.network_name == network.name_any() && port.spec.network_namespace == namespace
                })
            },
        )
}

/// The Ports that wait for something.
fn unfinished(ports: &Store<Port>, concerned: impl Fn(&Port) -> bool) -> Vec<ObjectRef<Port>> {
    let waits = |port: &Port| {
        port.metadata.deletion_timestamp.is_some() || !port.status.as_ref().is_some_and(|status| status.ready)
    };
    let found = ports.state().into_iter().filter(|port| waits(port) && concerned(port));
    found.map(|port| ObjectRef::from_obj(&*port)).collect()
}

async fn watch_addresses(shared: &Shared, shutdown: CancellationToken) {
    loop {
        shared.metrics.addresses(shared.book.usage());
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(TICK) => {}
        }
    }
}

/// The wake channels carry references, so a test can tell that both ends agree on their form.
#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use kube::api::ObjectMeta;

    use super::*;

    #[test]
    fn a_pods_port_has_its_uid_as_name() {
        let metadata = ObjectMeta {
            name: Some("web-0".into()),
            namespace: Some("test".into()),
            uid: Some("u-1".into()),
            ..ObjectMeta::default()
        };
        let port = pod::port_ref(&Pod {
            metadata,
            ..Pod::default()
        })
        .unwrap();
        assert_eq!((port.name.as_str(), port.namespace.as_deref()), ("u-1", Some("test")));
    }
}
