//! A fake cloud: Keystone that issues numbered tokens with a catalog, and whatever else a test mounts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use stackube_openstack::id::ProjectId;
use stackube_openstack::{AuthUrl, Cloud, CloudConfig, Credentials, DomainRef, ProjectRef, RetryPolicy, UserRef};
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

pub(crate) const OWN_PROJECT: &str = "0a000000000000000000000000000001";
pub(crate) const TENANT: &str = "0b000000000000000000000000000002";
pub(crate) const PASSWORD: &str = "correct horse battery staple";

pub(crate) struct Fake {
    pub(crate) server: MockServer,
}

/// Issues `token-1`, `token-2`, … for the project that was asked for.
#[derive(Clone)]
pub(crate) struct Keystone {
    issued: Arc<AtomicU32>,
    pub(crate) lifetime: Duration,
    pub(crate) delay: Duration,
    pub(crate) catalog: Value,
}

impl Keystone {
    pub(crate) fn new(base: &str) -> Self {
        let catalog = json!([
            {"type": "identity", "name": "keystone", "endpoints": [endpoint("public", &format!("{base}/identity"))]},
            {"type": "network", "name": "neutron", "endpoints": [
                endpoint("public", &format!("{base}/networking")), endpoint("internal", &format!("{base}/inside"))]},
        ]);
        Self {
            issued: Arc::default(),
            lifetime: Duration::from_secs(3600),
            delay: Duration::ZERO,
            catalog,
        }
    }
}

fn endpoint(interface: &str, url: &str) -> Value {
    json!({"id": "e", "interface": interface, "region": "RegionOne", "region_id": "RegionOne", "url": url})
}

/// The answer to a request for a token.
pub(crate) fn token_answer(number: u32, project: &str, lifetime: Duration, catalog: &Value) -> ResponseTemplate {
    // Keystone's clock is years away from ours: only the difference may matter.
    let expires = Duration::from_secs(1_000_000) + lifetime;
    let at = |since_epoch: Duration| {
        let millis = since_epoch.as_millis() % 1000;
        let seconds = since_epoch.as_secs();
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        format!(
            "1970-01-{:02}T{:02}:{:02}:{:02}.{millis:03}000Z",
            days + 1,
            rest / 3600,
            rest % 3600 / 60,
            rest % 60
        )
    };
    ResponseTemplate::new(201).insert_header("x-subject-token", format!("token-{number}").as_str()).set_body_json(json!({
        "token": {
            "methods": ["password"], "issued_at": at(Duration::from_secs(1_000_000)), "expires_at": at(expires),
            "user": {"id": "5e000000000000000000000000000001", "name": "stackube", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": project, "name": "p", "domain": {"id": "default", "name": "Default"}},
            "roles": [{"id": "a0000000000000000000000000000001", "name": "admin"}],
            "catalog": catalog, "audit_ids": ["x"], "is_domain": false,
        }
    }))
}

impl Respond for Keystone {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let body: Value = request.body_json().unwrap();
        let project = body
            .pointer("/auth/scope/project/id")
            .and_then(Value::as_str)
            .unwrap_or(OWN_PROJECT)
            .to_owned();
        let number = self.issued.fetch_add(1, Ordering::SeqCst) + 1;
        token_answer(number, &project, self.lifetime, &self.catalog).set_delay(self.delay)
    }
}

impl Fake {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut Keystone)) -> Self {
        let fake = Self::without_keystone().await;
        let mut keystone = Keystone::new(&fake.server.uri());
        change(&mut keystone);
        fake.mount("POST", "/identity/v3/auth/tokens", keystone).await;
        fake
    }

    pub(crate) async fn without_keystone() -> Self {
        Self {
            server: MockServer::start().await,
        }
    }

    pub(crate) async fn mount(&self, verb: &str, at: &str, answer: impl Respond + 'static) {
        Mock::given(method(verb))
            .and(path(at))
            .respond_with(answer)
            .mount(&self.server)
            .await;
    }

    /// Answers so for the first `times` requests; what is mounted later answers the others.
    pub(crate) async fn mount_first(&self, times: u64, verb: &str, at: &str, answer: ResponseTemplate) {
        Mock::given(method(verb))
            .and(path(at))
            .respond_with(answer)
            .up_to_n_times(times)
            .mount(&self.server)
            .await;
    }

    pub(crate) fn config(&self) -> CloudConfig {
        config(&format!("{}/identity/v2.0", self.server.uri()))
    }

    pub(crate) fn cloud(&self) -> Cloud {
        Cloud::new(self.config()).unwrap()
    }

    /// Requests so far with this verb and path.
    pub(crate) async fn requests(&self, verb: &str, at: &str) -> Vec<Request> {
        let all = self.server.received_requests().await.unwrap();
        all.into_iter()
            .filter(|request| request.method.as_str() == verb && request.url.path() == at)
            .collect()
    }

    pub(crate) async fn logins(&self) -> Vec<Value> {
        let logins = self.requests("POST", "/identity/v3/auth/tokens").await;
        logins.iter().map(|request| request.body_json().unwrap()).collect()
    }
}

/// The service user, with quick retries.
pub(crate) fn config(auth_url: &str) -> CloudConfig {
    let credentials = Credentials::Password {
        user: UserRef::Name {
            name: "stackube".to_owned(),
            domain: DomainRef::Name("Default".to_owned()),
        },
        password: PASSWORD.into(),
        project: ProjectRef::Name {
            name: "stackube".to_owned(),
            domain: DomainRef::Id("default".parse().unwrap()),
        },
    };
    let mut config = CloudConfig::new(AuthUrl::parse(auth_url).unwrap(), credentials);
    config.retry = RetryPolicy {
        max_attempts: 3,
        first_delay: Duration::from_millis(5),
        max_delay: Duration::from_millis(20),
        max_retry_after: Duration::from_secs(2),
    };
    config
}

pub(crate) fn own() -> ProjectId {
    OWN_PROJECT.parse().unwrap()
}

pub(crate) fn tenant() -> ProjectId {
    TENANT.parse().unwrap()
}

pub(crate) fn ok(body: Value) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(body)
}

pub(crate) fn network(id: &str, project: &str) -> Value {
    json!({"id": id, "name": "n", "project_id": project, "tenant_id": project, "status": "ACTIVE", "admin_state_up": true,
           "mtu": 1442, "subnets": [], "shared": false, "router:external": false, "port_security_enabled": true,
           "description": "", "tags": ["a"], "revision_number": 2, "unknown": {"x": 1}})
}

/// Neutron's error body.
pub(crate) fn neutron_error(status: u16, kind: &str, message: &str) -> ResponseTemplate {
    ResponseTemplate::new(status)
        .insert_header("x-openstack-request-id", "req-0815")
        .set_body_json(json!({"NeutronError": {"type": kind, "message": message, "detail": ""}}))
}

pub(crate) fn header(request: &Request, name: &str) -> String {
    request
        .headers
        .get(name)
        .map(|value| value.to_str().unwrap().to_owned())
        .unwrap_or_default()
}
