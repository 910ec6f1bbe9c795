//! `stackube tenants` beside an API server that is faked, or away.

use serde_json::{Value, json};
use wiremock::matchers::{body_string_contains, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::{Login, kubeconfig, token_body};

/// A user of two projects.
async fn with_projects() -> Login {
    let keystone = MockServer::start().await;
    let mut issued = token_body();
    issued["token"]["catalog"] = json!([{"type": "identity", "name": "keystone", "id": "k", "endpoints": [
        {"id": "e", "interface": "public", "region": "r", "region_id": "r", "url": format!("{}/v3", keystone.uri())}]}]);
    let issued = ResponseTemplate::new(201)
        .insert_header("x-subject-token", "token-1")
        .set_body_json(issued);
    Mock::given(method("POST"))
        .and(path("/v3/auth/tokens"))
        .respond_with(issued)
        .mount(&keystone)
        .await;
    let projects = json!({"projects": [
        {"id": "p1", "name": "acme", "domain_id": "default", "enabled": true, "tags": []},
        {"id": "p2", "name": "other", "domain_id": "default", "enabled": true, "tags": []},
    ], "links": {"next": null}});
    Mock::given(method("GET"))
        .and(path("/v3/auth/projects"))
        .respond_with(ResponseTemplate::new(200).set_body_json(projects))
        .mount(&keystone)
        .await;
    Login::with(keystone).await
}

/// Runs the program with a kubeconfig for an API server at `url`.
async fn tenants(login: &Login, url: &str) -> (bool, String, String) {
    let kubeconfig = kubeconfig(login, url);
    login.run(&["tenants"], &[("KUBECONFIG", &kubeconfig)]).await
}

/// An API server that answers every token alike.
async fn api_server(status: u16, answer: Value) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path("/apis/authentication.k8s.io/v1/selfsubjectreviews"))
        .respond_with(ResponseTemplate::new(status).set_body_json(answer))
        .mount(&server)
        .await;
    server
}

fn failure(code: u16) -> Value {
    json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code, "reason": "", "message": "no", "metadata": {}})
}

/// An API server that accepts every token, as a user of `acme`.
async fn accepting() -> MockServer {
    let extra = json!({"stackube.kubernetes.io/tenant": ["acme"]});
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {},
        "status": {"userInfo": {"username": "keystone:user:u1", "extra": extra}}});
    api_server(201, review).await
}

/// From now on Keystone answers so when it is asked for a token of the second project.
async fn second_project(login: &Login, status: u16) {
    Mock::given(method("POST"))
        .and(body_string_contains("\"p2\""))
        .respond_with(ResponseTemplate::new(status))
        .with_priority(1)
        .mount(&login.keystone)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_the_tenants_and_passes_over_refusals() {
    let login = with_projects().await;
    second_project(&login, 401).await;
    let (good, output, error) = tenants(&login, &accepting().await.uri()).await;
    let rows: Vec<&str> = output.lines().skip(1).collect();
    assert!(good, "{error}");
    assert_eq!(rows, ["acme     p1        stackube-admin"]);
    assert!(!error.contains("not accepted"), "{error}");
    let refusing = api_server(401, failure(401)).await;
    let (good, output, error) = tenants(&login, &refusing.uri()).await;
    assert!(
        good && output.is_empty()
            && error.contains("No tenant accepts you")
            && error.contains("1 of 2 projects were not accepted"),
        "{output}{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_the_projects_that_are_not_accepted_beside_those_that_are() {
    let login = with_projects().await;
    let api_server = accepting().await;
    let refusal = ResponseTemplate::new(401).set_body_json(failure(401));
    Mock::given(method("POST"))
        .respond_with(refusal)
        .up_to_n_times(1)
        .with_priority(1)
        .mount(&api_server)
        .await;
    let (good, output, error) = tenants(&login, &api_server.uri()).await;
    assert!(good && output.lines().count() == 2, "{output}{error}");
    let remark = "1 of 2 projects were not accepted: they are no tenants, or stackube-auth cannot answer";
    assert!(error.contains(remark), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_not_taken_for_having_no_tenant() {
    let login = with_projects().await;
    let broken = api_server(500, failure(500)).await;
    let forbidding = api_server(403, failure(403)).await;
    for url in ["http://127.0.0.1:1", &broken.uri(), &forbidding.uri()] {
        let (good, output, error) = tenants(&login, url).await;
        assert!(!good && output.is_empty(), "{output}{error}");
        assert!(
            error.contains("error: the API server cannot be asked who you are"),
            "{error}"
        );
    }
    second_project(&login, 503).await;
    let (good, output, error) = tenants(&login, &accepting().await.uri()).await;
    assert!(!good && output.is_empty(), "{output}{error}");
    assert!(
        error.contains("error: Keystone gives no token for one of your projects"),
        "{error}"
    );
}
