//! Real requests for a pod that runs and a Deployment: what only works, and only counts, where there is something.

use http::Method;
use serde_json::json;
use stackube_e2e::{devbox::Devbox, forward, pods};

use super::{
    members::Member,
    requests::{Row, assert_rows},
};

/// As the table of all other requests.
const RUNNING: &[Row] = &[
    (Method::GET, "/api/v1/namespaces/NS/pods/web/log", "", "yyy"),
    (
        Method::GET,
        "/api/v1/namespaces/NS/pods/web/exec?command=true&stdout=true",
        "",
        "yy-",
    ),
    (
        Method::GET,
        "/api/v1/namespaces/NS/pods/web/attach?stdout=true",
        "",
        "yy-",
    ),
    (
        Method::GET,
        "/api/v1/namespaces/NS/pods/web/portforward?ports=80",
        "",
        "yy-",
    ),
    (
        Method::PATCH,
        "/api/v1/namespaces/NS/pods/web/ephemeralcontainers",
        r#"{"spec": {"ephemeralContainers": [{"name": "debug", "image": "busybox"}]}}"#,
        "yy-",
    ),
    (
        Method::POST,
        "/api/v1/namespaces/NS/pods/web/eviction",
        r#"{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "web"}}"#,
        "yy-",
    ),
    (
        Method::GET,
        "/apis/apps/v1/namespaces/NS/deployments/none/scale",
        "",
        "yyy",
    ),
    (
        Method::PATCH,
        "/apis/apps/v1/namespaces/NS/deployments/none/scale",
        r#"{"spec": {"replicas": 1}}"#,
        "yy-",
    ),
];

/// Makes what the requests are for.
pub(super) async fn make(devbox: &Devbox, namespace: &str) {
    let labels = json!({"app": "none"});
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "none"},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
            "spec": {"containers": [{"name": "c", "image": "busybox"}]}}}});
    let create = ["-n", namespace, "create", "-f", "-"];
    devbox.kubectl(&create, &deployment.to_string()).await.unwrap();
    devbox.kubectl(&create, &listener(namespace).to_string()).await.unwrap();
    tokio::join!(
        pods::run(devbox, namespace, "web", "of-a"),
        pods::ready(devbox, namespace, "listener")
    );
}

/// A pod with a container for each who may attach: it repeats what it hears, and ends with the first who attaches.
fn listener(namespace: &str) -> serde_json::Value {
    let container = |index: usize| {
        json!({"name": format!("c{index}"), "image": "busybox", "imagePullPolicy": "IfNotPresent",
            "command": ["cat"], "stdin": true, "stdinOnce": true})
    };
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "listener", "namespace": namespace},
        "spec": {"terminationGracePeriodSeconds": 0, "restartPolicy": "Never", "containers": [container(0), container(1)]}})
}

/// As [`requests::assert_answered`](super::requests::assert_answered), and opens each kind of stream by kubectl.
pub(super) async fn assert_answered(
    devbox: &Devbox,
    member: &Member,
    index: usize,
    own: &str,
    foreign: &str,
) -> (usize, usize) {
    let kubectl = async |arguments: &[&str], stdin| {
        let arguments = [&["-n", own], arguments].concat();
        devbox.kubectl_with_input(&member.token, &arguments, stdin).await
    };
    // kubectl refuses by itself to attach to a pod that has ended, as the listener has for the third.
    let listening = [("listener", "c0"), ("listener", "c1"), ("web", "")];
    let (pod, container) = listening[index];
    let attach = ["attach", "--stdin", pod, "--container", container];
    let streams = [
        (
            "exec",
            "inside",
            kubectl(&["exec", "web", "--", "echo", "inside"], "").await,
        ),
        ("attach", "said to it", kubectl(&attach, "said to it\n").await),
        (
            "port-forward",
            "of-a",
            forward::get(devbox, Some(&member.token), own, "web").await,
        ),
    ];
    for (stream, expected, answer) in streams {
        let role = member.role;
        match answer {
            Ok(text) => assert!(index < 2 && text.contains(expected), "{stream} of {role}: {text}"),
            Err(error) => {
                let text = format!("{error:#}");
                assert!(index == 2 && text.contains("forbidden"), "{stream} of {role}: {text}");
            }
        }
    }
    assert_rows(&member.client, RUNNING, index, own, &[foreign]).await
}
