//! What somebody with the API server's certificate, or the API server for somebody with any token, may send to stackube-auth.
//!
//! There is no Keystone, so whatever is sent, nobody may be let in.

#![no_main]

use std::cell::LazyCell;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use stackube_auth::{Limits, Metrics, Policy, Service, Tenants};
use stackube_openstack::{AuthUrl, TokenVerifier, VerifierConfig};
use tokio::runtime::Runtime;
use tower::ServiceExt;

thread_local! {
    static WEBHOOK: LazyCell<(Runtime, Router)> = LazyCell::new(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let config = VerifierConfig {
            auth_url: AuthUrl::parse("http://127.0.0.1:1").expect("a URL"),
            ca_file: None,
            connect_timeout: Duration::from_secs(1),
            request_timeout: Duration::from_secs(1),
            max_concurrent_requests: NonZeroUsize::MIN,
        };
        let metrics = Metrics::default();
        let verifier = TokenVerifier::new(&config, Arc::new(metrics.clone())).expect("a client");
        let tenants = Tenants::fixed([("acme", "p1")]);
        let service = Service::new(verifier, Limits::default(), Policy::default(), tenants, metrics);
        (runtime, service.webhook())
    });
}

fuzz_target!(|bytes: &[u8]| {
    WEBHOOK.with(|webhook| {
        let (runtime, router) = &**webhook;
        let request = http::Request::post("/authenticate").body(Body::from(bytes.to_vec())).expect("a request");
        let answer = runtime.block_on(router.clone().oneshot(request)).expect("an answer to everything");
        let status = answer.status().as_u16();
        let body = runtime.block_on(to_bytes(answer.into_body(), 1 << 20)).expect("a body");
        match status {
            200 => {
                let answer: Value = serde_json::from_slice(&body).expect("a TokenReview");
                assert_eq!(answer["status"]["authenticated"], false, "somebody is let in");
            }
            400 | 413 => {}
            other => panic!("status {other}"),
        }
    });
});
