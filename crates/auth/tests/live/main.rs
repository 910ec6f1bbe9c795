//! Every kind of token that a real Keystone issues.
//!
//! `make devbox`, then `STACKUBE_CLOUDS_FILE=$PWD/.devbox/clouds.yaml cargo test -p stackube-auth --test live`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures::FutureExt;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use stackube_auth::{Limits, Metrics, Policy, Service, Tenants};
use stackube_openstack::{Cloud, CloudConfig, Credentials, TokenVerifier, VerifierConfig};
use tower::ServiceExt;

const TTL: Duration = Duration::from_secs(1);

/// Keystone with its administrator.
struct Keystone {
    config: CloudConfig,
    http: reqwest::Client,
    token: String,
    user: String,
    project: String,
    roles: Vec<(String, String)>,
}

impl Keystone {
    async fn connect() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let file = std::env::var("STACKUBE_CLOUDS_FILE").expect(
            "STACKUBE_CLOUDS_FILE is not set: these tests need a cloud; run `make devbox` and set it to .devbox/clouds.yaml",
        );
        let config = CloudConfig::from_clouds_yaml(file, "devbox").unwrap();
        let issued = Cloud::new(config.clone())
            .unwrap()
            .service()
            .bearer_token()
            .await
            .unwrap();
        Self {
            config,
            http: reqwest::Client::new(),
            token: issued.secret.expose_secret().to_owned(),
            user: issued.info.user_id.to_string(),
            project: issued.info.project_id.to_string(),
            roles: issued
                .info
                .roles
                .iter()
                .map(|(id, name)| (id.to_string(), name.clone()))
                .collect(),
        }
    }

    async fn call(&self, method: &str, path: &str, token: Option<&str>, body: &Value) -> reqwest::Response {
        let url = self.config.auth_url.as_url().join(path).unwrap();
        let mut request = self.http.request(method.parse().unwrap(), url);
        if !body.is_null() {
            // Keystone refuses a body that is not an object, also where it takes none.
            request = request.json(body);
        }
        if let Some(token) = token {
            request = request.header("x-auth-token", token);
        }
        request.send().await.unwrap()
    }

    async fn make(&self, path: &str, key: &str, body: Value) -> Value {
        let mut answer: Value = self
            .call("POST", path, Some(&self.token), &json!({ key: body }))
            .await
            .json()
            .await
            .unwrap();
        assert!(answer[key]["id"].is_string(), "{answer}");
        answer[key].take()
    }

    async fn issue(&self, identity: &Value, scope: Option<Value>) -> String {
        let mut auth = json!({"identity": identity});
        if let Some(scope) = scope {
            auth["scope"] = scope;
        }
        let answer = self.call("POST", "auth/tokens", None, &json!({"auth": auth})).await;
        let token = answer
            .headers()
            .get("x-subject-token")
            .map(|value| value.to_str().unwrap().to_owned());
        match token {
            Some(token) => token,
            None => panic!("no token: {}", answer.text().await.unwrap()),
        }
    }

    fn password(&self) -> Value {
        let Credentials::Password { password, .. } = &self.config.credentials else {
            panic!("the devbox uses passwords")
        };
        json!({"methods": ["password"], "password": {"user": {"id": self.user, "password": password.expose_secret()}}})
    }

    fn webhook(&self, tenants: Tenants, policy: Policy) -> Router {
        let four = NonZeroUsize::new(4).unwrap();
        let config = VerifierConfig {
            auth_url: self.config.auth_url.clone(),
            ca_file: self.config.ca_file.clone(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(20),
            max_concurrent_requests: four,
        };
        let metrics = Metrics::default();
        let limits = Limits {
            cache_ttl: TTL,
            refusal_ttl: TTL,
            ..Limits::default()
        };
        let verifier = TokenVerifier::new(&config, Arc::new(metrics.clone())).unwrap();
        Service::new(verifier, limits, policy, tenants, metrics).webhook()
    }
}

async fn review(webhook: &Router, token: &str) -> Value {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
    let request = http::Request::post("/authenticate")
        .body(Body::from(review.to_string()))
        .unwrap();
    let answer = webhook.clone().oneshot(request).await.unwrap();
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    serde_json::from_slice::<Value>(&body).unwrap()["status"].take()
}

async fn refused_in_time(webhook: &Router, token: &str) {
    let started = std::time::Instant::now();
    while review(webhook, token).await["authenticated"] == true {
        assert!(started.elapsed() < 10 * TTL, "still let in");
        tokio::time::sleep(TTL / 10).await;
    }
}

#[tokio::test]
async fn a_project_token_comes_in_until_it_is_revoked() {
    let keystone = Keystone::connect().await;
    let webhook = keystone.webhook(Tenants::fixed([("acme", keystone.project.as_str())]), Policy::default());
    let scope = json!({"project": {"id": keystone.project}});
    let token = keystone.issue(&keystone.password(), Some(scope)).await;
    let status = review(&webhook, &token).await;
    assert_eq!(status["user"]["username"], format!("keystone:user:{}", keystone.user));
    let group = |role: &(String, String)| json!(format!("keystone:project:{}:{}", keystone.project, role.0));
    let groups = status["user"]["groups"].as_array().unwrap();
    assert!(
        keystone.roles.iter().all(|role| groups.contains(&group(role))),
        "{groups:?}"
    );
    let own = json!(format!("keystone:project:{}:user:{}", keystone.project, keystone.user));
    assert!(
        groups.len() == keystone.roles.len() + 1 && groups.contains(&own),
        "{groups:?}"
    );
    let url = keystone.config.auth_url.as_url().join("auth/tokens").unwrap();
    let revoke = keystone
        .http
        .delete(url)
        .header("x-auth-token", &keystone.token)
        .header("x-subject-token", &token);
    assert!(revoke.send().await.unwrap().status().is_success());
    refused_in_time(&webhook, &token).await;
}

#[tokio::test]
async fn scopes_that_are_no_tenants_project_are_refused() {
    let keystone = Keystone::connect().await;
    let identity = keystone.password();
    let webhook = keystone.webhook(Tenants::fixed([("other", "p1")]), Policy::default());
    for scope in [
        json!("unscoped"),
        json!({"system": {"all": true}}),
        json!({"project": {"id": keystone.project}}),
    ] {
        let token = keystone.issue(&identity, Some(scope.clone())).await;
        assert_eq!(review(&webhook, &token).await["authenticated"], false, "{scope}");
    }
    let admin = keystone.roles.iter().find(|role| role.1 == "admin").unwrap();
    let operator = format!("{}@project:{}", admin.0, keystone.project).parse().unwrap();
    let policy = Policy {
        operators: vec![operator],
        ..Policy::default()
    };
    let webhook = keystone.webhook(Tenants::default(), policy);
    let token = keystone
        .issue(&identity, Some(json!({"project": {"id": keystone.project}})))
        .await;
    let groups = review(&webhook, &token).await["user"]["groups"].take();
    assert!(groups.as_array().unwrap().contains(&json!("stackube:operators")));
}

#[tokio::test]
async fn application_credentials_come_in_only_without_access_rules() {
    let keystone = Keystone::connect().await;
    let webhook = keystone.webhook(Tenants::fixed([("acme", keystone.project.as_str())]), Policy::default());
    let path = format!("users/{}/application_credentials", keystone.user);
    for (rules, expected) in [
        (Value::Null, true),
        (
            json!([{"service": "identity", "method": "GET", "path": "/v3/auth/tokens"}]),
            false,
        ),
        (
            json!([{"service": "network", "method": "GET", "path": "/v2.0/ports"}]),
            false,
        ),
    ] {
        let mut body = json!({"name": format!("live-{:x}", std::process::id()), "roles": [{"name": "reader"}]});
        if !rules.is_null() {
            body["access_rules"] = rules;
        }
        let made = keystone.make(&path, "application_credential", body).await;
        let outcome = std::panic::AssertUnwindSafe(async {
            let identity = json!({"methods": ["application_credential"],
                "application_credential": {"id": made["id"], "secret": made["secret"]}});
            let token = keystone.issue(&identity, None).await;
            (review(&webhook, &token).await, token)
        })
        .catch_unwind()
        .await;
        let id = made["id"].as_str().unwrap();
        let gone = keystone
            .call("DELETE", &format!("{path}/{id}"), Some(&keystone.token), &Value::Null)
            .await;
        let (status, token) = outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        assert!(gone.status().is_success(), "{}", gone.status());
        assert_eq!(status["authenticated"], expected, "{status}");
        if expected {
            assert_eq!(
                status["user"]["groups"].as_array().unwrap().len(),
                1,
                "only the credential's own role"
            );
            assert_eq!(
                status["user"]["extra"]["stackube.kubernetes.io/application-credential-id"][0],
                id
            );
        }
        // It ends with the credential.
        refused_in_time(&webhook, &token).await;
    }
}

#[tokio::test]
async fn a_trust_is_refused() {
    let keystone = Keystone::connect().await;
    let webhook = keystone.webhook(Tenants::fixed([("acme", keystone.project.as_str())]), Policy::default());
    let trust = json!({"trustor_user_id": keystone.user, "trustee_user_id": keystone.user, "project_id": keystone.project,
        "impersonation": true, "roles": [{"name": "reader"}]});
    let trust = keystone.make("OS-TRUST/trusts", "trust", trust).await;
    let id = trust["id"].as_str().unwrap();
    let scope = json!({"OS-TRUST:trust": {"id": id}});
    let token = std::panic::AssertUnwindSafe(keystone.issue(&keystone.password(), Some(scope)))
        .catch_unwind()
        .await;
    let status = match &token {
        Ok(token) => Some(review(&webhook, token).await),
        Err(_) => None,
    };
    let gone = keystone
        .call(
            "DELETE",
            &format!("OS-TRUST/trusts/{id}"),
            Some(&keystone.token),
            &Value::Null,
        )
        .await;
    assert!(gone.status().is_success(), "{}", gone.status());
    assert_eq!(
        status.expect("Keystone issues tokens for trusts"),
        json!({"authenticated": false})
    );
}

#[tokio::test]
async fn made_up_and_altered_tokens_are_refused() {
    let keystone = Keystone::connect().await;
    let webhook = keystone.webhook(Tenants::fixed([("acme", keystone.project.as_str())]), Policy::default());
    let mut altered = keystone.token.clone().into_bytes();
    altered[60] = if altered[60] == b'A' { b'B' } else { b'A' };
    let altered = String::from_utf8(altered).unwrap();
    for token in [
        altered,
        format!("gAAAAA{}", "b".repeat(177)),
        keystone.token[..150].to_owned(),
        String::new(),
    ] {
        assert_eq!(review(&webhook, &token).await, json!({"authenticated": false}));
    }
    assert_eq!(review(&webhook, &keystone.token).await["authenticated"], true);
}
