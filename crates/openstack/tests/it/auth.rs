//! Every kind of credentials, and the choice of endpoints.

use serde_json::{Value, json};
use stackube_openstack::{
    ApplicationCredentialRef, Cloud, ConfigError, Credentials, DomainRef, Error, Interface, ProjectRef, UserRef,
};

use crate::support::{Fake, OWN_PROJECT, PASSWORD, config, header, network, neutron_error, ok, own, tenant};

#[tokio::test]
async fn logs_in_by_names_through_an_old_url_with_a_prefix() {
    let fake = Fake::start().await;
    let info = fake.cloud().service().token_info().await.unwrap();
    assert_eq!((info.project_id, info.user_domain_id.as_str()), (own(), "default"));
    assert_eq!(info.roles[0].1, "admin");
    assert_eq!(
        fake.logins().await,
        [json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": "stackube", "domain": {"name": "Default"}, "password": PASSWORD}}},
            "scope": {"project": {"name": "stackube", "domain": {"id": "default"}}},
        }})]
    );
}

async fn login_with(credentials: Credentials) -> Value {
    let fake = Fake::start().await;
    let mut config = fake.config();
    config.credentials = credentials;
    Cloud::new(config).unwrap().service().token_info().await.unwrap();
    fake.logins().await.remove(0)
}

#[tokio::test]
async fn logs_in_by_ids() {
    let body = login_with(Credentials::Password {
        user: UserRef::Id("u1".parse().unwrap()),
        password: "pw".into(),
        project: ProjectRef::Id("p1".parse().unwrap()),
    })
    .await;
    assert_eq!(
        body,
        json!({"auth": {
            "identity": {"methods": ["password"], "password": {"user": {"id": "u1", "password": "pw"}}},
            "scope": {"project": {"id": "p1"}},
        }})
    );
}

#[tokio::test]
async fn logs_in_with_application_credentials_and_no_scope() {
    let by_id = login_with(Credentials::ApplicationCredential {
        credential: ApplicationCredentialRef::Id("ac1".to_owned()),
        secret: "s".into(),
    })
    .await;
    let identity =
        json!({"methods": ["application_credential"], "application_credential": {"id": "ac1", "secret": "s"}});
    assert_eq!(by_id, json!({"auth": {"identity": identity}}));

    let user = UserRef::Name {
        name: "u".to_owned(),
        domain: DomainRef::Name("d".to_owned()),
    };
    let by_name = login_with(Credentials::ApplicationCredential {
        credential: ApplicationCredentialRef::Name {
            name: "ac".to_owned(),
            user,
        },
        secret: "s".into(),
    })
    .await;
    assert_eq!(
        by_name.pointer("/auth/identity/application_credential"),
        Some(&json!({"name": "ac", "user": {"name": "u", "domain": {"name": "d"}}, "secret": "s"}))
    );
}

#[tokio::test]
async fn an_application_credential_cannot_be_rescoped_and_says_so() {
    let mut config = config("http://127.0.0.1:1/v3");
    let credential = ApplicationCredentialRef::Id("ac1".to_owned());
    config.credentials = Credentials::ApplicationCredential {
        credential,
        secret: "s".into(),
    };
    let error = Cloud::new(config).unwrap().project(&tenant()).unwrap_err();
    assert!(
        matches!(&error, Error::Config(ConfigError::CannotRescope { project }) if *project == tenant()),
        "{error}"
    );
}

#[tokio::test]
async fn a_project_session_rescopes_the_token_and_sends_the_new_one() {
    let fake = Fake::start().await;
    fake.mount(
        "GET",
        "/networking/v2.0/networks/n1",
        ok(json!({"network": network("n1", OWN_PROJECT)})),
    )
    .await;
    let cloud = fake.cloud();
    let session = cloud.project(&tenant()).unwrap();
    assert_eq!(session.token_info().await.unwrap().project_id, tenant());
    session.get_network(&"n1".parse().unwrap()).await.unwrap();
    cloud
        .project(&tenant())
        .unwrap()
        .get_network(&"n1".parse().unwrap())
        .await
        .unwrap();
    let logins = fake.logins().await;
    assert_eq!(
        logins.len(),
        2,
        "the second session of a project uses the token of the first"
    );
    assert_eq!(
        logins[1],
        json!({"auth": {
            "identity": {"methods": ["token"], "token": {"id": "token-1"}}, "scope": {"project": {"id": tenant()}}}})
    );
    let request = &fake.requests("GET", "/networking/v2.0/networks/n1").await[0];
    assert_eq!(header(request, "x-auth-token"), "token-2");
}

#[tokio::test]
async fn uses_the_password_where_keystone_forbids_rescoping() {
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
    let forbidden = json!({"error": {"code": 403, "title": "Forbidden", "message": "rescope not allowed"}});
    fake.mount_first(
        1,
        "POST",
        at,
        wiremock::ResponseTemplate::new(403).set_body_json(forbidden),
    )
    .await;
    fake.mount("POST", at, keystone).await;
    let info = fake.cloud().project(&tenant()).unwrap().token_info().await.unwrap();
    assert_eq!(info.project_id, tenant());
    let logins = fake.logins().await;
    assert_eq!(logins[2].pointer("/auth/identity/methods/0"), Some(&json!("password")));
    assert_eq!(logins[2].pointer("/auth/scope/project/id"), Some(&json!(tenant())));
}

#[tokio::test]
async fn uses_the_configured_interface_and_region() {
    let fake = Fake::start().await;
    fake.mount(
        "GET",
        "/inside/v2.0/networks/n1",
        ok(json!({"network": network("n1", OWN_PROJECT)})),
    )
    .await;
    let mut config = fake.config();
    config.interface = Interface::Internal;
    config.region = Some("RegionOne".to_owned());
    let session = Cloud::new(config).unwrap().service();
    session.get_network(&"n1".parse().unwrap()).await.unwrap();
}

#[tokio::test]
async fn a_missing_endpoint_names_what_there_is() {
    let fake = Fake::start().await;
    let mut config = fake.config();
    config.region = Some("Nowhere".to_owned());
    let error = Cloud::new(config)
        .unwrap()
        .service()
        .get_network(&"n1".parse().unwrap())
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("no public endpoint of Neutron in region Nowhere"),
        "{text}"
    );
    assert!(
        text.contains("RegionOne/public") && text.contains("RegionOne/internal"),
        "{text}"
    );
    assert!(!error.is_transient());
}

#[tokio::test]
async fn wrong_credentials_say_what_to_check() {
    let fake = Fake::without_keystone().await;
    let body = json!({"error": {"code": 401, "title": "Unauthorized", "message": "The request you have made requires authentication."}});
    fake.mount(
        "POST",
        "/identity/v3/auth/tokens",
        wiremock::ResponseTemplate::new(401).set_body_json(body),
    )
    .await;
    let error = fake
        .cloud()
        .service()
        .get_network(&"n1".parse().unwrap())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Unauthorized { .. }), "{error}");
    assert!(error.to_string().contains("check user, domain, password"), "{error}");
    assert_eq!(
        fake.logins().await.len(),
        1,
        "a refused password must not be tried again: accounts get locked"
    );
}

#[tokio::test]
async fn a_keystone_that_is_none_is_an_error() {
    let fake = Fake::without_keystone().await;
    fake.mount("POST", "/identity/v3/auth/tokens", ok(json!({"hello": "world"})))
        .await;
    let error = fake.cloud().service().token_info().await.unwrap_err();
    assert!(matches!(error, Error::Decode { .. }), "{error}");
    let fake = Fake::without_keystone().await;
    let error = fake.cloud().service().token_info().await.unwrap_err();
    assert!(
        error.is_not_found() && error.to_string().contains("/identity/v3/auth/tokens"),
        "{error}"
    );
}

#[tokio::test]
async fn a_token_without_project_is_refused() {
    let fake = Fake::without_keystone().await;
    let body = json!({"token": {"issued_at": "2026-01-01T00:00:00.000000Z", "expires_at": "2026-01-01T01:00:00.000000Z",
        "user": {"id": "u", "name": "u", "domain": {"id": "default", "name": "Default"}}}});
    let answer = wiremock::ResponseTemplate::new(201)
        .insert_header("x-subject-token", "t")
        .set_body_json(body);
    fake.mount("POST", "/identity/v3/auth/tokens", answer).await;
    let error = fake.cloud().service().token_info().await.unwrap_err();
    assert!(matches!(error, Error::Config(ConfigError::Unscoped)), "{error}");
}

#[tokio::test]
async fn identity_calls_use_the_catalog_with_version_3() {
    let fake = Fake::start().await;
    fake.mount("GET", "/identity/v3/projects/p", neutron_error(404, "x", "y"))
        .await;
    let error = fake
        .cloud()
        .service()
        .get_project(&"p".parse().unwrap())
        .await
        .unwrap_err();
    assert!(error.is_not_found());
}
