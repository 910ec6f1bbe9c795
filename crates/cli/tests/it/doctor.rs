//! `stackube doctor` beside an API server that is faked.

use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::{Login, kubeconfig};

const REGISTRATION: &str = "/apis/admissionregistration.k8s.io/v1";
const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

async fn answer(server: &MockServer, address: &str, status: u16, body: Value) {
    Mock::given(method("GET"))
        .and(path(address))
        .respond_with(ResponseTemplate::new(status).set_body_json(body))
        .mount(server)
        .await;
}

/// As the API server lists them: without kind, and with fields of its own.
fn list(kind: &str) -> Value {
    let text = include_str!("../../../../deployment/stackube.yaml");
    let mut objects: Vec<Value> = serde_saphyr::from_multiple(text).unwrap();
    objects.retain(|object| object["kind"] == kind);
    for object in &mut objects {
        object["metadata"]["uid"] = "x".into();
        for key in ["apiVersion", "kind"] {
            object.as_object_mut().unwrap().remove(key);
        }
    }
    json!({"kind": format!("{kind}List"), "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": objects})
}

/// An API server that has all of this release's policies and rights, with `change` made to the bindings of the first kind.
async fn api_server(change: impl FnOnce(&mut Vec<Value>)) -> MockServer {
    let server = MockServer::start().await;
    let version = json!({"major": "1", "minor": "36", "gitVersion": "v1.36.3", "gitCommit": "", "gitTreeState": "",
        "buildDate": "", "goVersion": "", "compiler": "", "platform": ""});
    answer(&server, "/version", 200, version).await;
    let mut bindings = list("ValidatingAdmissionPolicyBinding");
    change(bindings["items"].as_array_mut().unwrap());
    for (group, resource, list) in [
        (
            REGISTRATION,
            "validatingadmissionpolicies",
            list("ValidatingAdmissionPolicy"),
        ),
        (REGISTRATION, "validatingadmissionpolicybindings", bindings),
        (
            REGISTRATION,
            "mutatingadmissionpolicies",
            list("MutatingAdmissionPolicy"),
        ),
        (
            REGISTRATION,
            "mutatingadmissionpolicybindings",
            list("MutatingAdmissionPolicyBinding"),
        ),
        (RBAC, "clusterroles", list("ClusterRole")),
    ] {
        answer(&server, &format!("{group}/{resource}"), 200, list).await;
    }
    server
}

/// The line about `what`.
async fn line(login: &Login, server: &MockServer, what: &str) -> String {
    let kubeconfig = kubeconfig(login, &server.uri());
    let (_, output, error) = login.run(&["doctor"], &[("KUBECONFIG", &kubeconfig)]).await;
    let line = output.lines().find(|line| line.contains(what));
    assert!(line.is_some(), "{output}{error}");
    line.unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_and_rights_of_this_release_are_well() {
    let (login, server) = (Login::start().await, api_server(|_| {}).await);
    for what in ["admission policies", "rights of tenants"] {
        let line = line(&login, &server, what).await;
        assert!(line.starts_with("ok") && line.ends_with("all there"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_binding_that_denies_no_more_is_a_failure() {
    let login = Login::start().await;
    let server = api_server(|bindings| {
        let pods = bindings
            .iter_mut()
            .find(|binding| binding["metadata"]["name"] == "stackube-pods");
        pods.unwrap()["spec"]["validationActions"] = json!(["Audit"]);
    })
    .await;
    let line = line(&login, &server, "admission policies").await;
    let words =
        "ValidatingAdmissionPolicyBinding stackube-pods (validationActions) differs from this release: kubectl apply";
    assert!(line.starts_with("FAILED") && line.contains(words), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn neutron_is_a_failure_only_for_who_was_seen_to_be_an_administrator() {
    // The catalog has no Neutron.
    let login = Login::start().await;
    for (status, mark) in [(403, "warning"), (500, "warning"), (200, "FAILED")] {
        let server = api_server(|_| {}).await;
        for name in ["tenants", "networks", "ports"] {
            let address = format!("{DEFINITIONS}/{name}.stackube.kubernetes.io");
            let spec = json!({"group": "", "names": {"kind": "", "plural": ""}, "scope": "", "versions": []});
            let body = match status {
                200 => json!({"metadata": {"name": name}, "spec": spec}),
                code => json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": code,
                    "reason": "", "message": "no"}),
            };
            answer(&server, &address, status, body).await;
        }
        let line = line(&login, &server, "Neutron").await;
        assert!(line.starts_with(mark), "{status}: {line}");
    }
}
