//! Ways to have a pod outlive its deletion.

use kube::Client;
use serde_json::{Value, json};
use stackube_e2e::identity::Identity;

use super::subresources::refused;

const REFUSAL: &str = "at most an hour (3600 s) to end";

/// What people and Kubernetes itself give a pod to end: its spec's time, none, a minute; and the most that there is.
const ORDINARY: [Option<u32>; 4] = [None, Some(0), Some(60), Some(3600)];

/// Asserts that no deletion gives a running pod more than the hour that its spec may, however it is deleted.
pub(super) async fn longer_than_an_hour(client: &Client, who: &Identity, path: &str, pod: &str) {
    for way in ["delete", "deletecollection", "eviction"] {
        let delete = async |seconds: Option<u32>| match way {
            "delete" => who.try_delete_within(client, path, Some(pod), seconds).await,
            "deletecollection" => who.try_delete_within(client, path, None, seconds).await,
            _ => {
                let path = format!("{path}/{pod}/eviction");
                who.try_create(client, &path, &eviction(pod, seconds)).await
            }
        };
        for seconds in ORDINARY {
            let answer = delete(seconds).await;
            assert!(answer.is_ok(), "{way} within {seconds:?} s: {answer:?}");
        }
        for seconds in [3601, 315_360_000] {
            refused(
                &format!("{way} within {seconds} s"),
                delete(Some(seconds)).await,
                REFUSAL,
            );
        }
    }
}

fn eviction(pod: &str, seconds: Option<u32>) -> Value {
    let mut object = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}});
    if let Some(seconds) = seconds {
        object["deleteOptions"] = json!({"gracePeriodSeconds": seconds});
    }
    object
}
