//! Keystone gone or failing.

use std::time::{Duration, Instant};

use serde_json::Value;
use stackube_auth::Limits;

use crate::support::{Webhook, token, until};

/// Asserts that it is Keystone that failed: a queue that is full mentions it too.
fn assert_blames_keystone(status: &Value) {
    let error = status["error"].as_str().unwrap_or_default();
    let failed = error.contains("Keystone failed") || error.contains("Keystone did not answer a moment ago");
    assert!(status["authenticated"] == false && failed, "{status}");
}

/// Asserts that Keystone was asked until it was found to be down, and then once a second.
async fn assert_left_alone(webhook: &Webhook, before: usize, since: Instant) {
    let seconds = usize::try_from(since.elapsed().as_secs()).unwrap();
    let asked = webhook.questions().await - before;
    assert!(asked <= 3 + seconds + 1, "{asked} questions in {seconds} s");
}

#[tokio::test]
async fn remembered_tokens_live_to_their_bound_and_others_fail_quickly() {
    let limits = Limits {
        cache_ttl: Duration::from_secs(5),
        ..Limits::default()
    };
    let webhook = Webhook::start(limits, Duration::ZERO).await;
    webhook.tokens.add(&token(1));
    assert!(webhook.lets_in(&token(1)).await);
    webhook.tokens.break_down(true);
    let before = webhook.questions().await;
    let started = Instant::now();
    for number in 2..52 {
        let status = webhook.review(&token(number)).await;
        assert_blames_keystone(&status);
    }
    assert!(webhook.lets_in(&token(1)).await, "the cached token still works");
    assert_left_alone(&webhook, before, started).await;
    until("the bound of the cached token", || async {
        !webhook.lets_in(&token(1)).await
    })
    .await;
    webhook.tokens.break_down(false);
    until("work goes on by itself", || async { webhook.lets_in(&token(1)).await }).await;
}

#[tokio::test]
async fn a_keystone_that_hangs_holds_up_no_one_for_long() {
    let webhook = Webhook::start(Limits::default(), Duration::from_secs(30)).await;
    let started = Instant::now();
    let answers = futures::future::join_all((0..100).map(|number| {
        let token = token(number);
        let webhook = &webhook;
        async move { webhook.review(&token).await }
    }))
    .await;
    assert!(answers.iter().all(|status| status["error"].is_string()));
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_known_user_fails_as_quickly_as_anybody_once_the_memory_is_over() {
    let limits = Limits {
        cache_ttl: Duration::from_secs(1),
        ..Limits::default()
    };
    let webhook = Webhook::start(limits, Duration::ZERO).await;
    webhook.tokens.add(&token(1));
    assert!(webhook.lets_in(&token(1)).await);
    webhook.tokens.break_down(true);
    until("the bound of the cached token", || async {
        !webhook.lets_in(&token(1)).await
    })
    .await;
    let before = webhook.questions().await;
    let started = Instant::now();
    for _ in 0..20 {
        let status = webhook.review(&token(1)).await;
        assert_blames_keystone(&status);
    }
    assert_left_alone(&webhook, before, started).await;
    // Were each to wait for a slot or for Keystone, it would be seconds each.
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    webhook.tokens.break_down(false);
    until("the user is let in again", || async {
        webhook.lets_in(&token(1)).await
    })
    .await;
}
