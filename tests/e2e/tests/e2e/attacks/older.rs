//! What is older than a rule that refuses it: it can be scaled, and its template be changed only to what the rule admits. Here it was made
//! before its namespace was handed over to a tenant.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use stackube_e2e::{admin, always::always, devbox::Devbox, identity::Identity, tenant, wait};

use super::{subresources::refused, tables};
use crate::shared;

/// One thing for each policy, and what that says of it.
const WRONG: [(&str, &str); 4] = [
    ("hostNetwork", "hostNetwork is not for tenants"),
    ("tolerations", "a toleration without a key"),
    ("runtimeClassName", "leave runtimeClassName away"),
    ("containers", "must have a full name"),
];

#[tokio::test]
async fn what_is_older_than_a_rule_is_scaled_and_not_changed() {
    let _guard = shared().await;
    let devbox = Devbox::connect().await;
    let name = tenant::unique("older");
    always(hand_over(&devbox, &name), async {
        for kind in ["tenant", "namespace"] {
            let delete = ["delete", kind, &name, "--ignore-not-found"];
            devbox.kubectl(&delete, "").await.unwrap();
        }
    })
    .await;
}

async fn hand_over(devbox: &Devbox, name: &str) {
    devbox.kubectl(&["create", "namespace", name], "").await.unwrap();
    let spec = json!({
        "hostNetwork": true, "tolerations": [{"operator": "Exists"}], "runtimeClassName": "another",
        "containers": [{"name": "c", "image": "registry:5000/a"}],
    });
    let older = tables::idle(name, &spec);
    for (_, object) in &older {
        let mut object = object.clone();
        object["metadata"]["namespace"] = name.into();
        admin::create(devbox, &object).await;
    }
    let hand_over = format!("stackube.kubernetes.io/adopt={name}");
    devbox
        .kubectl(&["annotate", "namespace", name, &hand_over], "")
        .await
        .unwrap();
    tenant::create(devbox, name, "").await.unwrap();
    let tenant = tenant::active(devbox, name).await;
    let who = Identity::in_project(devbox, &tenant::project_of(&tenant), "stackube-admin").await;
    for (path, object) in &older {
        what_makes_no_other_pods(devbox, &who, path, object).await;
        another_template(devbox, &who, path, object["kind"].as_str().unwrap()).await;
    }
    a_deployment_is_scaled(devbox, name).await;
    tenant::delete(devbox, name).await;
}

/// A change of anything but the template is admitted.
async fn what_makes_no_other_pods(devbox: &Devbox, who: &Identity, path: &str, object: &Value) {
    let change = match object["kind"].as_str().unwrap() {
        "PodTemplate" => json!({"metadata": {"labels": {"a": "b"}}}),
        "Job" | "CronJob" => json!({"spec": {"suspend": false}}),
        "DaemonSet" => json!({"spec": {"minReadySeconds": 1}}),
        _ => json!({"spec": {"replicas": 1}}),
    };
    let answer = who.try_merge(&devbox.kube, path, "attack", &change).await;
    answer.unwrap_or_else(|error| panic!("{change} at {path}: {error:#}"));
}

/// A template that is changed is judged whole, also by what was in it already.
async fn another_template(devbox: &Devbox, who: &Identity, path: &str, kind: &str) {
    let mended = json!({
        "hostNetwork": null, "tolerations": null, "runtimeClassName": null,
        "containers": [{"name": "c", "image": "busybox"}],
    });
    let change = async |spec: &Value| {
        let template = json!({"template": {"spec": spec}});
        let change = match kind {
            "PodTemplate" => template,
            "CronJob" => json!({"spec": {"jobTemplate": {"spec": template}}}),
            _ => json!({"spec": template}),
        };
        who.try_merge(&devbox.kube, path, "attack", &change).await
    };
    // The pods of a Job never change.
    let immutable = (kind == "Job").then_some("field is immutable");
    for (field, why) in WRONG {
        let mut others = mended.clone();
        others.as_object_mut().unwrap().remove(field);
        let answer = change(&others).await;
        refused(
            &format!("another template with {field} at {path}"),
            answer,
            immutable.unwrap_or(why),
        );
    }
    let answer = change(&mended).await;
    assert!(
        immutable.is_some() || answer.is_ok(),
        "a good template at {path}: {answer:?}"
    );
}

/// Kubernetes' own controllers do what the tenant's Deployment says, but for its pods: those are refused.
async fn a_deployment_is_scaled(devbox: &Devbox, name: &str) {
    for (replicas, failure) in [("1", "FailedCreate"), ("0", "")] {
        let count = format!("--replicas={replicas}");
        let scale = ["-n", name, "scale", "deployment", "attack", &count];
        devbox.kubectl(&scale, "").await.unwrap();
        // Only the Deployment's own has the label.
        let says =
            r#"jsonpath={.items[*].spec.replicas} {.items[*].status.conditions[?(@.type=="ReplicaFailure")].reason}"#;
        let get = ["-n", name, "get", "replicasets", "--selector=app=attack", "-o", says];
        let probe = async || -> Result<()> {
            let said = devbox.kubectl(&get, "").await?;
            ensure!(said == format!("{replicas} {failure}"), "{said:?}");
            Ok(())
        };
        wait::until(&format!("a ReplicaSet of {replicas}"), Duration::from_secs(60), probe).await;
    }
    let pods = devbox.kubectl(&["-n", name, "get", "pods", "-o", "name"], "").await;
    assert_eq!(pods.unwrap(), "");
}
