//! What the fuzzer's corpus holds (`fuzz/fuzz_targets/token_review.rs`), without the fuzzer.

use std::fs;
use std::path::Path;

use axum::Router;
use axum::body::{Body, to_bytes};
use serde_json::Value;
use stackube_auth::Limits;
use tower::ServiceExt;

use crate::support::service;

/// Nobody is let in, and everything has an answer: a TokenReview, or a refusal of the request.
async fn check(webhook: &Router, review: &[u8]) {
    let request = http::Request::post("/authenticate")
        .body(Body::from(review.to_vec()))
        .unwrap();
    let answer = webhook.clone().oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    let review = String::from_utf8_lossy(review);
    if status == 200 {
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(answer["status"]["authenticated"], false, "{review}");
    } else {
        assert!([400, 413].contains(&status), "status {status} for {review}");
    }
}

/// Each file is also cut short at every length and has every byte changed.
#[tokio::test]
async fn corpus_of_the_fuzzer() {
    // Nothing listens there: nobody can vouch for a token.
    let (service, _metrics) = service("http://127.0.0.1:1", Limits::default());
    let webhook = service.webhook();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/token_review");
    let mut files = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let review = fs::read(entry.unwrap().path()).unwrap();
        files += 1;
        for length in 0..=review.len() {
            check(&webhook, &review[..length]).await;
        }
        for at in 0..review.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = review.clone();
                damaged[at] ^= flip;
                check(&webhook, &damaged).await;
            }
        }
    }
    assert!(files >= 7, "only {files} files in the corpus");
}
