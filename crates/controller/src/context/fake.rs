//! A context in this process, and a Kubernetes API with one object behind it.

use std::convert::Infallible;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard};

use http::Response;
use kube::client::Body;
use kube::runtime::reflector::{self, Lookup, Store};
use kube::runtime::watcher::Event;
use serde_json::{Value, json};

use super::*;
use crate::addresses::Found;

/// Who the controller is in tests.
const CLUSTER: &str = "c-1";

pub(crate) fn context(kube: Client, cloud: &Cloud, tenants: Vec<Tenant>, networks: Vec<Network>) -> Context {
    let config = Arc::new(crate::config::tests::config());
    Context {
        cloud: cloud.clone(),
        identity: Identity {
            cluster: CLUSTER.into(),
            project: ProjectId::new("own").unwrap(),
            user: UserId::new("service").unwrap(),
            tenant_domain: DomainId::new("default").unwrap(),
        },
        addresses: Addresses::new(
            config.address_rules.clone(),
            config.system_subnet.range(),
            Found::default(),
        ),
        config,
        events: Events::new(kube.clone(), "test".into()),
        metrics: Metrics::new(),
        tenants: store(tenants),
        networks: store(networks),
        claims: Claims::default(),
        inventory: Inventory::default(),
        kube,
    }
}

/// What a watch would have brought.
pub(crate) fn store<K>(objects: Vec<K>) -> Store<K>
where
    K: Lookup + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone + Default,
{
    let (store, mut writer) = reflector::store();
    for object in objects {
        writer.apply_watcher_event(&Event::Apply(object));
    }
    store
}

/// An API server with one object, which can be read and patched; it knows nothing else.
#[derive(Clone)]
pub(crate) struct ApiServer(Arc<Mutex<Kept>>);

pub(crate) struct Kept {
    pub(crate) object: Value,
    /// The path of each patch that was asked for.
    pub(crate) patches: Vec<String>,
    /// The patch of this number, from 0, is refused and changes nothing.
    pub(crate) refuse: Option<usize>,
    path: String,
}

impl ApiServer {
    /// `path` is where the object is.
    pub(crate) fn new(path: &str, mut object: Value) -> (Self, Client) {
        object["metadata"]["resourceVersion"] = json!("1");
        let kept = Kept {
            object,
            patches: vec![],
            refuse: None,
            path: path.into(),
        };
        let server = Self(Arc::new(Mutex::new(kept)));
        let answers = server.clone();
        let serve = move |request: http::Request<Body>| {
            let server = answers.clone();
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect_bytes().await.unwrap();
                let (code, answer) = server.kept().answer(&head.method, head.uri.path(), &body);
                let answer = Body::from(answer.to_string().into_bytes());
                Ok::<_, Infallible>(Response::builder().status(code).body(answer).unwrap())
            }
        };
        (server, Client::new(tower::service_fn(serve), "default"))
    }

    pub(crate) fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap()
    }
}

impl Kept {
    fn answer(&mut self, method: &http::Method, path: &str, body: &[u8]) -> (u16, Value) {
        let is_status = path.strip_suffix("/status") == Some(self.path.as_str());
        if path != self.path && !is_status {
            return refusal(404, "NotFound");
        }
        if method == http::Method::GET {
            return (200, self.object.clone());
        }
        assert_eq!(method, http::Method::PATCH);
        self.patches.push(path.to_owned());
        if self.refuse == Some(self.patches.len() - 1) {
            return refusal(500, "InternalError");
        }
        let mut patch: Value = serde_json::from_slice(body).unwrap();
        let wanted = patch["metadata"]["resourceVersion"].take();
        let version = self.object["metadata"]["resourceVersion"].clone();
        if !wanted.is_null() && wanted != version {
            return refusal(409, "Conflict");
        }
        // The status has its own address: a patch of one does not touch the other.
        let other = if is_status { "metadata" } else { "status" };
        patch.as_object_mut().unwrap().remove(other);
        merge(&mut self.object, &patch);
        let next = version.as_str().unwrap().parse::<u64>().unwrap() + 1;
        self.object["metadata"]["resourceVersion"] = json!(next.to_string());
        (200, self.object.clone())
    }
}

fn refusal(code: u16, reason: &str) -> (u16, Value) {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
        "reason": reason, "message": "refused by the fake"});
    (code, status)
}

/// JSON merge patch (RFC 7396).
fn merge(object: &mut Value, patch: &Value) {
    let Some(changes) = patch.as_object() else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (name, change) in changes {
        if change.is_null() {
            object.as_object_mut().unwrap().remove(name);
        } else {
            merge(&mut object[name], change);
        }
    }
}
