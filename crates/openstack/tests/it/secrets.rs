//! Passwords and tokens appear in no error, no Debug text and no log line.

use std::fmt::Debug;
use std::io;
use std::sync::{Arc, Mutex};

use serde_json::json;
use stackube_openstack::identity::{CreateUser, UpdateUser};
use stackube_openstack::{Cloud, Error};
use wiremock::ResponseTemplate;

use crate::support::{Fake, PASSWORD, own, tenant};

const SECRET: &str = "pa$$w0rd  with \"quotes\"";

fn assert_clean(what: &str, text: &str) {
    for secret in [SECRET, PASSWORD, "token-1", "token-2", "pa$$w0rd"] {
        assert!(!text.contains(secret), "{what} shows {secret:?}: {text}");
    }
}

fn assert_error_is_clean(error: &Error) {
    assert_clean("Display", &error.to_string());
    assert_clean("Debug", &format!("{error:?}"));
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        assert_clean("source", &format!("{cause} {cause:?}"));
        source = cause.source();
    }
}

fn new_user() -> CreateUser {
    CreateUser {
        name: "u".into(),
        domain_id: "default".parse().unwrap(),
        password: SECRET.into(),
        default_project_id: Some(own()),
        description: String::new(),
        enabled: true,
    }
}

#[tokio::test]
async fn the_password_is_sent_where_it_belongs() {
    let fake = Fake::start().await;
    let user =
        json!({"user": {"id": "u1", "name": "u", "domain_id": "default", "enabled": true, "default_project_id": ""}});
    fake.mount(
        "POST",
        "/identity/v3/users",
        ResponseTemplate::new(201).set_body_json(&user),
    )
    .await;
    fake.mount(
        "PATCH",
        "/identity/v3/users/u1",
        ResponseTemplate::new(200).set_body_json(&user),
    )
    .await;
    let session = fake.cloud().service();
    let made = session.create_user(&new_user()).await.unwrap();
    assert_eq!(made.default_project_id, None);
    let change = UpdateUser {
        password: Some(SECRET.into()),
        ..UpdateUser::default()
    };
    session.update_user(&made.id, &change).await.unwrap();
    let sent =
        |request: &wiremock::Request| request.body_json::<serde_json::Value>().unwrap()["user"]["password"].clone();
    assert_eq!(
        sent(&fake.requests("POST", "/identity/v3/users").await[0]),
        json!(SECRET)
    );
    assert_eq!(
        sent(&fake.requests("PATCH", "/identity/v3/users/u1").await[0]),
        json!(SECRET)
    );
}

#[tokio::test]
async fn a_refusal_that_quotes_the_password_is_cleaned() {
    let fake = Fake::start().await;
    let words = format!(
        "{}Invalid input for field 'password': {SECRET} is too short, token-1",
        "x ".repeat(245)
    );
    let body = json!({"error": {"code": 400, "title": format!("Bad {SECRET}"), "message": words}});
    fake.mount(
        "POST",
        "/identity/v3/users",
        ResponseTemplate::new(400).set_body_json(body),
    )
    .await;
    let error = fake.cloud().service().create_user(&new_user()).await.unwrap_err();
    assert_error_is_clean(&error);
    assert!(error.to_string().contains("(secret)"), "{error}");
}

#[tokio::test]
async fn a_refused_login_is_cleaned() {
    let fake = Fake::without_keystone().await;
    let echo = ResponseTemplate::new(401).set_body_string(format!("no user has the password {PASSWORD}"));
    fake.mount("POST", "/identity/v3/auth/tokens", echo).await;
    assert_error_is_clean(&fake.cloud().service().token_info().await.unwrap_err());
}

#[tokio::test]
async fn a_rescoping_that_quotes_the_token_is_cleaned() {
    let fake = Fake::without_keystone().await;
    let keystone = crate::support::Keystone::new(&fake.server.uri());
    let at = "/identity/v3/auth/tokens";
    let first = crate::support::token_answer(1, own().as_str(), keystone.lifetime, &keystone.catalog);
    fake.mount_first(1, "POST", at, first).await;
    let body = json!({"error": {"code": 404, "title": "Not Found", "message": "This is not a recognized Fernet token token-1"}});
    fake.mount("POST", at, ResponseTemplate::new(404).set_body_json(body))
        .await;
    assert_error_is_clean(&fake.cloud().project(&tenant()).unwrap().token_info().await.unwrap_err());
}

#[tokio::test]
async fn debug_texts_are_clean() {
    let fake = Fake::start().await;
    let config = fake.config();
    let cloud = Cloud::new(config.clone()).unwrap();
    let session = cloud.project(&tenant()).unwrap();
    session.token_info().await.unwrap();
    let change = UpdateUser {
        password: Some(SECRET.into()),
        ..UpdateUser::default()
    };
    let things: [&dyn Debug; 5] = [&config, &cloud, &session, &new_user(), &change];
    for thing in things {
        assert_clean("Debug", &format!("{thing:?} {thing:#?}"));
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn logs_have_request_ids_and_no_secrets() {
    let log = Log::default();
    let writer = log.clone();
    // For the whole process: what the other tests log meanwhile has to be as clean.
    tracing_subscriber::fmt()
        .with_env_filter("stackube_openstack=trace,openstack_sdk_core=trace,reqwest=trace,hyper=trace,hyper_util=trace")
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let fake = Fake::start().await;
    let busy = ResponseTemplate::new(503).insert_header("x-openstack-request-id", "req-4711");
    fake.mount_first(1, "PATCH", "/identity/v3/users/u1", busy).await;
    fake.mount("PATCH", "/identity/v3/users/u1", ResponseTemplate::new(400))
        .await;
    let change = UpdateUser {
        password: Some(SECRET.into()),
        ..UpdateUser::default()
    };
    fake.cloud()
        .service()
        .update_user(&"u1".parse().unwrap(), &change)
        .await
        .unwrap_err();
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(
        text.contains("req-4711") && text.contains("trying again") && text.contains("duration_ms"),
        "{text}"
    );
    assert_clean("log", &text);
}
