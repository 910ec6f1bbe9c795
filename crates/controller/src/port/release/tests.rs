//! A node refuses an address, and its pod gets another.

use std::sync::Arc;

use futures::channel::mpsc;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::PartialObjectMeta;
use rstest::rstest;
use stackube_api::Network;
use stackube_api::names::{CHASSIS_ANNOTATION, CONTROLLER_FINALIZER};

use super::super::fake::{Fake, HOST, place};
use super::super::shared::{Fresh, REST, Told};
use super::super::{AddressBook, Place, batch::Batches, eviction::Considered, lanes::Lanes, reconcile};
use super::*;
use crate::context::fake::{ApiServer, context, store};
use crate::pool::Pool;

/// The address that the node refuses.
const REFUSED: &str = "10.244.0.9";

fn port(status: &Value, refused: &str) -> Value {
    json!({
        "apiVersion": "stackube.kubernetes.io/v1", "kind": "Port",
        "metadata": {"name": "u-1", "namespace": "test", "uid": "port-1", "finalizers": [CONTROLLER_FINALIZER, NODE_FINALIZER],
            "annotations": {ADDRESS_REFUSED_ANNOTATION: refused, "example.org/other": "stays"}},
        "spec": {"podName": "web-0", "podUID": "u-1", "nodeName": "n1", "networkNamespace": "test", "networkName": "test"},
        "status": status,
    })
}

/// As the controller wrote it before the node refused.
fn ready(neutron_port: &str) -> Value {
    json!({"portID": neutron_port, "ip": REFUSED, "prefixLength": 28, "mac": "fa:16:3e:00:00:01", "gateway": "10.244.0.1",
        "mtu": 1442, "ready": true})
}

/// The rest of the cluster: one pod, on one node, in one network.
fn shared(fake: &Fake, client: kube::Client) -> Shared {
    let network: Network = serde_json::from_value(json!({
        "apiVersion": "stackube.kubernetes.io/v1", "kind": "Network", "metadata": {"name": "test", "namespace": "test"},
        "spec": {"cidr": "10.244.0.0/28", "gateway": "10.244.0.1"},
        "status": {"state": "Active", "projectID": "project", "networkID": "network", "subnetID": "subnet",
            "securityGroupID": "group", "mtu": 1442},
    }))
    .unwrap();
    let pod: Pod = serde_json::from_value(json!({
        "metadata": {"name": "web-0", "namespace": "test", "uid": "u-1"}, "spec": {"nodeName": "n1", "containers": []},
    }))
    .unwrap();
    let node: PartialObjectMeta<Node> = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1", "annotations": {CHASSIS_ANNOTATION: HOST}},
    }))
    .unwrap();
    let context = context(client, &fake.cloud, vec![], vec![network]);
    Shared {
        book: AddressBook::new(REST),
        pool: Pool::new(0),
        lanes: Lanes::new(4),
        batches: Batches::default(),
        ports: store(vec![]),
        pods: store(vec![pod]),
        nodes: store(vec![node]),
        fresh: Fresh::default(),
        told: Told::default(),
        considered: Considered::default(),
        metrics: context.metrics.ports().clone(),
        wake_pod: mpsc::unbounded().0,
        wake_node: mpsc::unbounded().0,
        wake_port: mpsc::unbounded().0,
        context: Arc::new(context),
    }
}

async fn look(server: &ApiServer, shared: &Arc<Shared>) -> Result<(), Stop> {
    let port = serde_json::from_value(server.kept().object.clone()).unwrap();
    reconcile(Arc::new(port), Arc::clone(shared)).await.map(|_| ())
}

/// What is to be true in the end, however it came about.
fn assert_another(server: &ApiServer, fake: &Fake, shared: &Shared, old: &str) {
    let object = server.kept().object.clone();
    let status = &object["status"];
    let ip = status["ip"].as_str().unwrap();
    assert_ne!(ip, REFUSED);
    assert_eq!((&status["ready"], status.get("message")), (&json!(true), None));
    let state = fake.state();
    assert_eq!(state.ports.len(), 1, "the old one is deleted: {:?}", state.ports);
    assert_eq!(state.ports[0]["id"], status["portID"]);
    assert_ne!(state.ports[0]["id"], old);
    assert_eq!(state.ports[0]["fixed_ips"][0]["ip_address"], ip);
    assert_eq!(object["metadata"]["annotations"], json!({"example.org/other": "stays"}));
    // Nobody gets it on this node while it rests, in whatever network; on another node it is free.
    let refused = REFUSED.parse().unwrap();
    let mut elsewhere = place();
    elsewhere.network.namespace = "other".into();
    let other_node = Place {
        node: "n2".into(),
        ..place()
    };
    for (place, free) in [(place(), false), (elsewhere, false), (other_node, true)] {
        let taken = shared.book.take(&Holder::Pod("u-2".into()), &place, refused);
        assert_eq!(taken.is_ok(), free, "{place:?}: {taken:?}");
    }
}

/// A Port with a Neutron port at [`REFUSED`], of which the node has refused `refused`.
async fn refusing(refused: &str) -> (Fake, ApiServer, Arc<Shared>, String) {
    let fake = Fake::start().await;
    let old = fake.port(&json!({}));
    let path = "/apis/stackube.kubernetes.io/v1/namespaces/test/ports/u-1";
    let (server, client) = ApiServer::new(path, port(&ready(&old), refused));
    let shared = Arc::new(shared(&fake, client));
    let holder = Holder::Pod("u-1".into());
    assert_eq!(shared.book.observe(&holder, &place(), REFUSED.parse().unwrap()), None);
    (fake, server, shared, old)
}

#[tokio::test]
async fn an_address_that_the_node_refuses_is_taken_back_and_another_one_given() {
    let (fake, server, shared, old) = refusing(REFUSED).await;
    look(&server, &shared).await.unwrap();
    assert_another(&server, &fake, &shared, &old);
}

/// Each write may be the last one before the API server is away: the next looks do the rest.
#[rstest]
#[case::the_old_address_stands(0)]
#[case::the_mark_stands(1)]
#[case::the_new_address_is_not_written(2)]
#[tokio::test]
async fn what_was_not_written_is_done_by_the_next_looks(#[case] failing: usize) {
    let (fake, server, shared, old) = refusing(REFUSED).await;
    server.kept().refuse = Some(failing);
    assert_eq!(look(&server, &shared).await.unwrap_err().reason(), "KubernetesError");
    // At most: the mark goes, an address is given.
    for _ in 0..2 {
        look(&server, &shared).await.unwrap();
    }
    assert_another(&server, &fake, &shared, &old);
}

#[tokio::test]
async fn a_refusal_of_an_address_that_the_port_does_not_have_changes_nothing_else() {
    let (fake, server, shared, kept) = refusing("10.244.0.8").await;
    look(&server, &shared).await.unwrap();
    let object = server.kept().object.clone();
    assert_eq!(object["metadata"]["annotations"], json!({"example.org/other": "stays"}));
    assert_eq!(object["status"], ready(&kept));
    assert_eq!(fake.state().ports[0]["id"], kept);
    assert_eq!(server.kept().patches.len(), 1);
}
