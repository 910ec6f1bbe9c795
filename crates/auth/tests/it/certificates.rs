//! Who may ask, and new certificates without a restart.

use std::time::Duration;

use stackube_auth::{CertificateFiles, Limits};

use crate::support::{Webhook, authority, client, token, until, write_server};

async fn reaches(webhook: &Webhook, http: &reqwest::Client) -> bool {
    let review = r#"{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": ""}}"#;
    http.post(webhook.url()).body(review).send().await.is_ok()
}

#[tokio::test]
async fn only_the_api_server_may_ask() {
    let webhook = Webhook::start(Limits::default(), Duration::ZERO).await;
    let pem = webhook.authority.pem();
    assert!(reaches(&webhook, &client(&pem, Some(&webhook.authority))).await);
    assert!(!reaches(&webhook, &client(&pem, None)).await);
    assert!(!reaches(&webhook, &client(&pem, Some(&authority()))).await);
    assert!(!reaches(&webhook, &client(&authority().pem(), Some(&webhook.authority))).await);
}

#[tokio::test]
async fn new_certificates_are_used_and_broken_ones_are_not() {
    let webhook = Webhook::start(Limits::default(), Duration::ZERO).await;
    webhook.tokens.add(&token(1));
    let new = authority();
    write_server(webhook.directory.path(), &new);
    until("the new certificate", || async {
        reaches(&webhook, &client(&new.pem(), Some(&new))).await
    })
    .await;
    assert!(!reaches(&webhook, &client(&webhook.authority.pem(), Some(&webhook.authority))).await);
    // A certificate whose key is not there yet; the one before stays in use.
    std::fs::write(webhook.directory.path().join("server.key"), "half a k").unwrap();
    std::fs::write(webhook.directory.path().join("server.crt"), authority().pem()).unwrap();
    let started = std::time::Instant::now();
    while started.elapsed() < 4 * crate::support::RELOAD {
        assert!(reaches(&webhook, &client(&new.pem(), Some(&new))).await);
    }
}

#[test]
fn says_what_is_wrong_with_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let files = CertificateFiles {
        certificate: directory.path().join("server.crt"),
        key: directory.path().join("server.key"),
        client_authority: Some(directory.path().join("ca.crt")),
    };
    let problem = || files.load().unwrap_err().to_string();
    assert!(problem().contains("server.crt: cannot be read"), "{}", problem());
    write_server(directory.path(), &authority());
    assert!(files.load().is_ok());
    std::fs::write(&files.key, "x").unwrap();
    assert!(problem().contains("server.key: holds no private key"), "{}", problem());
    write_server(directory.path(), &authority());
    std::fs::write(directory.path().join("ca.crt"), "").unwrap();
    assert!(problem().contains("ca.crt: holds no certificate"), "{}", problem());
}
