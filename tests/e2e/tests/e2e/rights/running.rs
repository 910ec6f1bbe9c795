//! Real requests for a pod that runs and a Deployment: what only works, and only counts, where there is something.

use http::Method;
use serde_json::json;
use stackube_e2e::{devbox::Devbox, pods};

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
    pods::run(devbox, namespace, "web", "of-a").await;
}

/// As [`requests::assert_answered`](super::requests::assert_answered), and runs a command by kubectl.
pub(super) async fn assert_answered(
    devbox: &Devbox,
    member: &Member,
    index: usize,
    own: &str,
    foreign: &str,
) -> (usize, usize) {
    let echo = ["-n", own, "exec", "web", "--", "echo", "inside"];
    match devbox.kubectl_with(&member.token, &echo).await {
        Ok(text) => assert!(index < 2 && text.trim() == "inside", "{}: {text}", member.role),
        Err(error) => {
            let text = format!("{error:#}");
            assert!(index == 2 && text.contains("forbidden"), "{}: {text}", member.role);
        }
    }
    assert_rows(&member.client, RUNNING, index, own, &[foreign]).await
}
