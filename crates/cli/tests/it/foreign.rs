//! kubectl in a directory that holds a stranger's `clouds.yaml`.

use serde_json::json;
use wiremock::MockServer;

use crate::{Login, PASSWORD, kubeconfig, token};

/// `clouds.yaml` with a user and without a password.
fn clouds(keystone: &MockServer) -> String {
    json!({"clouds": {"mine": {"auth": {
        "auth_url": keystone.uri(), "username": "ann", "project_name": "acme",
        "user_domain_id": "default", "project_domain_id": "default"}}}})
    .to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_keystone_is_asked_nothing() {
    let (login, stranger) = (Login::start().await, Login::start().await);
    let own = login.home.path().join(".config/openstack");
    std::fs::create_dir_all(&own).unwrap();
    std::fs::write(own.join("clouds.yaml"), clouds(&login.keystone)).unwrap();
    let secure = json!({"clouds": {"mine": {"auth": {"password": PASSWORD}}}});
    std::fs::write(own.join("secure.yaml"), secure.to_string()).unwrap();
    let written = login.home.path().join("written");
    let from = kubeconfig(&login, "https://10.0.0.1:6443");
    let output = written.to_str().unwrap();
    let arguments = [
        "kubeconfig",
        "--os-cloud",
        "mine",
        "--from",
        &from,
        "--namespace",
        "acme",
        "--output",
        output,
    ];
    let (good, _, error) = login.run(&arguments, &[]).await;
    assert!(good, "{error}");
    let config = kube::config::Kubeconfig::read_from(&written).unwrap();
    let exec = config.auth_infos[0].auth_info.clone().unwrap().exec.unwrap();
    let (arguments, variables) = (exec.args.unwrap(), exec.env.unwrap());
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let variables: Vec<(&str, &str)> = variables
        .iter()
        .map(|variable| (variable["name"].as_str(), variable["value"].as_str()))
        .collect();

    // The program is run in `home`.
    assert!(login.run(&["logout", "--os-cloud", "mine"], &[]).await.0);
    std::fs::write(login.home.path().join("clouds.yaml"), clouds(&stranger.keystone)).unwrap();
    let (good, output, error) = login.run(&arguments, &variables).await;
    assert!(good, "{error}");
    assert_eq!(token(&output), "token-2");
    let (good, _, error) = login.run(&arguments, &[]).await;
    assert!(!good && error.contains("password: is missing"), "{error}");
    std::os::unix::fs::symlink(own.join("secure.yaml"), login.home.path().join("secure.yaml")).unwrap();
    let (good, _, error) = login.run(&arguments, &[]).await;
    assert!(!good && error.contains("OS_CLIENT_SECURE_FILE"), "{error}");
    assert_eq!(stranger.requests("POST").await + stranger.requests("GET").await, 0);
}
