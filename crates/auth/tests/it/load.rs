//! Tokens of people who have nothing to do here, beside those of people who work.

use std::time::Duration;

use futures::future::join_all;
use stackube_auth::Limits;

use crate::support::{Webhook, token, until};

/// How long answers are remembered.
const MEMORY: Duration = Duration::from_millis(200);
/// How many work: three for each slot.
const USERS: usize = 12;
/// How many attack. Four are asked about, twelve wait, and four more are always there: slots and queue stay full.
const ATTACKERS: usize = 20;

/// A webhook with users that it knows. Each token of somebody else costs Keystone 100 ms.
async fn with_users() -> (Webhook, Vec<String>) {
    let limits = Limits {
        cache_ttl: MEMORY,
        max_waiting: 12,
        ..Limits::default()
    };
    let webhook = Webhook::start(limits, Duration::from_millis(100)).await;
    let users: Vec<String> = (0..USERS).map(token).collect();
    for user in &users {
        webhook.tokens.add(user);
        assert!(webhook.lets_in(user).await);
    }
    (webhook, users)
}

/// Shows tokens for ever, each attacker its own: those of [`ATTACKERS`] people, by number of person and of try.
async fn flood(webhook: &Webhook, of: impl Fn(usize, usize) -> String) {
    let of = &of;
    join_all((1..=ATTACKERS).map(async |attacker| {
        for number in 0.. {
            assert!(!webhook.lets_in(&of(attacker, number)).await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }))
    .await;
}

/// Asserts that all users are let in at once, again and again, each time with all answers forgotten: most wait for a slot.
async fn assert_work_goes_on(webhook: &Webhook, users: &[String]) {
    let before = webhook.questions_about(&users[0]).await;
    for _ in 0..4 {
        tokio::time::sleep(MEMORY).await;
        for status in join_all(users.iter().map(|user| webhook.review(user))).await {
            assert_eq!(status["authenticated"], true, "{status}");
        }
    }
    let asked = webhook.questions_about(&users[0]).await - before;
    assert_eq!(asked, 4, "the answers are not forgotten");
}

#[tokio::test]
async fn made_up_tokens_hold_up_no_one_who_works() {
    let (webhook, users) = with_users().await;
    tokio::select! {
        () = flood(&webhook, |attacker, number| token(attacker * 10_000 + number)) => unreachable!("the flood has no end"),
        () = assert_work_goes_on(&webhook, &users) => {}
    }
    webhook.tokens.add(&token(99));
    until("a new login afterwards", || async { webhook.lets_in(&token(99)).await }).await;
}

#[tokio::test]
async fn good_tokens_of_no_tenant_hold_up_no_one_who_works() {
    let (webhook, users) = with_users().await;
    // A few for each attacker, which Keystone knows and has been asked about before.
    let of = |attacker: usize, number: usize| token(attacker * 10_000 + number % 3);
    for attacker in 1..=ATTACKERS {
        for status in join_all((0..3).map(async |number| {
            let stranger = of(attacker, number);
            webhook.tokens.add_stranger(&stranger);
            webhook.review(&stranger).await
        }))
        .await
        {
            assert!(status["error"].as_str().unwrap().contains("no tenant"), "{status}");
        }
    }
    tokio::select! {
        () = flood(&webhook, of) => unreachable!("the flood has no end"),
        () = assert_work_goes_on(&webhook, &users) => {}
    }
}
