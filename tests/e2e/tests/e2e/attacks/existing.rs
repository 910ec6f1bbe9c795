//! The same attempts on what exists already: by PUT, by a merge patch, by server-side apply, and by subresources.

use std::sync::Arc;

use anyhow::Result;
use kube::Client;
use serde_json::{Value, json};
use stackube_e2e::{devbox::Devbox, identity::Identity};

use super::tables::{self, Attempt};
use super::{Count, assert_judged, subresources::refused};

const WAYS: [&str; 3] = ["PUT", "merge patch", "apply"];

/// Makes something ordinary of each kind.
pub(super) async fn make(devbox: &Devbox, namespace: &str) {
    let items: Vec<Value> = tables::ordinary(namespace)
        .into_iter()
        .map(|(_, object)| object)
        .collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string();
    devbox
        .kubectl(&["-n", namespace, "create", "-f", "-"], &list)
        .await
        .unwrap();
}

async fn send(client: &Client, who: &Identity, way: &str, path: &str, object: &Value) -> Result<Value> {
    let name = object["metadata"]["name"].as_str().unwrap();
    match way {
        "PUT" => who.try_replace(client, path, name, object).await,
        "merge patch" => who.try_merge(client, path, name, object).await,
        _ => who.try_apply(client, path, name, object).await,
    }
}

/// Tries to make each of them what the tables say, in every way; panics with those that were not answered as expected.
pub(super) async fn assert_answers(client: &Client, who: &Identity, namespace: &str) -> Count {
    let ordinary = tables::ordinary(namespace);
    let exists = |attempt: &Attempt| {
        let is_it = attempt.object["metadata"]["name"] == "attack";
        is_it && ordinary.iter().any(|(path, _)| *path == attempt.path)
    };
    // What is admitted when it is made may be something else than a change that is.
    let objects = tables::objects(namespace, "none")
        .into_iter()
        .filter(|attempt| attempt.refusal.is_some());
    let workloads = tables::workloads(namespace).into_iter();
    let attempts = workloads.filter(|attempt| attempt.refusal.is_some() || attempt.later.is_none());
    let unchanged = ordinary.iter().map(|(path, object)| Attempt {
        what: "as it is".to_owned(),
        path: path.clone(),
        object: object.clone(),
        refusal: None,
        later: None,
    });
    let requests = attempts
        .chain(objects)
        .filter(exists)
        .chain(unchanged)
        .flat_map(|attempt| {
            // Only what the API server has written into a Job makes it whole again.
            let incomplete = attempt.refusal.is_none() && attempt.path.ends_with("/jobs");
            let ways = WAYS.into_iter().filter(move |way| !(incomplete && *way == "PUT"));
            let attempt = Arc::new(attempt);
            ways.map(move |way| {
                let attempt = attempt.clone();
                async move {
                    let answer = send(client, who, way, &attempt.path, &attempt.object).await;
                    let complaint = attempt.complaint(&answer, true);
                    (answer.is_err(), complaint.map(|text| format!("{way}: {text}")))
                }
            })
        });
    assert_judged(requests).await
}

/// What the tenant may do by subresources of its workloads, and what not there or elsewhere.
pub(super) async fn subresources(client: &Client, who: &Identity, namespace: &str) {
    for (path, object) in tables::ordinary(namespace) {
        let has = |field: &str| object["spec"].get(field).is_some();
        if has("replicas") {
            let scale = json!({"spec": {"replicas": 1}});
            who.try_merge(client, &path, "attack/scale", &scale).await.unwrap();
        }
        if has("template") || has("jobTemplate") {
            let status = json!({"status": {"observedGeneration": 1}});
            let answer = who.try_merge(client, &path, "attack/status", &status).await;
            refused(&format!("the status of {path}"), answer, "forbidden");
        }
    }
    let elsewhere = "/apis/apps/v1/namespaces/stackube-system/deployments";
    let none = json!({"spec": {"replicas": 0}});
    let answer = who
        .try_merge(client, elsewhere, "stackube-controller/scale", &none)
        .await;
    refused("no controller", answer, "forbidden");
    let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "x"}});
    let path = "/api/v1/namespaces/stackube-system/pods/x/eviction";
    refused(
        "somebody else's pod",
        who.try_create(client, path, &eviction).await,
        "forbidden",
    );
}
