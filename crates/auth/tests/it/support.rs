//! A running webhook with certificates of its own, and the API server's side of it.

use std::collections::HashSet;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum_server::Handle;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use stackube_auth::{CertificateFiles, Limits, Metrics, Policy, Service, Tenants, serve};
use stackube_openstack::{AuthUrl, TokenVerifier, VerifierConfig};
use tower::ServiceExt;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

pub(crate) const RELOAD: Duration = Duration::from_millis(50);

/// A text with the shape of a Keystone token, a different one for each number.
pub(crate) fn token(number: usize) -> String {
    format!("gAAAAA{number:0177}")
}

/// Tokens that are good, and what is wrong with Keystone.
#[derive(Clone, Default)]
pub(crate) struct Tokens(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    good: HashSet<String>,
    /// Good ones of a project that is no tenant.
    strangers: HashSet<String>,
    broken: bool,
    /// How many more questions about good tokens it answers with 403.
    forbidding: usize,
}

impl Tokens {
    pub(crate) fn add(&self, token: &str) {
        self.0.lock().unwrap().good.insert(token.to_owned());
    }

    pub(crate) fn add_stranger(&self, token: &str) {
        self.0.lock().unwrap().strangers.insert(token.to_owned());
    }

    pub(crate) fn revoke(&self, token: &str) {
        self.0.lock().unwrap().good.remove(token);
    }

    pub(crate) fn break_down(&self, broken: bool) {
        self.0.lock().unwrap().broken = broken;
    }

    pub(crate) fn forbid(&self, times: usize) {
        self.0.lock().unwrap().forbidding = times;
    }
}

struct Keystone {
    tokens: Tokens,
    /// How long Keystone takes for tokens that nobody who works has.
    refusing_takes: Duration,
}

fn known(project: &str) -> ResponseTemplate {
    ResponseTemplate::new(200).set_body_json(json!({"token": {
        "methods": ["password"], "audit_ids": ["x"], "issued_at": "2026-01-01T00:00:00.000000Z", "expires_at": "2999-01-01T00:00:00.000000Z",
        "user": {"id": "u1", "name": "ann", "domain": {"id": "default", "name": "Default"}},
        "project": {"id": project, "name": "acme", "domain": {"id": "default", "name": "Default"}},
        "roles": [{"id": "r1", "name": "stackube-admin"}],
    }}))
}

impl Respond for Keystone {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let header = |name: &str| {
            request
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
        };
        let (own, subject) = (header("x-auth-token"), header("x-subject-token"));
        assert_eq!(own, subject, "a token vouches for itself only");
        let mut tokens = self.tokens.0.lock().unwrap();
        if tokens.broken {
            return ResponseTemplate::new(503);
        }
        if tokens.strangers.contains(own) {
            return known("p2").set_delay(self.refusing_takes);
        }
        if !tokens.good.contains(own) {
            return ResponseTemplate::new(401).set_delay(self.refusing_takes);
        }
        if let Some(fewer) = tokens.forbidding.checked_sub(1) {
            tokens.forbidding = fewer;
            return ResponseTemplate::new(403).set_body_json(json!({"error": {"code": 403, "title": "Forbidden",
                "message": "You are not authorized to perform the requested action: identity:validate_token."}}));
        }
        known("p1")
    }
}

/// A Keystone that knows `tokens` and nothing else.
pub(crate) async fn keystone(tokens: &Tokens, refusing_takes: Duration) -> MockServer {
    let server = MockServer::start().await;
    let keystone = Keystone {
        tokens: tokens.clone(),
        refusing_takes,
    };
    Mock::given(method("GET"))
        .and(path("/v3/auth/tokens"))
        .respond_with(keystone)
        .mount(&server)
        .await;
    server
}

/// What the webhook answers with, for the one tenant of [`keystone`]'s tokens.
pub(crate) fn service(keystone: &str, limits: Limits) -> (Service, Metrics) {
    let config = VerifierConfig {
        auth_url: AuthUrl::parse(keystone).unwrap(),
        ca_file: None,
        connect_timeout: Duration::from_secs(1),
        request_timeout: Duration::from_secs(3),
        max_concurrent_requests: limits
            .familiar_requests
            .saturating_add(limits.unfamiliar_requests.get()),
    };
    let metrics = Metrics::default();
    let verifier = TokenVerifier::new(&config, Arc::new(metrics.clone())).unwrap();
    let tenants = Tenants::fixed([("acme", "p1")]);
    let service = Service::new(verifier, limits, Policy::default(), tenants, metrics.clone());
    (service, metrics)
}

/// What [`write_server`] has written.
pub(crate) fn files(directory: &Path) -> CertificateFiles {
    CertificateFiles {
        certificate: directory.join("server.crt"),
        key: directory.join("server.key"),
        client_authority: Some(directory.join("ca.crt")),
    }
}

pub(crate) fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Certificate and key in PEM.
pub(crate) fn leaf(authority: &CertifiedIssuer<'static, KeyPair>, usage: ExtendedKeyUsagePurpose) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    params.extended_key_usages = vec![usage];
    (params.signed_by(&key, authority).unwrap().pem(), key.serialize_pem())
}

/// Writes what the webhook's host has: ca.crt, server.crt, server.key.
pub(crate) fn write_server(directory: &Path, authority: &CertifiedIssuer<'static, KeyPair>) {
    let (certificate, key) = leaf(authority, ExtendedKeyUsagePurpose::ServerAuth);
    std::fs::write(directory.join("ca.crt"), authority.pem()).unwrap();
    std::fs::write(directory.join("server.crt"), certificate).unwrap();
    std::fs::write(directory.join("server.key"), key).unwrap();
}

/// An HTTP client that trusts `server` and shows a certificate of `client`.
pub(crate) fn client(server: &str, client: Option<&CertifiedIssuer<'static, KeyPair>>) -> reqwest::Client {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(server.as_bytes()).unwrap())
        .unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let (certificate, key) = leaf(authority, ExtendedKeyUsagePurpose::ClientAuth);
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .build()
        .unwrap()
}

pub(crate) struct Webhook {
    pub(crate) address: SocketAddr,
    pub(crate) authority: CertifiedIssuer<'static, KeyPair>,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) keystone: MockServer,
    pub(crate) tokens: Tokens,
    pub(crate) http: reqwest::Client,
    service: Service,
    handle: Handle<SocketAddr>,
}

impl Drop for Webhook {
    fn drop(&mut self) {
        self.handle.shutdown();
    }
}

impl Webhook {
    pub(crate) async fn start(limits: Limits, refusing_takes: Duration) -> Self {
        let tokens = Tokens::default();
        let keystone = keystone(&tokens, refusing_takes).await;
        let (service, metrics) = service(&keystone.uri(), limits);
        let directory = tempfile::tempdir().unwrap();
        let authority = authority();
        write_server(directory.path(), &authority);
        let files = files(directory.path());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (handle, certificates) = (Handle::new(), files.load().unwrap());
        let serving = serve(listener, certificates, RELOAD, service.clone(), metrics, handle.clone());
        tokio::spawn(serving);
        let http = client(&authority.pem(), Some(&authority));
        Self {
            address,
            authority,
            directory,
            keystone,
            tokens,
            http,
            service,
            handle,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://{}/authenticate", self.address)
    }

    pub(crate) async fn post(&self, body: String) -> (u16, Value) {
        let response = self.http.post(self.url()).body(body).send().await.unwrap();
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or_default())
    }

    /// The status of a TokenReview.
    pub(crate) async fn review(&self, token: &str) -> Value {
        let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
        let (status, answer) = self.post(review.to_string()).await;
        assert_eq!((status, &answer["kind"]), (200, &json!("TokenReview")));
        answer["status"].clone()
    }

    pub(crate) async fn lets_in(&self, token: &str) -> bool {
        self.review(token).await["authenticated"] == json!(true)
    }

    /// Has a connection to Keystone made, so that the next answer does not take the time of that too.
    pub(crate) async fn connect(&self) {
        let warm = token(1_000_000);
        self.tokens.add(&warm);
        assert!(self.lets_in(&warm).await);
    }

    /// A metric without labels.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let request = http::Request::get("/metrics").body(axum::body::Body::empty());
        let answer = self.service.status().oneshot(request.unwrap()).await.unwrap();
        let text = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        let text = String::from_utf8(text.to_vec()).unwrap();
        let mut values = text
            .lines()
            .filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        values.next().unwrap().parse().unwrap()
    }

    pub(crate) async fn questions(&self) -> usize {
        self.keystone.received_requests().await.unwrap().len()
    }

    pub(crate) async fn questions_about(&self, token: &str) -> usize {
        let all = self.keystone.received_requests().await.unwrap();
        all.iter()
            .filter(|request| request.headers["x-subject-token"] == *token)
            .count()
    }
}

/// Waits until `probe` is true.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut probe: impl FnMut() -> F) {
    let started = std::time::Instant::now();
    while !probe().await {
        assert!(started.elapsed() < Duration::from_secs(10), "{what}: not within 10 s");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
