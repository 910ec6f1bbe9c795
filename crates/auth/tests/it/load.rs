//! Made-up tokens beside those of people who work.

use std::time::{Duration, Instant};

use futures::future::join_all;
use stackube_auth::Limits;

use crate::support::{Webhook, token, until};

#[tokio::test]
async fn made_up_tokens_hold_up_no_one_who_works() {
    let limits = Limits {
        cache_ttl: Duration::from_millis(200),
        max_waiting: 12,
        ..Limits::default()
    };
    // Each made-up token costs Keystone 100 ms.
    let webhook = Webhook::start(limits, Duration::from_millis(100)).await;
    let users: Vec<String> = (0..12).map(token).collect();
    for user in &users {
        webhook.tokens.add(user);
        assert!(webhook.lets_in(user).await);
    }
    // Four are asked about, twelve wait, and four more are always there: slots and queue stay full.
    let garbage = join_all((1..=20).map(|attacker| {
        let webhook = &webhook;
        async move {
            for number in 0.. {
                assert!(!webhook.lets_in(&token(attacker * 10_000 + number)).await);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }));
    let work = async {
        let started = Instant::now();
        // All answers are forgotten together, and more than once, so that some of the users have to wait for a slot.
        while webhook.questions_about(&users[0]).await < 4 {
            for status in join_all(users.iter().map(|user| webhook.review(user))).await {
                assert_eq!(status["authenticated"], true, "{status}");
            }
            assert!(
                started.elapsed() < Duration::from_secs(20),
                "the answers are not forgotten"
            );
        }
    };
    tokio::select! {
        _ = garbage => unreachable!("the flood has no end"),
        () = work => {}
    }
    webhook.tokens.add(&token(99));
    until("a new login afterwards", || async { webhook.lets_in(&token(99)).await }).await;
}
