//! Real requests, one at least for each kind of right.

use futures::{StreamExt, stream};
use http::{Method, Request, StatusCode, header};
use kube::{Client, client::Body};

use super::AT_ONCE;

/// Method, path (`NS` is the namespace), body, and who may: admin, edit, view. Writes are dry runs.
pub(super) type Row = (Method, &'static str, &'static str, &'static str);

/// Everything that needs nothing to be there.
const NAMESPACED: &[Row] = &[
    (Method::GET, "/api/v1/namespaces/NS", "", "yyy"),
    (Method::GET, "/api/v1/namespaces/NS/pods", "", "yyy"),
    (
        Method::GET,
        "/api/v1/namespaces/NS/pods?watch=true&timeoutSeconds=1",
        "",
        "yyy",
    ),
    (Method::GET, "/api/v1/namespaces/NS/events", "", "yyy"),
    (Method::GET, "/api/v1/namespaces/NS/resourcequotas", "", "yyy"),
    (Method::GET, "/api/v1/namespaces/NS/secrets", "", "yy-"),
    (Method::GET, "/apis/apps/v1/namespaces/NS/deployments", "", "yyy"),
    (
        Method::GET,
        "/apis/rbac.authorization.k8s.io/v1/namespaces/NS/rolebindings",
        "",
        "yyy",
    ),
    (
        Method::GET,
        "/apis/stackube.kubernetes.io/v1/namespaces/NS/networks",
        "",
        "yyy",
    ),
    (
        Method::GET,
        "/apis/stackube.kubernetes.io/v1/namespaces/NS/ports",
        "",
        "yyy",
    ),
    (Method::GET, "/api/v1/namespaces/NS/pods/x/proxy/", "", "---"),
    (Method::GET, "/api/v1/namespaces/NS/services/x/proxy/", "", "---"),
    (Method::POST, "/api/v1/namespaces/NS/services/x/proxy/", "{}", "---"),
    (
        Method::POST,
        "/api/v1/namespaces/NS/configmaps",
        r#"{"metadata": {"name": "x"}}"#,
        "yy-",
    ),
    (
        Method::POST,
        "/api/v1/namespaces/NS/secrets",
        r#"{"metadata": {"name": "x"}}"#,
        "yy-",
    ),
    (
        Method::POST,
        "/api/v1/namespaces/NS/serviceaccounts",
        r#"{"metadata": {"name": "x"}}"#,
        "yy-",
    ),
    (
        Method::POST,
        "/api/v1/namespaces/NS/pods",
        r#"{"metadata": {"name": "x"}, "spec": {"containers": [{"name": "c", "image": "busybox"}]}}"#,
        "yy-",
    ),
    (
        Method::POST,
        "/api/v1/namespaces/NS/persistentvolumeclaims",
        r#"{"metadata": {"name": "x"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}"#,
        "yy-",
    ),
    (
        Method::POST,
        "/apis/batch/v1/namespaces/NS/jobs",
        r#"{"metadata": {"name": "x"}, "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox"}]}}}}"#,
        "yy-",
    ),
    (
        Method::POST,
        "/apis/autoscaling/v2/namespaces/NS/horizontalpodautoscalers",
        r#"{"metadata": {"name": "x"}, "spec": {"maxReplicas": 1, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "x"}}}"#,
        "yy-",
    ),
    (
        Method::POST,
        "/apis/networking.k8s.io/v1/namespaces/NS/ingresses",
        r#"{"metadata": {"name": "x"}, "spec": {"defaultBackend": {"service": {"name": "x", "port": {"number": 80}}}}}"#,
        "yy-",
    ),
    (
        Method::POST,
        "/api/v1/namespaces/NS/bindings",
        r#"{"metadata": {"name": "x"}, "target": {"kind": "Node", "name": "stackube"}}"#,
        "---",
    ),
    (
        Method::POST,
        "/api/v1/namespaces/NS/serviceaccounts/default/token",
        r#"{"spec": {"audiences": []}}"#,
        "y--",
    ),
    (
        Method::POST,
        "/apis/rbac.authorization.k8s.io/v1/namespaces/NS/roles",
        r#"{"metadata": {"name": "x"}}"#,
        "y--",
    ),
    (
        Method::POST,
        "/apis/rbac.authorization.k8s.io/v1/namespaces/NS/rolebindings",
        r#"{"metadata": {"name": "x"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "stackube-view"}}"#,
        "y--",
    ),
    (
        Method::POST,
        "/api/v1/namespaces/NS/resourcequotas",
        r#"{"metadata": {"name": "x"}}"#,
        "---",
    ),
    (
        Method::POST,
        "/api/v1/namespaces/NS/limitranges",
        r#"{"metadata": {"name": "x"}, "spec": {"limits": []}}"#,
        "---",
    ),
    (
        Method::POST,
        "/api/v1/namespaces/NS/events",
        r#"{"metadata": {"name": "x"}}"#,
        "---",
    ),
    (
        Method::POST,
        "/api/v1/namespaces/NS/pods/x/binding",
        r#"{"target": {"kind": "Node", "name": "stackube"}}"#,
        "---",
    ),
    (
        Method::POST,
        "/apis/stackube.kubernetes.io/v1/namespaces/NS/ports",
        r#"{"apiVersion": "stackube.kubernetes.io/v1", "kind": "Port", "metadata": {"name": "x"}}"#,
        "---",
    ),
    (
        Method::PATCH,
        "/api/v1/namespaces/NS/configmaps/kube-root-ca.crt",
        r#"{"metadata": {"labels": {"a": "b"}}}"#,
        "yy-",
    ),
    (
        Method::PATCH,
        "/api/v1/namespaces/NS/serviceaccounts/default",
        r#"{"metadata": {"labels": {"a": "b"}}}"#,
        "yy-",
    ),
    (
        Method::PATCH,
        "/api/v1/namespaces/NS",
        r#"{"metadata": {"labels": {"a": "b"}}}"#,
        "---",
    ),
    (
        Method::PATCH,
        "/api/v1/namespaces/NS/resourcequotas/stackube",
        r#"{"spec": {"hard": {"pods": "9"}}}"#,
        "---",
    ),
    (
        Method::PATCH,
        "/apis/stackube.kubernetes.io/v1/namespaces/NS/networks/NS",
        r#"{"spec": {"cidr": "10.0.0.0/8"}}"#,
        "---",
    ),
    (
        Method::DELETE,
        "/api/v1/namespaces/NS/configmaps/kube-root-ca.crt",
        "",
        "yy-",
    ),
    (Method::DELETE, "/api/v1/namespaces/NS/pods", "", "yy-"),
    (
        Method::DELETE,
        "/api/v1/namespaces/NS/resourcequotas/stackube",
        "",
        "---",
    ),
    (
        Method::DELETE,
        "/apis/stackube.kubernetes.io/v1/namespaces/NS/networks/NS",
        "",
        "---",
    ),
    (Method::DELETE, "/api/v1/namespaces/NS", "", "---"),
];

/// What nobody of a tenant may do; `NS` is its own Tenant.
const CLUSTER: &[(Method, &str, &str)] = &[
    (Method::GET, "/api/v1/nodes", ""),
    (Method::GET, "/api/v1/nodes/stackube/proxy/pods", ""),
    (Method::GET, "/api/v1/namespaces", ""),
    (Method::GET, "/api/v1/pods", ""),
    (Method::GET, "/api/v1/secrets", ""),
    (Method::GET, "/api/v1/persistentvolumes", ""),
    (Method::GET, "/apis/stackube.kubernetes.io/v1/tenants", ""),
    (Method::GET, "/apis/stackube.kubernetes.io/v1/ports", ""),
    (Method::GET, "/apis/rbac.authorization.k8s.io/v1/clusterroles", ""),
    (
        Method::GET,
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        "",
    ),
    (
        Method::GET,
        "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
        "",
    ),
    (Method::GET, "/metrics", ""),
    (Method::GET, "/logs/", ""),
    (Method::GET, "/debug/pprof/", ""),
    (Method::POST, "/api/v1/namespaces", r#"{"metadata": {"name": "e2e-x"}}"#),
    (
        Method::POST,
        "/apis/stackube.kubernetes.io/v1/tenants",
        r#"{"apiVersion": "stackube.kubernetes.io/v1", "kind": "Tenant", "metadata": {"name": "e2e-x"}, "spec": {"username": "x"}}"#,
    ),
    (
        Method::POST,
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        r#"{"metadata": {"name": "e2e-x"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}}"#,
    ),
    (
        Method::POST,
        "/apis/certificates.k8s.io/v1/certificatesigningrequests",
        r#"{"metadata": {"name": "e2e-x"}, "spec": {"request": "", "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"]}}"#,
    ),
    (
        Method::POST,
        "/apis/authentication.k8s.io/v1/tokenreviews",
        r#"{"spec": {"token": "x"}}"#,
    ),
    (
        Method::POST,
        "/apis/authorization.k8s.io/v1/subjectaccessreviews",
        r#"{"spec": {"user": "x", "nonResourceAttributes": {"verb": "get", "path": "/"}}}"#,
    ),
    (
        Method::PATCH,
        "/api/v1/nodes/stackube",
        r#"{"metadata": {"labels": {"a": "b"}}}"#,
    ),
    (
        Method::PATCH,
        "/apis/stackube.kubernetes.io/v1/tenants/NS",
        r#"{"spec": {"quota": {"kubernetes": {"pods": "9"}}}}"#,
    ),
    (
        Method::PATCH,
        "/apis/stackube.kubernetes.io/v1/tenants/NS/status",
        r#"{"status": {"projectID": "x"}}"#,
    ),
    (Method::DELETE, "/apis/stackube.kubernetes.io/v1/tenants/NS", ""),
];

/// Paths of streams. Whoever may open one is told to ask for an upgrade: one that is begun and left at once was seen to keep
/// containerd from noticing that the container ended.
const STREAMS: [&str; 3] = ["/exec?", "/attach?", "/portforward?"];

/// The status of the answer.
async fn send(client: &Client, method: &Method, path: &str, body: &str, user: Option<&str>) -> StatusCode {
    let dry_run = if *method == Method::GET { "" } else { "?dryRun=All" };
    let kind = if *method == Method::PATCH {
        "application/merge-patch+json"
    } else {
        "application/json"
    };
    let mut request = Request::builder()
        .method(method)
        .uri(format!("{path}{dry_run}"))
        .header(header::CONTENT_TYPE, kind);
    if let Some(user) = user {
        request = request.header("Impersonate-User", user);
    }
    let request = request.body(Body::from(body.as_bytes().to_vec())).unwrap();
    client.send(request).await.unwrap().status()
}

/// Method, path, body, who is impersonated, and whether it is answered.
type Sent<'a> = (&'a Method, String, &'a str, Option<String>, bool);

/// Each row in each namespace for one role: `index` is its place among admin, edit, view.
fn in_namespaces(rows: &'static [Row], index: usize, own: &str, others: &[&str]) -> Vec<Sent<'static>> {
    let mut all = vec![];
    for (method, path, body, expected) in rows {
        let may = expected.as_bytes()[index] == b'y';
        let foreign = others.iter().map(|other| (*other, false));
        for (namespace, may) in [(own, may)].into_iter().chain(foreign) {
            all.push((method, path.replace("NS", namespace), *body, None, may));
        }
    }
    all
}

/// Everything for one role.
fn all(index: usize, own: &str, others: &[&str]) -> Vec<Sent<'static>> {
    let mut all = in_namespaces(NAMESPACED, index, own, others);
    for (method, path, body) in CLUSTER {
        all.push((method, path.replace("NS", own), *body, None, false));
    }
    let pods = format!("/api/v1/namespaces/{own}/pods");
    let service_account = format!("system:serviceaccount:{own}:default");
    for user in ["system:admin", "system:kube-scheduler", &service_account] {
        all.push((&Method::GET, pods.clone(), "", Some(user.to_owned()), false));
    }
    all
}

/// Sends everything in the name of the client's token: one of a role (`index` is its place among admin, edit, view) in the
/// namespace `own`, and nobody in the others and in the cluster. How many requests were sent, and refused as they should be.
///
/// # Panics
/// With those that were answered otherwise.
pub(crate) async fn assert_answered(client: &Client, index: usize, own: &str, others: &[&str]) -> (usize, usize) {
    assert_all(client, all(index, own, others)).await
}

/// As [`assert_answered`], with these rows alone.
pub(super) async fn assert_rows(
    client: &Client,
    rows: &'static [Row],
    index: usize,
    own: &str,
    others: &[&str],
) -> (usize, usize) {
    assert_all(client, in_namespaces(rows, index, own, others)).await
}

async fn assert_all(client: &Client, all: Vec<Sent<'_>>) -> (usize, usize) {
    let requests = all.into_iter().map(|(method, path, body, user, may)| async move {
        let status = send(client, method, &path, body, user.as_deref()).await;
        let refused = status == StatusCode::FORBIDDEN;
        let is_stream = STREAMS.iter().any(|stream| path.contains(stream));
        let answered = status.is_success() || (is_stream && status == StatusCode::BAD_REQUEST);
        let fits = refused != may && (refused || answered);
        let as_whom = user.map(|user| format!(" as {user}")).unwrap_or_default();
        (refused, (!fits).then(|| format!("{method} {path}{as_whom}: {status}")))
    });
    let answers: Vec<(bool, Option<String>)> = stream::iter(requests).buffered(AT_ONCE).collect().await;
    let wrong: Vec<&String> = answers.iter().filter_map(|(_, complaint)| complaint.as_ref()).collect();
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), answers.len());
    let refused = answers.iter().filter(|(refused, _)| *refused).count();
    (answers.len(), refused)
}
