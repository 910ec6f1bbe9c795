//! What is sent again, what is not, and for how long.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use stackube_openstack::id::NetworkId;
use stackube_openstack::network::CreateNetwork;
use stackube_openstack::{Cloud, Error, RequestEvent, RequestObserver};
use wiremock::ResponseTemplate;

use crate::raw::{Behaviour, Raw, cloud_with_neutron};
use crate::support::{Fake, OWN_PROJECT, config, network, neutron_error, ok, own, tenant};

const NETWORKS: &str = "/networking/v2.0/networks";
const NETWORK: &str = "/networking/v2.0/networks/n1";

fn id() -> NetworkId {
    "n1".parse().unwrap()
}

fn new_network() -> CreateNetwork {
    CreateNetwork {
        project_id: own(),
        name: "n".into(),
        description: String::new(),
        tags: vec![],
        mtu: None,
    }
}

async fn with_network(fake: &Fake) {
    fake.mount("GET", NETWORK, ok(json!({"network": network("n1", OWN_PROJECT)})))
        .await;
    fake.mount("POST", NETWORKS, ok(json!({"network": network("n1", OWN_PROJECT)})))
        .await;
}

#[tokio::test]
async fn reads_and_deletes_are_repeated_after_server_errors() {
    for status in [500, 502, 503, 504, 429] {
        let fake = Fake::start().await;
        fake.mount_first(2, "GET", NETWORK, ResponseTemplate::new(status)).await;
        fake.mount_first(2, "DELETE", NETWORK, ResponseTemplate::new(status))
            .await;
        with_network(&fake).await;
        fake.mount("DELETE", NETWORK, ResponseTemplate::new(204)).await;
        let session = fake.cloud().service();
        session.get_network(&id()).await.unwrap();
        session.delete_network(&id()).await.unwrap();
        assert_eq!(fake.requests("GET", NETWORK).await.len(), 3, "{status}");
        assert_eq!(fake.requests("DELETE", NETWORK).await.len(), 3, "{status}");
    }
}

#[tokio::test]
async fn gives_up_after_the_configured_attempts() {
    let fake = Fake::start().await;
    fake.mount(
        "GET",
        NETWORK,
        ResponseTemplate::new(503).set_body_string("<html>busy</html>"),
    )
    .await;
    let error = fake.cloud().service().get_network(&id()).await.unwrap_err();
    assert!(
        matches!(error, Error::Server { status: 503, .. }) && error.is_transient(),
        "{error}"
    );
    assert_eq!(fake.requests("GET", NETWORK).await.len(), 3);
}

#[tokio::test]
async fn what_the_request_is_at_fault_for_is_not_repeated() {
    for status in [400, 403, 404, 409, 412, 501] {
        let fake = Fake::start().await;
        fake.mount("GET", NETWORK, ResponseTemplate::new(status)).await;
        fake.cloud().service().get_network(&id()).await.unwrap_err();
        assert_eq!(fake.requests("GET", NETWORK).await.len(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_post_is_repeated_only_when_it_was_not_executed() {
    for (status, requests) in [(429, 2), (500, 1), (502, 1), (503, 1), (504, 1)] {
        let fake = Fake::start().await;
        fake.mount_first(1, "POST", NETWORKS, ResponseTemplate::new(status))
            .await;
        with_network(&fake).await;
        let result = fake.cloud().service().create_network(&new_network()).await;
        assert_eq!(fake.requests("POST", NETWORKS).await.len(), requests, "{status}");
        match result {
            Ok(_) => assert_eq!(status, 429),
            Err(error) => assert!(error.may_have_been_executed(), "{error}"),
        }
    }
}

#[tokio::test]
async fn a_post_is_not_repeated_after_its_body_was_sent() {
    let truncated = b"HTTP/1.1 201 Created\r\ncontent-length: 500\r\n\r\n{\"network\"".to_vec();
    for behaviour in [
        Behaviour::Hang,
        Behaviour::Say(truncated),
        Behaviour::Silence(Duration::from_secs(5)),
    ] {
        let raw = Raw::start(behaviour).await;
        let (_fake, mut config) = cloud_with_neutron(&raw).await;
        config.request_timeout = Duration::from_secs(1);
        let session = Cloud::new(config).unwrap().service();
        let error = session.create_network(&new_network()).await.unwrap_err();
        assert!(error.may_have_been_executed() && error.is_transient(), "{error:?}");
        assert_eq!(raw.requests(), 1);
        session.get_network(&id()).await.unwrap_err();
        assert_eq!(raw.requests(), 4, "a GET is");
    }
}

#[tokio::test]
async fn a_refused_connection_is_tried_again_even_for_a_post() {
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    let fake = Fake::start_with(|keystone| {
        keystone.catalog = json!([{"type": "network", "endpoints": [
            {"interface": "public", "region": "r", "url": format!("http://{closed}")}]}]);
    })
    .await;
    let events = Arc::new(Events::default());
    let cloud = Cloud::with_observer(fake.config(), Arc::<Events>::clone(&events)).unwrap();
    let error = cloud.service().create_network(&new_network()).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { sent: false, .. }), "{error:?}");
    assert!(!error.may_have_been_executed() && error.is_transient());
    assert!(error.to_string().contains(&format!(
        "Neutron cannot be reached (POST http://{closed}/v2.0/networks)"
    )));
    assert!(std::error::Error::source(&error).is_some());
    let attempts: Vec<u32> = events
        .0
        .lock()
        .unwrap()
        .iter()
        .skip(1)
        .map(|event| event.attempt)
        .collect();
    assert_eq!(attempts, [1, 2, 3]);
}

#[tokio::test]
async fn a_login_is_repeated_although_it_is_a_post() {
    let fake = Fake::without_keystone().await;
    let at = "/identity/v3/auth/tokens";
    fake.mount_first(2, "POST", at, ResponseTemplate::new(503)).await;
    fake.mount("POST", at, crate::support::Keystone::new(&fake.server.uri()))
        .await;
    fake.cloud().service().token_info().await.unwrap();
    assert_eq!(fake.logins().await.len(), 3);
}

#[tokio::test]
async fn waits_as_long_as_the_service_asks() {
    let fake = Fake::start().await;
    let busy = ResponseTemplate::new(429).insert_header("retry-after", "1");
    fake.mount_first(1, "GET", NETWORK, busy).await;
    with_network(&fake).await;
    let started = Instant::now();
    fake.cloud().service().get_network(&id()).await.unwrap();
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn does_not_wait_longer_than_configured_but_says_how_long() {
    for (value, at_least) in [("3600", 3600), ("Sat, 06 Nov 2094 08:49:37 GMT", 1_000_000)] {
        let fake = Fake::start().await;
        fake.mount(
            "GET",
            NETWORK,
            ResponseTemplate::new(429).insert_header("retry-after", value),
        )
        .await;
        let error = fake.cloud().service().get_network(&id()).await.unwrap_err();
        let Error::RateLimited {
            retry_after: Some(wait),
            ..
        } = error
        else {
            panic!("{error:?}")
        };
        assert!(wait >= Duration::from_secs(at_least));
        assert_eq!(fake.requests("GET", NETWORK).await.len(), 1);
    }
}

#[tokio::test]
async fn a_silent_service_is_a_timeout() {
    let raw = Raw::start(Behaviour::Silence(Duration::from_secs(10))).await;
    let (_fake, mut config) = cloud_with_neutron(&raw).await;
    config.request_timeout = Duration::from_secs(1);
    let error = Cloud::new(config)
        .unwrap()
        .service()
        .get_network(&id())
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Timeout { sent: true, .. }) && error.is_transient(),
        "{error:?}"
    );
    assert!(error.to_string().contains("did not answer within 1s"), "{error}");
    assert_eq!(raw.requests(), 3);
}

#[tokio::test]
async fn an_unreachable_keystone_is_named() {
    let cloud = Cloud::new(config("http://127.0.0.1:1/identity")).unwrap();
    let error = cloud.service().get_network(&id()).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("Keystone cannot be reached (POST http://127.0.0.1:1/identity/v3/auth/tokens)"),
        "{text}"
    );
    assert!(error.is_transient());
}

#[derive(Default)]
struct Events(Mutex<Vec<RequestEvent>>);

impl RequestObserver for Events {
    fn observe(&self, event: &RequestEvent) {
        self.0.lock().unwrap().push(event.clone());
    }
}

#[tokio::test]
async fn the_observer_sees_every_attempt_by_route() {
    let fake = Fake::start().await;
    fake.mount_first(1, "GET", NETWORK, neutron_error(503, "x", "y")).await;
    with_network(&fake).await;
    let events = Arc::new(Events::default());
    let cloud = Cloud::with_observer(fake.config(), Arc::<Events>::clone(&events)).unwrap();
    cloud.service().get_network(&id()).await.unwrap();
    let seen: Vec<_> = events
        .0
        .lock()
        .unwrap()
        .iter()
        .map(|e| (e.route, e.status, e.attempt))
        .collect();
    assert_eq!(
        seen,
        [
            ("auth/tokens", Some(201), 1),
            ("networks/{}", Some(503), 1),
            ("networks/{}", Some(200), 2)
        ]
    );
}

/// Lets so many requests that write through.
struct Allowance(AtomicUsize);

impl RequestObserver for Allowance {
    fn observe(&self, _: &RequestEvent) {}

    fn may_write(&self) -> bool {
        let left = self.0.load(Ordering::Relaxed);
        self.0.store(left.saturating_sub(1), Ordering::Relaxed);
        left > 0
    }
}

#[tokio::test]
async fn what_may_not_be_written_is_not_sent_again_either() {
    let fake = Fake::start().await;
    let delete = neutron_error(503, "x", "y");
    fake.mount("DELETE", NETWORK, delete).await;
    with_network(&fake).await;
    // The token and the first attempt.
    let cloud = Cloud::with_observer(fake.config(), Arc::new(Allowance(2.into()))).unwrap();
    let error = cloud.service().delete_network(&id()).await.unwrap_err();
    assert!(
        matches!(error, Error::Withheld { .. }) && !error.is_transient(),
        "{error:?}"
    );
    assert_eq!(fake.requests("DELETE", NETWORK).await.len(), 1);
    cloud.service().get_network(&id()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_project_cannot_take_all_places() {
    let fake = Fake::start().await;
    let slow = ok(json!({"network": network("slow", OWN_PROJECT)})).set_delay(Duration::from_secs(1));
    fake.mount("GET", "/networking/v2.0/networks/slow", slow).await;
    with_network(&fake).await;
    let mut config = fake.config();
    config.max_concurrent_requests = 2.try_into().unwrap();
    config.max_concurrent_requests_per_project = 1.try_into().unwrap();
    let cloud = Cloud::new(config).unwrap();
    let (slow, quick) = (cloud.project(&tenant()).unwrap(), cloud.service());
    slow.token_info().await.unwrap();
    quick.token_info().await.unwrap();
    let slow_id: NetworkId = "slow".parse().unwrap();
    let slow_calls = futures::future::join_all((0..3).map(|_| slow.get_network(&slow_id)));
    let quick_call = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let started = Instant::now();
        quick.get_network(&id()).await.unwrap();
        started.elapsed()
    };
    let started = Instant::now();
    let (_, quick_took) = tokio::join!(slow_calls, quick_call);
    assert!(quick_took < Duration::from_millis(900), "{quick_took:?}");
    assert!(
        started.elapsed() >= Duration::from_secs(3),
        "one at a time: {:?}",
        started.elapsed()
    );
}
