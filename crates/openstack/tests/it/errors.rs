//! What each answer becomes, with bodies as the services write them.

use serde_json::{Value, json};
use stackube_openstack::id::NetworkId;
use stackube_openstack::{Error, Optional};
use wiremock::ResponseTemplate;

use crate::raw::{Behaviour, Raw, cloud_with_neutron};
use crate::support::{Fake, neutron_error, ok};

const NETWORK: &str = "/networking/v2.0/networks/n1";

fn id() -> NetworkId {
    "n1".parse().unwrap()
}

async fn get(answer: ResponseTemplate) -> Error {
    let fake = Fake::start().await;
    fake.mount("GET", NETWORK, answer).await;
    fake.cloud().service().get_network(&id()).await.unwrap_err()
}

#[tokio::test]
async fn errors_carry_service_method_path_and_request_id() {
    let error = get(neutron_error(404, "NetworkNotFound", "Network n1 could not be found.")).await;
    let call = error.call().unwrap();
    assert_eq!((call.service.as_str(), call.method.as_str()), ("network", "GET"));
    assert!(call.url.ends_with(NETWORK), "{}", call.url);
    assert_eq!(call.request_id.as_deref(), Some("req-0815"));
    let text = error.to_string();
    assert!(
        text.starts_with("no network n1 (GET http://") && text.contains("req-0815"),
        "{text}"
    );
    assert!(text.ends_with("Network n1 could not be found."), "{text}");
    assert!(error.is_not_found() && !error.is_transient());
    assert!(Err::<(), _>(error).optional().unwrap().is_none());
}

#[tokio::test]
async fn neutron_kinds_from_real_bodies() {
    let quota = get(neutron_error(
        409,
        "OverQuota",
        "Quota exceeded for resources: ['port', 'network'].",
    ))
    .await;
    assert!(quota.is_quota() && !quota.is_conflict() && !quota.is_transient());
    let Error::QuotaExceeded { resources, .. } = &quota else {
        panic!("{quota:?}")
    };
    assert_eq!(resources, &["port", "network"]);
    assert!(
        quota.to_string().starts_with("quota exceeded for port, network"),
        "{quota}"
    );

    let taken = "IP address 10.244.0.9 already allocated in subnet 8b2f4c39-5f2f-4bd3-8a9e-5cf8d1ab1f2f";
    let conflict = get(neutron_error(409, "IpAddressAlreadyAllocated", taken)).await;
    assert!(conflict.is_conflict() && !conflict.is_quota());
    assert_eq!(conflict.kind(), Some("IpAddressAlreadyAllocated"));

    let revision = get(neutron_error(
        412,
        "RevisionNumberConstraintFailed",
        "Constrained to 3, but current revision is 4",
    ))
    .await;
    assert!(revision.is_precondition_failed(), "{revision:?}");

    let bad = get(neutron_error(
        400,
        "InvalidInput",
        "Invalid input for cidr. Reason: '10.0.0.0/33' is not a valid CIDR.",
    ))
    .await;
    assert!(
        matches!(&bad, Error::BadRequest { status: 400, .. }) && bad.kind() == Some("InvalidInput"),
        "{bad:?}"
    );

    let text_only = ResponseTemplate::new(400).set_body_json(json!({"NeutronError": "router: bad"}));
    assert!(get(text_only).await.to_string().ends_with("router: bad"));
}

#[tokio::test]
async fn the_other_ways_to_word_an_error() {
    let keystone = json!({"error": {"code": 403, "message": "You are not authorized to perform the requested action: identity:list_users.", "title": "Forbidden"}});
    let error = get(ResponseTemplate::new(403).set_body_json(keystone)).await;
    assert!(
        matches!(&error, Error::Forbidden { .. }) && error.to_string().contains("identity:list_users"),
        "{error}"
    );

    let webob = json!({"message": "The resource could not be found.<br /><br />\n\n\n", "code": "404 Not Found", "title": "Not Found"});
    let error = get(ResponseTemplate::new(404).set_body_json(webob)).await;
    assert!(
        error.is_not_found() && error.to_string().contains("could not be found."),
        "{error}"
    );

    let cinder = json!({"badRequest": {"code": 400, "message": "Invalid volume"}});
    assert!(
        get(ResponseTemplate::new(400).set_body_json(cinder))
            .await
            .to_string()
            .ends_with("Invalid volume")
    );

    let page = ResponseTemplate::new(400).set_body_string("<html><body>haproxy secrets</body></html>");
    let error = get(page).await.to_string();
    assert!(
        error.contains("probably from a proxy") && !error.contains("haproxy secrets"),
        "{error}"
    );

    assert!(
        get(ResponseTemplate::new(418))
            .await
            .to_string()
            .ends_with("(no message)")
    );
    let lines = ResponseTemplate::new(400).set_body_string(format!("a\nb\u{7}{}", "x".repeat(10_000)));
    let error = get(lines).await.to_string();
    assert!(
        error.contains("a b x") && error.chars().count() < 800 && !error.contains('\n'),
        "{error}"
    );
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let fake = Fake::start().await;
    let elsewhere = format!("{}/elsewhere", fake.server.uri());
    fake.mount(
        "GET",
        NETWORK,
        ResponseTemplate::new(302).insert_header("location", elsewhere.as_str()),
    )
    .await;
    let error = fake.cloud().service().get_network(&id()).await.unwrap_err();
    assert!(
        matches!(error, Error::Server { status: 302, .. }) && !error.is_transient(),
        "{error:?}"
    );
    assert!(fake.requests("GET", "/elsewhere").await.is_empty());
}

#[tokio::test]
async fn answers_that_make_no_sense_are_decode_errors() {
    let network = |change: fn(&mut Value)| {
        let mut network = crate::support::network("n1", "p");
        change(&mut network);
        ok(json!({"network": network}))
    };
    for (answer, expected) in [
        (ok(json!({"networks": []})), "there is no \"network\" in it"),
        (ok(json!([])), "there is no \"network\" in it"),
        (ResponseTemplate::new(200), "EOF"),
        (ResponseTemplate::new(200).set_body_string("{\"network\": {"), "EOF"),
        (
            ResponseTemplate::new(200).set_body_bytes([0xff, 0xfe]),
            "expected value",
        ),
        (network(|n| n["id"] = json!("../x")), "is not a network ID"),
        (network(|n| n["mtu"] = json!("big")), "invalid type"),
        (
            network(|n| drop(n.as_object_mut().unwrap().remove("status"))),
            "missing field `status`",
        ),
    ] {
        let error = get(answer).await;
        assert!(
            matches!(error, Error::Decode { .. }) && !error.is_transient(),
            "{error:?}"
        );
        assert!(error.to_string().contains(expected), "{expected}: {error}");
    }
}

#[tokio::test]
async fn an_endless_body_is_cut_off() {
    let mut head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n".to_vec();
    head.resize(head.len() + (33 << 20), b' ');
    let raw = Raw::start(Behaviour::Say(head)).await;
    let (_fake, config) = cloud_with_neutron(&raw).await;
    let error = stackube_openstack::Cloud::new(config)
        .unwrap()
        .service()
        .get_network(&id())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, Error::Decode { reason, .. } if reason.contains("longer than")),
        "{error:?}"
    );
    assert_eq!(raw.requests(), 1);
}

#[tokio::test]
async fn garbage_instead_of_http_is_unreachable() {
    let raw = Raw::start(Behaviour::Say(b"SSH-2.0-OpenSSH_9.2\r\n".to_vec())).await;
    let (_fake, config) = cloud_with_neutron(&raw).await;
    let error = stackube_openstack::Cloud::new(config)
        .unwrap()
        .service()
        .get_network(&id())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_request_id_cannot_break_a_log_line() {
    let strange =
        ResponseTemplate::new(404).insert_header("x-openstack-request-id", "req-1 \t evil".repeat(100).as_str());
    let call = get(strange).await.call().unwrap().clone();
    assert!(
        call.request_id
            .as_ref()
            .is_some_and(|id| id.len() <= 80 && !id.contains(' ')),
        "{call:?}"
    );
}
