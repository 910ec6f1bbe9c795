//! Making things while their IDs cannot be written down.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use kube::Client;
use kube::client::Body;
use serde_json::{Map, Value, json};
use stackube_api::address::{AddressRules, Subnet as Range};

use super::*;
use crate::port::fake::Fake;

fn network() -> Value {
    json!({
        "apiVersion": "stackube.io/v1", "kind": "Network", "metadata": {"name": "test", "namespace": "test", "uid": "u-1"},
        "spec": {"cidr": "10.244.0.0/16", "gateway": "10.244.0.1"},
    })
}

/// An API server that refuses the first write, and what was written after that.
fn api_server() -> (Client, Arc<Mutex<Map<String, Value>>>) {
    let status = Arc::<Mutex<Map<String, Value>>>::default();
    let (written, refused) = (Arc::clone(&status), Arc::new(Mutex::new(false)));
    let serve = move |request: http::Request<Body>| {
        let (written, refused) = (Arc::clone(&written), Arc::clone(&refused));
        async move {
            let body = request.into_body().collect_bytes().await.unwrap();
            let patch: Value = serde_json::from_slice(&body).unwrap();
            let (code, answer) = if std::mem::replace(&mut *refused.lock().unwrap(), true) {
                let change = patch["status"].as_object().unwrap().clone();
                written.lock().unwrap().extend(change);
                (200, network())
            } else {
                (
                    500,
                    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 500, "message": "no"}),
                )
            };
            let answer = Body::from(answer.to_string().into_bytes());
            Ok::<_, Infallible>(http::Response::builder().status(code).body(answer).unwrap())
        }
    };
    (Client::new(tower::service_fn(serve), "default"), status)
}

#[tokio::test]
async fn what_is_under_way_when_the_status_cannot_be_written_is_not_forgotten() {
    let (fake, (client, status)) = (Fake::start().await, api_server());
    let network: stackube_api::Network = serde_json::from_value(network()).unwrap();
    let marks = Marks::new(&network, "project".parse().unwrap(), "c-1");
    let wanted = Wanted {
        range: Range::new("10.244.0.0/16", None, &AddressRules::default()).unwrap(),
        external: "ext".parse().unwrap(),
        tags: marks.tags.clone(),
        adopted: false,
    };
    let work = Work {
        session: &fake.session,
        service: &fake.session,
        marks: &marks,
        wanted: &wanted,
    };
    let mut record = Record::new(client, &network);
    let result = work.apply(&mut Observed::default(), &mut record, |_| {}).await;
    assert!(matches!(result, Err(Stop::Kubernetes(_))), "{result:?}");
    let made = |collection: &str| fake.state().others[collection][0]["id"].clone();
    let status = status.lock().unwrap();
    assert_eq!(status["networkID"], made("networks"));
    assert_eq!(status["routerID"], made("routers"));
    assert_eq!(status["securityGroupID"], made("security-groups"));
    assert_eq!(fake.state().requests.len(), 3, "and nothing else was begun");
}
