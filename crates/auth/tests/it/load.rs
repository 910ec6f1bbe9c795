//! Made-up tokens beside those of people who work.

use std::time::{Duration, Instant};

use futures::future::join_all;
use stackube_auth::Limits;

use crate::support::{Webhook, token, until};

#[tokio::test]
async fn made_up_tokens_hold_up_no_one_who_works() {
    let limits = Limits {
        cache_ttl: Duration::from_millis(200),
        ..Limits::default()
    };
    // Each made-up token costs Keystone 100 ms: 4 slots are 40 a second, and 150 are on their way.
    let webhook = Webhook::start(limits, Duration::from_millis(100)).await;
    webhook.tokens.add(&token(0));
    assert!(webhook.lets_in(&token(0)).await);
    let garbage = async {
        let reviews = (1000..1150).map(|number| {
            let (token, webhook) = (token(number), &webhook);
            async move { webhook.lets_in(&token).await }
        });
        assert!(join_all(reviews).await.iter().all(|answer| !answer));
    };
    let work = async {
        let started = Instant::now();
        let before = webhook.questions().await;
        // Long enough for the answer to be forgotten several times. Waiting its turn would end in "try again".
        while started.elapsed() < Duration::from_secs(1) {
            let status = webhook.review(&token(0)).await;
            assert_eq!(status["authenticated"], true, "{status}");
        }
        assert!(webhook.questions().await - before >= 2);
    };
    let ((), ()) = tokio::join!(garbage, work);
    webhook.tokens.add(&token(1));
    until("a new login afterwards", || async { webhook.lets_in(&token(1)).await }).await;
}
