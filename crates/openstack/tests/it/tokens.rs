//! The life of tokens: one request for many callers, renewal in time, and what happens when a service refuses one.

use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use stackube_openstack::id::NetworkId;
use stackube_openstack::network::Network;
use stackube_openstack::{Cloud, Error, Session};
use wiremock::ResponseTemplate;

use crate::support::{Fake, OWN_PROJECT, header, network, ok, tenant};

const NETWORK: &str = "/networking/v2.0/networks/n1";

fn id() -> NetworkId {
    "n1".parse().unwrap()
}

fn unauthorized() -> ResponseTemplate {
    ResponseTemplate::new(401).set_body_json(json!({"error": {"code": 401, "title": "Unauthorized", "message": "no"}}))
}

async fn concurrently(session: &Session, calls: usize) -> Vec<Result<Network, Error>> {
    let id = id();
    join_all((0..calls).map(|_| session.get_network(&id))).await
}

async fn with_network(fake: &Fake) {
    fake.mount("GET", NETWORK, ok(json!({"network": network("n1", OWN_PROJECT)})))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_concurrent_calls_ask_for_one_token() {
    let fake = Fake::start_with(|keystone| keystone.delay = Duration::from_millis(100)).await;
    with_network(&fake).await;
    let session = fake.cloud().service();
    let results = concurrently(&session, 50).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(fake.logins().await.len(), 1);
    assert_eq!(fake.requests("GET", NETWORK).await.len(), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_concurrent_calls_share_one_failure() {
    let fake = Fake::without_keystone().await;
    fake.mount(
        "POST",
        "/identity/v3/auth/tokens",
        unauthorized().set_delay(Duration::from_secs(1)),
    )
    .await;
    let session = fake.cloud().service();
    let results = concurrently(&session, 50).await;
    assert!(
        results
            .iter()
            .all(|result| matches!(result, Err(Error::Unauthorized { .. })))
    );
    assert_eq!(fake.logins().await.len(), 1);
    // The next call is a new attempt.
    session.token_info().await.unwrap_err();
    assert_eq!(fake.logins().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_concurrent_calls_in_a_project_ask_for_two_tokens() {
    let fake = Fake::start_with(|keystone| keystone.delay = Duration::from_millis(50)).await;
    with_network(&fake).await;
    let cloud = fake.cloud();
    let results = join_all((0..50).map(|_| {
        let session = cloud.project(&tenant()).unwrap();
        async move { session.get_network(&id()).await }
    }))
    .await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(fake.logins().await.len(), 2, "the service's own and the project's");
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let fake = Fake::start().await;
    fake.mount_first(1, "GET", NETWORK, unauthorized()).await;
    with_network(&fake).await;
    fake.cloud().service().get_network(&id()).await.unwrap();
    let sent = fake.requests("GET", NETWORK).await;
    assert_eq!(
        sent.iter()
            .map(|request| header(request, "x-auth-token"))
            .collect::<Vec<_>>(),
        ["token-1", "token-2"]
    );
}

#[tokio::test]
async fn a_second_refusal_is_an_error() {
    let fake = Fake::start().await;
    fake.mount("GET", NETWORK, unauthorized()).await;
    let error = fake.cloud().service().get_network(&id()).await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error}");
    assert_eq!(fake.requests("GET", NETWORK).await.len(), 2);
    assert_eq!(fake.logins().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_with_the_same_refused_token_replace_it_once() {
    let fake = Fake::start().await;
    let session = fake.cloud().service();
    session.token_info().await.unwrap();
    fake.mount_first(20, "GET", NETWORK, unauthorized().set_delay(Duration::from_secs(1)))
        .await;
    with_network(&fake).await;
    let mut config = fake.config();
    config.max_concurrent_requests = 20.try_into().unwrap();
    let session = Cloud::new(config).unwrap().service();
    let results = concurrently(&session, 20).await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(
        fake.logins().await.len(),
        3,
        "one of the first cloud, and two of the second"
    );
}

#[tokio::test]
async fn a_token_is_renewed_before_it_expires() {
    let fake = Fake::start_with(|keystone| keystone.lifetime = Duration::from_secs(10)).await;
    let session = fake.cloud().service();
    session.token_info().await.unwrap();
    tokio::time::sleep(Duration::from_millis(2000)).await;
    session.token_info().await.unwrap();
    assert_eq!(fake.logins().await.len(), 1);
    // A fifth of its life is the margin.
    tokio::time::sleep(Duration::from_millis(6200)).await;
    session.token_info().await.unwrap();
    assert_eq!(fake.logins().await.len(), 2);
}

#[tokio::test]
async fn a_valid_token_outlives_an_outage_of_keystone() {
    let fake = Fake::without_keystone().await;
    let keystone = crate::support::Keystone::new(&fake.server.uri());
    let at = "/identity/v3/auth/tokens";
    let first = crate::support::token_answer(1, OWN_PROJECT, Duration::from_secs(10), &keystone.catalog);
    fake.mount_first(1, "POST", at, first).await;
    fake.mount("POST", at, ResponseTemplate::new(503)).await;
    with_network(&fake).await;
    let session = fake.cloud().service();
    session.get_network(&id()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(8100)).await;
    session.get_network(&id()).await.unwrap();
    let tried = fake.logins().await.len();
    assert!(tried > 1, "the renewal was tried");
    session.get_network(&id()).await.unwrap();
    assert_eq!(
        fake.logins().await.len(),
        tried,
        "and is not tried again with every call"
    );
    tokio::time::sleep(Duration::from_millis(2000)).await;
    let error = session.get_network(&id()).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
}

#[tokio::test]
async fn a_dead_token_that_keystone_does_not_replace_is_not_kept() {
    let fake = Fake::without_keystone().await;
    let keystone = crate::support::Keystone::new(&fake.server.uri());
    let at = "/identity/v3/auth/tokens";
    for (number, project) in [(1, OWN_PROJECT), (2, tenant().as_str())] {
        let answer = crate::support::token_answer(number, project, keystone.lifetime, &keystone.catalog);
        fake.mount_first(1, "POST", at, answer).await;
    }
    // The project is disabled: its tokens are refused, and there are no new ones.
    fake.mount("POST", at, unauthorized()).await;
    fake.mount("GET", NETWORK, unauthorized()).await;
    let session = fake.cloud().project(&tenant()).unwrap();
    session.token_info().await.unwrap();
    session.get_network(&id()).await.unwrap_err();
    let error = session.token_info().await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error}");
}

#[tokio::test]
async fn forgetting_a_project_drops_its_token() {
    let fake = Fake::start().await;
    let cloud = fake.cloud();
    cloud.project(&tenant()).unwrap().token_info().await.unwrap();
    assert_eq!(cloud.project_count(), 1);
    cloud.forget(&tenant());
    assert_eq!(cloud.project_count(), 0);
    cloud.project(&tenant()).unwrap().token_info().await.unwrap();
    assert_eq!(fake.logins().await.len(), 3);
}

#[tokio::test]
async fn the_cache_of_projects_is_bounded() {
    let fake = Fake::start().await;
    let mut config = fake.config();
    config.max_project_tokens = 2.try_into().unwrap();
    let cloud = Cloud::new(config).unwrap();
    let project = |name: &str| cloud.project(&name.parse().unwrap()).unwrap();
    for name in ["p1", "p2", "p1", "p3"] {
        project(name).token_info().await.unwrap();
    }
    assert_eq!((cloud.project_count(), fake.logins().await.len()), (2, 4));
    project("p1").token_info().await.unwrap();
    assert_eq!(
        fake.logins().await.len(),
        4,
        "p2 was used longest ago and went, p1 stayed"
    );
}

#[tokio::test]
async fn a_revoked_own_token_is_replaced_when_rescoping() {
    // The trusted age of ten seconds is not waited for here: a young token is taken to be good, and the refusal to be about
    // the project.
    let fake = Fake::without_keystone().await;
    let keystone = crate::support::Keystone::new(&fake.server.uri());
    let at = "/identity/v3/auth/tokens";
    fake.mount_first(
        1,
        "POST",
        at,
        crate::support::token_answer(1, OWN_PROJECT, keystone.lifetime, &keystone.catalog),
    )
    .await;
    fake.mount("POST", at, unauthorized()).await;
    let error = fake.cloud().project(&tenant()).unwrap().token_info().await.unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error}");
    assert_eq!(
        fake.logins().await.len(),
        2,
        "no third request for a user without a role in the project"
    );
}
