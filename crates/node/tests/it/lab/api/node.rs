//! The Nodes: the daemon's own, which it may change, and another.

use std::collections::BTreeMap;
use std::convert::Infallible;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use serde_json::{Map, Value, json};

use super::{Api, OTHER_NODE, status};

/// The daemon's own Node.
pub(super) struct OwnNode {
    registered: bool,
    version: u64,
    annotations: Map<String, Value>,
}

impl Default for OwnNode {
    fn default() -> Self {
        Self {
            registered: true,
            version: 1,
            annotations: Map::new(),
        }
    }
}

impl OwnNode {
    fn object(&self, name: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "resourceVersion": self.version.to_string(), "annotations": self.annotations},
        })
    }
}

impl Api {
    pub(crate) fn node_annotation(&self, key: &str) -> Option<String> {
        let state = self.state.lock().unwrap();
        state.own_node.annotations.get(key)?.as_str().map(str::to_owned)
    }

    /// What somebody does who thinks that nobody needs them.
    pub(crate) fn remove_node_annotations(&self) {
        self.change_node("MODIFIED", |node| node.annotations.clear());
    }

    /// Takes the daemon's own Node away.
    pub(crate) fn delete_node(&self) {
        self.change_node("DELETED", |node| {
            node.registered = false;
            node.annotations.clear();
        });
    }

    /// Makes it again, as kubelet does: it says nothing of the chassis.
    pub(crate) fn register_node(&self) {
        self.change_node("ADDED", |node| node.registered = true);
    }

    /// Whether the list of all Nodes is answered with an error.
    pub(crate) fn hide_nodes(&self, hidden: bool) {
        self.state.lock().unwrap().nodes_hidden = hidden;
    }

    fn change_node(&self, kind: &str, change: impl FnOnce(&mut OwnNode)) {
        let mut state = self.state.lock().unwrap();
        change(&mut state.own_node);
        state.own_node.version += 1;
        let object = state.own_node.object(self.node);
        let _ = self.node_events.send(json!({"type": kind, "object": object}));
    }
}

/// All Nodes, or the daemon's own.
pub(super) async fn list(State(api): State<Api>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let only_own = query.get("fieldSelector").map(String::as_str) == Some(&format!("metadata.name={}", api.node));
    let events = api.node_events.subscribe();
    let own = {
        let state = api.state.lock().unwrap();
        state.own_node.registered.then(|| state.own_node.object(api.node))
    };
    if query.contains_key("watch") {
        // Those who watch all Nodes want their addresses, which never change.
        let body = if only_own {
            // What changed between list and watch: the Node as it is now.
            let missed = own.map(|own| json!({"type": "MODIFIED", "object": own}));
            let changes = stream::unfold(
                events,
                |mut events| async move { Some((events.recv().await.ok()?, events)) },
            );
            let lines = stream::iter(missed).chain(changes);
            Body::from_stream(lines.map(|event| Ok::<_, Infallible>(format!("{event}\n"))))
        } else {
            Body::from_stream(stream::pending::<Result<String, Infallible>>())
        };
        return ([(header::CONTENT_TYPE, "application/json")], body).into_response();
    }
    if !only_own && api.state.lock().unwrap().nodes_hidden {
        return status(StatusCode::SERVICE_UNAVAILABLE, "the nodes are hidden");
    }
    let items = if only_own {
        own.into_iter().collect()
    } else {
        vec![json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-2", "resourceVersion": "1"},
            "status": {"addresses": [{"type": "InternalIP", "address": OTHER_NODE}, {"type": "Hostname", "address": "node-2"}]},
        })]
    };
    let list = json!({"apiVersion": "v1", "kind": "NodeList", "metadata": {"resourceVersion": "1"}, "items": items});
    Json(list).into_response()
}

pub(super) async fn annotate(State(api): State<Api>, Path(name): Path<String>, Json(change): Json<Value>) -> Response {
    if name != api.node {
        return status(StatusCode::FORBIDDEN, "this node may only change its own Node");
    }
    if !api.state.lock().unwrap().own_node.registered {
        return status(StatusCode::NOT_FOUND, "no such Node");
    }
    let annotations = change["metadata"]["annotations"].as_object().cloned();
    api.change_node("MODIFIED", |node| {
        node.annotations.extend(annotations.unwrap_or_default());
    });
    Json(json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})).into_response()
}
