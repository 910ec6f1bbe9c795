//! What is answered to which token, and what is asked of Keystone for it.

use std::num::NonZeroUsize;
use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use stackube_auth::Limits;

use crate::support::{Webhook, token, until};

#[tokio::test]
async fn a_tenants_user_comes_in() {
    let webhook = Webhook::start(Limits::default(), Duration::ZERO).await;
    webhook.tokens.add(&token(1));
    let status = webhook.review(&token(1)).await;
    assert_eq!(status["authenticated"], json!(true));
    assert_eq!(status["user"]["username"], json!("keystone:user:u1"));
    assert_eq!(
        status["user"]["groups"],
        json!(["keystone:project:p1:r1", "keystone:project:p1:user:u1"])
    );
    assert_eq!(
        status["user"]["extra"]["stackube.kubernetes.io/tenant"],
        json!(["acme"])
    );
    assert_eq!(webhook.questions().await, 1);
}

#[tokio::test]
async fn what_is_not_keystones_is_never_shown_to_it() {
    let webhook = Webhook::start(Limits::default(), Duration::ZERO).await;
    let jwt = format!(
        "eyJhbGciOiJSUzI1NiIsImtpZCI6IiJ9.{}.{}",
        "e".repeat(600),
        "s".repeat(342)
    );
    for foreign in [
        "",
        "abcdef.0123456789abcdef",
        &jwt,
        &"x".repeat(40_000),
        &format!("{}{}", token(1), "b".repeat(64 << 10)),
        &"x".repeat(1 << 20),
        "gAAAAA",
        "gAAAAA\r\n",
    ] {
        assert_eq!(webhook.review(foreign).await, json!({"authenticated": false}));
    }
    assert_eq!(webhook.questions().await, 0);
}

#[tokio::test]
async fn many_reviews_of_one_token_are_one_question() {
    let webhook = Webhook::start(Limits::default(), Duration::from_millis(100)).await;
    webhook.tokens.add(&token(1));
    for (number, expected) in [(1, true), (2, false)] {
        let token = token(number);
        let answers = join_all((0..50).map(|_| webhook.lets_in(&token))).await;
        assert!(answers.iter().all(|answer| *answer == expected));
    }
    assert_eq!(webhook.questions().await, 2);
}

#[tokio::test]
async fn a_revoked_token_stops_working_within_the_bound() {
    let limits = Limits {
        cache_ttl: Duration::from_millis(600),
        refusal_ttl: Duration::from_millis(300),
        ..Limits::default()
    };
    let webhook = Webhook::start(limits, Duration::ZERO).await;
    webhook.tokens.add(&token(1));
    let asked = std::time::Instant::now();
    assert!(webhook.lets_in(&token(1)).await);
    webhook.tokens.revoke(&token(1));
    until("refused", || async { !webhook.lets_in(&token(1)).await }).await;
    let after = asked.elapsed();
    assert!(after < Duration::from_secs(5), "{after:?}");
    // And a refusal ends too: a token may be issued with a delay between Keystones.
    webhook.tokens.add(&token(1));
    until("let in again", || async { webhook.lets_in(&token(1)).await }).await;
}

#[tokio::test]
async fn a_good_token_that_keystone_forbids_for_a_moment_comes_in() {
    let webhook = Webhook::start(Limits::default(), Duration::ZERO).await;
    webhook.connect().await;
    webhook.tokens.add(&token(1));
    webhook.tokens.forbid(1);
    assert!(webhook.lets_in(&token(1)).await);
    assert_eq!(webhook.questions_about(&token(1)).await, 2);
}

#[tokio::test]
async fn keystone_is_asked_twice_at_most_and_once_about_what_it_does_not_know() {
    let webhook = Webhook::start(Limits::default(), Duration::ZERO).await;
    webhook.connect().await;
    webhook.tokens.add(&token(1));
    webhook.tokens.forbid(usize::MAX);
    let status = webhook.review(&token(1)).await;
    assert!(
        status["authenticated"] == false && status["error"].as_str().unwrap().contains("validate_token"),
        "{status}"
    );
    assert_eq!(webhook.questions_about(&token(1)).await, 2);
    // Made up, and revoked: a 401 of Keystone.
    assert!(!webhook.lets_in(&token(2)).await);
    assert_eq!(webhook.questions_about(&token(2)).await, 1);
}

#[tokio::test]
async fn no_more_is_remembered_than_there_is_room_for() {
    let limits = Limits {
        cache_size: NonZeroUsize::new(10).unwrap(),
        cache_ttl: Duration::from_secs(300),
        ..Limits::default()
    };
    let webhook = Webhook::start(limits, Duration::ZERO).await;
    let tokens: Vec<String> = (0..500).map(token).collect();
    for token in &tokens {
        webhook.tokens.add(token);
        assert!(webhook.lets_in(token).await);
    }
    let remembered = webhook.metric("stackube_auth_remembered_answers").await;
    assert!((1.0..=10.0).contains(&remembered), "{remembered}");
    // Most of them fell out; they come in again, by another question.
    for token in &tokens[..20] {
        assert!(webhook.lets_in(token).await);
    }
    assert!(webhook.questions().await >= 500 + 20 - 10);
}

#[tokio::test]
async fn what_is_no_review_of_version_1_is_refused() {
    let webhook = Webhook::start(Limits::default(), Duration::ZERO).await;
    let old =
        json!({"apiVersion": "authentication.k8s.io/v1beta1", "kind": "TokenReview", "spec": {"token": token(1)}});
    for (body, expected) in [
        (old.to_string(), 400),
        ("{".to_owned(), 400),
        (String::new(), 400),
        ("x".repeat((4 << 20) + 1), 413),
    ] {
        assert_eq!(webhook.post(body).await.0, expected);
    }
    assert_eq!(webhook.questions().await, 0);
}
