//! The program as kubectl starts it, with a Keystone that is faked.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

mod doctor;
mod foreign;
mod tenants;

const PASSWORD: &str = "correct horse battery staple";

struct Login {
    keystone: MockServer,
    home: tempfile::TempDir,
}

/// Issues `token-1`, `token-2`, … for the right password.
struct Issue(Arc<AtomicU32>);

impl Respond for Issue {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let body: Value = request.body_json().unwrap();
        let proof = &body["auth"]["identity"];
        let right =
            proof["password"]["user"]["password"] == PASSWORD || proof["application_credential"]["secret"] == PASSWORD;
        if !right {
            let error = json!({"error": {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}});
            return ResponseTemplate::new(401).set_body_json(error);
        }
        let number = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        let token = format!("token-{number}");
        ResponseTemplate::new(201)
            .insert_header("x-subject-token", token.as_str())
            .set_body_json(token_body())
    }
}

fn token_body() -> Value {
    json!({"token": {"issued_at": "2020-01-01T00:00:00Z", "expires_at": "2020-01-01T01:00:00Z",
        "user": {"id": "u1", "name": "ann", "domain": {"id": "default", "name": "Default"}},
        "project": {"id": "p1", "name": "acme", "domain": {"id": "default", "name": "Default"}},
        "roles": [{"id": "r1", "name": "stackube-admin"}], "catalog": []}})
}

impl Login {
    async fn start() -> Self {
        let keystone = MockServer::start().await;
        Mock::given(method("POST"))
            .and(path("/v3/auth/tokens"))
            .respond_with(Issue(Arc::default()))
            .mount(&keystone)
            .await;
        Self::with(keystone).await
    }

    async fn with(keystone: MockServer) -> Self {
        let known = ResponseTemplate::new(200).set_body_json(token_body());
        Mock::given(method("GET"))
            .and(path("/v3/auth/tokens"))
            .respond_with(known)
            .mount(&keystone)
            .await;
        Self {
            keystone,
            home: tempfile::tempdir().unwrap(),
        }
    }

    /// Runs the program with the variables of a login and `more`; exit status, standard output, standard error.
    async fn run(&self, arguments: &[&str], more: &[(&str, &str)]) -> (bool, String, String) {
        let mut command = assert_cmd::Command::cargo_bin("stackube").unwrap();
        command
            .env_clear()
            .env("HOME", self.home.path())
            .current_dir(self.home.path())
            .args(arguments);
        let uri = self.keystone.uri();
        let variables = [
            ("OS_AUTH_URL", uri.as_str()),
            ("OS_USERNAME", "ann"),
            ("OS_PASSWORD", PASSWORD),
            ("OS_PROJECT_NAME", "acme"),
            ("OS_DEFAULT_DOMAIN", "Default"),
        ];
        command.envs(variables).envs(more.iter().copied());
        let output = tokio::task::spawn_blocking(move || command.output().unwrap())
            .await
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.success(), text(output.stdout), text(output.stderr))
    }

    async fn requests(&self, wanted: &str) -> usize {
        let all = self.keystone.received_requests().await.unwrap();
        all.iter().filter(|request| request.method.as_str() == wanted).count()
    }
}

/// Writes a kubeconfig for an API server at `url`; its path.
fn kubeconfig(login: &Login, url: &str) -> String {
    let path = login.home.path().join("k");
    let contents = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "users": [{"name": "u", "user": {}}]});
    std::fs::write(&path, contents.to_string()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn token(output: &str) -> Value {
    let credential: Value = serde_json::from_str(output).unwrap();
    assert_eq!(credential["kind"], "ExecCredential");
    credential["status"]["token"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_call_costs_nothing_and_each_project_has_its_own_token() {
    let login = Login::start().await;
    for _ in 0..3 {
        let (_, output, _) = login.run(&["credential"], &[]).await;
        assert_eq!(token(&output), "token-1");
    }
    assert_eq!((login.requests("POST").await, login.requests("GET").await), (1, 0));
    let (_, output, _) = login.run(&["credential"], &[("OS_PROJECT_NAME", "other")]).await;
    assert_eq!(token(&output), "token-2");
    assert!(login.run(&["logout"], &[]).await.0);
    let (_, output, _) = login.run(&["credential"], &[]).await;
    assert_eq!(token(&output), "token-3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_token_that_keystone_knows_no_more_is_replaced() {
    let login = Login::start().await;
    assert!(login.run(&["credential"], &[]).await.0);
    // As after a minute.
    let directory = login.home.path().join(".cache/stackube/tokens");
    let file = std::fs::read_dir(&directory).unwrap().next().unwrap().unwrap().path();
    let mut kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let checked: jiff::Timestamp = kept["checked_at"].as_str().unwrap().parse().unwrap();
    kept["checked_at"] = (checked - jiff::SignedDuration::from_secs(60)).to_string().into();
    std::fs::write(&file, kept.to_string()).unwrap();
    let (_, output, _) = login.run(&["credential"], &[]).await;
    assert_eq!((token(&output), login.requests("GET").await), (json!("token-1"), 1));
    std::fs::write(&file, kept.to_string()).unwrap();
    let revoked = Mock::given(method("GET"))
        .respond_with(ResponseTemplate::new(401))
        .with_priority(1);
    revoked.mount(&login.keystone).await;
    let (_, output, _) = login.run(&["credential"], &[]).await;
    assert_eq!(token(&output), "token-2");
}

#[tokio::test(flavor = "multi_thread")]
async fn says_what_is_wrong_and_never_a_secret() {
    let login = Login::start().await;
    let info = (
        "KUBERNETES_EXEC_INFO",
        r#"{"apiVersion":"client.authentication.k8s.io/v1beta1"}"#,
    );
    for (more, expected) in [
        (&[("OS_PASSWORD", "wrong-Pa55word")][..], "refused the credentials"),
        (&[("OS_PROJECT_NAME", "")][..], "project_name: is missing"),
        (
            &[("OS_AUTH_TYPE", "v3oidcdeviceauthz")][..],
            "\"v3oidcdeviceauthz\" is not supported",
        ),
        (
            &[("OS_AUTH_TYPE", "v3token"), ("OS_TOKEN", "wrong-Pa55word")][..],
            "cannot be renewed",
        ),
        (
            &[("OS_PASSWORD", ""), ("OS_TOKEN", "wrong-Pa55word")][..],
            "make an application credential",
        ),
        (&[("OS_PASSCODE", "123456")][..], "MFA"),
        (&[("OS_AUTH_URL", "http://127.0.0.1:1/v3")][..], "cannot be reached"),
        (&[("OS_CLOUD", "mine")][..], "clouds.yaml: not found"),
        (&[info][..], "client.authentication.k8s.io/v1beta1"),
    ] {
        let (good, output, error) = login.run(&["credential"], more).await;
        assert!(!good && output.is_empty(), "{more:?}");
        assert!(
            error.starts_with("error: ") && error.contains(expected),
            "{more:?}: {error}"
        );
        assert!(!error.contains("Pa55word") && !error.contains(PASSWORD), "{error}");
    }
    let (good, output, error) = login.run(&["login"], &[]).await;
    assert!(
        good && output.contains("as ann (u1), project acme (p1), roles stackube-admin"),
        "{output}{error}"
    );
    assert!(!output.contains("token-") && !output.contains(PASSWORD));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_remarked_when_a_token_is_issued() {
    // The fake Keystone issues its tokens in 2020.
    let login = Login::start().await;
    let remarks = |error: &str| error.matches("s ahead of Keystone's: set both by NTP").count();
    for (command, expected) in [("credential", 1), ("credential", 0), ("login", 1)] {
        let (good, _, error) = login.run(&[command], &[]).await;
        assert!(good && remarks(&error) == expected, "{command}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_with_more_than_one_proof_is_refused_with_a_way_out() {
    let keystone = MockServer::start().await;
    let receipt = ResponseTemplate::new(401)
        .insert_header("openstack-auth-receipt", "gAAAAA")
        .set_body_json(json!({"receipt": {"methods": ["password"]}, "required_auth_methods": [["password", "totp"]]}));
    Mock::given(method("POST")).respond_with(receipt).mount(&keystone).await;
    let login = Login::with(keystone).await;
    let (good, _, error) = login.run(&["credential"], &[]).await;
    assert!(!good && error.contains("make an application credential"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn clouds_yaml_and_application_credentials_work_too() {
    let login = Login::start().await;
    let clouds = json!({"clouds": {"mine": {"auth_type": "v3applicationcredential", "auth": {
        "auth_url": login.keystone.uri(), "application_credential_id": "a1"}}}});
    let secure = json!({"clouds": {"mine": {"auth": {"application_credential_secret": PASSWORD}}}});
    let file = login.home.path().join("c.yaml");
    std::fs::write(&file, clouds.to_string()).unwrap();
    std::fs::write(login.home.path().join("secure.yaml"), secure.to_string()).unwrap();
    let more = [("OS_CLIENT_CONFIG_FILE", file.to_str().unwrap())];
    let (good, output, error) = login.run(&["credential", "--os-cloud", "mine"], &more).await;
    assert!(good, "{error}");
    assert_eq!(token(&output), "token-1");
    let kubeconfig = login.home.path().join("k");
    let authority = login.home.path().join("ca.crt");
    std::fs::write(&authority, "PEM").unwrap();
    let (output, authority) = (kubeconfig.to_str().unwrap(), authority.to_str().unwrap());
    let arguments = [
        "kubeconfig",
        "--os-cloud",
        "mine",
        "--server",
        "https://10.0.0.1:6443",
        "--certificate-authority",
        authority,
        "--namespace",
        "acme",
        "--output",
        output,
    ];
    let (good, _, error) = login.run(&arguments, &more).await;
    assert!(good, "{error}");
    let text = std::fs::read_to_string(&kubeconfig).unwrap();
    assert!(
        text.contains("stackube-acme")
            && text.contains("--os-cloud")
            && !text.contains(PASSWORD)
            && !text.contains("token-"),
        "{text}"
    );
}
