//! A Kubernetes API as far as the daemon uses it: list, watch and patch of Ports and of the Node, Events.

mod node;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use axum::{Json, Router};
use futures::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::broadcast;

use super::namespace::Namespace;

/// Where it listens in the node's namespace.
const ADDRESS: &str = "127.0.0.1:6443";

/// Addresses that the API servers say they have: one that a test may give to the node, one of somebody else.
pub(crate) const API_SERVERS: [&str; 2] = ["192.0.2.1", "192.0.2.2"];
/// Address of another node.
pub(crate) const OTHER_NODE: &str = "198.51.100.2";
/// And their port.
pub(crate) const API_SERVER_PORT: u16 = 6443;

/// The API of one node.
#[derive(Clone)]
pub(crate) struct Api {
    state: Arc<Mutex<Objects>>,
    events: broadcast::Sender<Value>,
    node_events: broadcast::Sender<Value>,
    node: &'static str,
}

#[derive(Default)]
struct Objects {
    version: u64,
    ports: BTreeMap<String, Value>,
    own_node: node::OwnNode,
    /// Whether nobody is told of all Nodes.
    nodes_hidden: bool,
    /// Events that were published.
    published: Vec<Value>,
    /// Patches are answered with an error.
    broken: bool,
    /// Names of the Ports of which that was so, once for each patch.
    failed: Vec<String>,
}

impl Api {
    /// The objects of a node, which nobody can reach yet.
    pub(crate) fn new(node: &'static str) -> Self {
        Self {
            state: Arc::default(),
            events: broadcast::channel(256).0,
            node_events: broadcast::channel(256).0,
            node,
        }
    }

    /// Serves in the namespace for as long as what is returned lives; its connections end with it.
    pub(crate) fn serve(&self, namespace: &Namespace) -> Runtime {
        let listener = namespace.enter(|| std::net::TcpListener::bind(ADDRESS).unwrap());
        listener.set_nonblocking(true).unwrap();
        let ports = "/apis/stackube.kubernetes.io/v1";
        let app = Router::new()
            .route(&format!("{ports}/ports"), get(list))
            .route(
                &format!("{ports}/namespaces/{{namespace}}/ports/{{name}}"),
                get(read).patch(change),
            )
            .route(
                "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices",
                get(endpoints),
            )
            .route("/api/v1/nodes", get(node::list))
            .route("/api/v1/nodes/{name}", patch(node::annotate))
            .route("/apis/events.k8s.io/v1/namespaces/{namespace}/events", post(publish))
            .with_state(self.clone());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.spawn(async move { axum::serve(TcpListener::from_std(listener).unwrap(), app).await });
        runtime
    }

    pub(crate) fn kubeconfig(&self) -> String {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": format!("http://{ADDRESS}")}}],
            "users": [{"name": "test", "user": {}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        })
        .to_string()
    }

    /// Creates or replaces a Port.
    pub(crate) fn put(&self, mut port: Value) {
        let mut state = self.state.lock().unwrap();
        state.version += 1;
        port["metadata"]["resourceVersion"] = json!(state.version.to_string());
        let name = port["metadata"]["name"].as_str().unwrap().to_owned();
        let kind = if state.ports.insert(name, port.clone()).is_some() {
            "MODIFIED"
        } else {
            "ADDED"
        };
        let _ = self.events.send(json!({"type": kind, "object": port}));
    }

    /// Changes the status of a Port, as the controller does.
    pub(crate) fn set_status(&self, name: &str, status: Value) {
        let mut port = self.port(name).unwrap();
        port["status"] = status;
        self.put(port);
    }

    /// Deletes a Port: it stays as long as it has finalizers.
    pub(crate) fn delete(&self, name: &str) {
        let mut port = self.port(name).unwrap();
        port["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        self.put(port);
    }

    /// Takes a Port away, finalizers or not.
    pub(crate) fn remove(&self, name: &str) {
        let mut state = self.state.lock().unwrap();
        state.version += 1;
        let port = state.ports.remove(name).unwrap();
        let _ = self.events.send(json!({"type": "DELETED", "object": port}));
    }

    pub(crate) fn port(&self, name: &str) -> Option<Value> {
        self.state.lock().unwrap().ports.get(name).cloned()
    }

    pub(crate) fn finalizers(&self, name: &str) -> Vec<String> {
        let port = self.port(name).unwrap();
        serde_json::from_value(port["metadata"]["finalizers"].clone()).unwrap_or_default()
    }

    pub(crate) fn annotation(&self, name: &str, key: &str) -> Option<String> {
        let port = self.port(name)?;
        port["metadata"]["annotations"][key].as_str().map(str::to_owned)
    }

    pub(crate) fn published(&self) -> Vec<Value> {
        self.state.lock().unwrap().published.clone()
    }

    /// Whether patches fail.
    pub(crate) fn break_writes(&self, broken: bool) {
        self.state.lock().unwrap().broken = broken;
    }

    /// How many patches of a Port have failed.
    pub(crate) fn failed_patches(&self, name: &str) -> usize {
        let state = self.state.lock().unwrap();
        state.failed.iter().filter(|failed| *failed == name).count()
    }
}

async fn list(State(api): State<Api>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    // The daemon must ask for its own node's Ports and nothing else.
    if query.get("fieldSelector").map(String::as_str) != Some(&format!("spec.nodeName={}", api.node)) {
        return status(StatusCode::FORBIDDEN, "this node may only see its own Ports");
    }
    let events = api.events.subscribe();
    let (version, items) = {
        let state = api.state.lock().unwrap();
        (state.version, state.ports.values().cloned().collect::<Vec<_>>())
    };
    if !query.contains_key("watch") {
        return Json(json!({
            "apiVersion": "stackube.kubernetes.io/v1", "kind": "PortList",
            "metadata": {"resourceVersion": version.to_string()}, "items": items,
        }))
        .into_response();
    }
    // Changes between list and watch: everything newer than what the list said.
    let since: u64 = query.get("resourceVersion").and_then(|v| v.parse().ok()).unwrap_or(0);
    let newer = |port: &Value| {
        port["metadata"]["resourceVersion"]
            .as_str()
            .and_then(|v| v.parse().ok())
            > Some(since)
    };
    let missed: Vec<Value> = items
        .into_iter()
        .filter(newer)
        .map(|port| json!({"type": "MODIFIED", "object": port}))
        .collect();
    let lines = stream::unfold((missed.into_iter(), events), |(mut missed, mut events)| async move {
        let event = match missed.next() {
            Some(event) => event,
            None => events.recv().await.ok()?,
        };
        Some((Ok::<_, Infallible>(format!("{event}\n")), (missed, events)))
    });
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(lines)).into_response()
}

/// Where the API servers are: this one, and one elsewhere.
async fn endpoints(Query(query): Query<BTreeMap<String, String>>) -> Response {
    if query.get("fieldSelector").map(String::as_str) != Some("metadata.name=kubernetes") {
        return status(
            StatusCode::FORBIDDEN,
            "this node may only see the API servers' addresses",
        );
    }
    if query.contains_key("watch") {
        let silence = stream::pending::<Result<String, Infallible>>();
        return ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(silence)).into_response();
    }
    let endpoints: Vec<Value> = API_SERVERS.iter().map(|ip| json!({"addresses": [ip]})).collect();
    Json(json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSliceList", "metadata": {"resourceVersion": "1"},
        "items": [{
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "kubernetes", "namespace": "default", "resourceVersion": "1"},
            "endpoints": endpoints, "ports": [{"name": "https", "port": API_SERVER_PORT}],
        }],
    }))
    .into_response()
}

async fn read(State(api): State<Api>, Path((_, name)): Path<(String, String)>) -> Response {
    api.port(&name).map_or_else(
        || status(StatusCode::NOT_FOUND, "no such Port"),
        |port| Json(port).into_response(),
    )
}

async fn change(
    State(api): State<Api>,
    Path((_, name)): Path<(String, String)>,
    Json(change): Json<Value>,
) -> Response {
    {
        let mut state = api.state.lock().unwrap();
        if state.broken {
            state.failed.push(name);
            return status(StatusCode::SERVICE_UNAVAILABLE, "etcd is away");
        }
    }
    let Some(mut port) = api.port(&name) else {
        return status(StatusCode::NOT_FOUND, "no such Port");
    };
    let changed = match change {
        Value::Array(_) => {
            let change: json_patch::Patch = serde_json::from_value(change).unwrap();
            json_patch::patch(&mut port, &change).map_err(|e| e.to_string())
        }
        merge => {
            json_patch::merge(&mut port, &merge);
            Ok(())
        }
    };
    if let Err(error) = changed {
        return status(StatusCode::UNPROCESSABLE_ENTITY, &error);
    }
    let deleting = port["metadata"]["deletionTimestamp"].is_string();
    let free = port["metadata"]["finalizers"].as_array().is_none_or(Vec::is_empty);
    api.put(port.clone());
    if deleting && free {
        api.remove(&name);
    }
    Json(port).into_response()
}

async fn publish(State(api): State<Api>, Json(event): Json<Value>) -> Response {
    api.state.lock().unwrap().published.push(event.clone());
    (StatusCode::CREATED, Json(event)).into_response()
}

fn status(code: StatusCode, message: &str) -> Response {
    let status = json!({
        "apiVersion": "v1", "kind": "Status", "status": "Failure", "message": message,
        "reason": code.canonical_reason(), "code": code.as_u16(),
    });
    (code, Json(status)).into_response()
}
