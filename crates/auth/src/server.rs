//! The webhook, and beside it health and metrics.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures::StreamExt;
use secrecy::ExposeSecret;
use stackube_daemon::openmetrics;
use stackube_openstack::TokenVerifier;

use crate::introspection::{Introspection, Limits, NoAnswer};
use crate::metrics::{Metrics, Outcome};
use crate::policy::Policy;
use crate::review::{Answer, Question};
use crate::tenants::Tenants;
use crate::token::Presented;

mod listen;

pub use listen::serve;

/// The largest TokenReview that is kept in memory, in bytes. No token of ours is near.
const MAX_BODY: usize = 64 << 10;
/// The largest that is read to its end at all. The API server takes no header beyond 1 MiB.
const MAX_READ: usize = 4 << 20;

/// Answers TokenReviews. Clones share everything.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    introspection: Introspection,
    policy: Policy,
    tenants: Tenants,
    metrics: Metrics,
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("policy", &self.0.policy)
            .finish_non_exhaustive()
    }
}

impl Service {
    /// Puts the parts together.
    #[must_use]
    pub fn new(verifier: TokenVerifier, limits: Limits, policy: Policy, tenants: Tenants, metrics: Metrics) -> Self {
        Self(Arc::new(Inner {
            introspection: Introspection::new(verifier, &limits),
            policy,
            tenants,
            metrics,
        }))
    }

    /// `POST /authenticate`.
    pub fn webhook(&self) -> Router {
        Router::new()
            .route("/authenticate", post(authenticate))
            .with_state(self.clone())
    }

    /// `/healthz`, `/readyz` and `/metrics`, which tell no secrets.
    pub fn status(&self) -> Router {
        Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(text))
            .with_state(self.clone())
    }

    async fn review(&self, text: &str) -> (Answer, Outcome) {
        let Some(token) = Presented::new(text) else {
            return (Answer::no(), Outcome::Foreign);
        };
        let details = match self.0.introspection.details(&token).await {
            Ok(Some(details)) => details,
            Ok(None) => {
                self.0.introspection.forget(&token);
                return (Answer::no(), Outcome::Unknown);
            }
            Err(error) => return no_answer(&error),
        };
        match self.0.policy.judge(&details, &self.0.tenants) {
            Ok(user) => {
                self.0.introspection.welcome(&token);
                (Answer::user(user), Outcome::Accepted)
            }
            Err(refusal) => {
                self.0.introspection.forget(&token);
                tracing::info!(user = %details.user.id, %refusal, "not let in");
                let answer = match refusal.is_temporary() {
                    true => Answer::not_now(refusal.to_string()),
                    false => Answer::no(),
                };
                (answer, Outcome::Refused)
            }
        }
    }
}

fn no_answer(error: &NoAnswer) -> (Answer, Outcome) {
    let outcome = match error {
        NoAnswer::Busy => Outcome::Busy,
        NoAnswer::Paused => Outcome::Unavailable,
        NoAnswer::Keystone(error) => {
            tracing::warn!(%error, "Keystone gave no answer");
            Outcome::Unavailable
        }
    };
    (Answer::not_now(error.to_string()), outcome)
}

/// A body of up to [`MAX_BODY`]; `None` for a larger one, of which nothing is kept. It is read to its end all the same: when the
/// connection ends in the middle, the API server tries again, several times.
async fn read(body: Body) -> Result<Option<Vec<u8>>, StatusCode> {
    let (mut kept, mut total) = (vec![], 0);
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        let part = part.map_err(|_| StatusCode::BAD_REQUEST)?;
        total += part.len();
        match total {
            0..=MAX_BODY => kept.extend_from_slice(&part),
            _ if total <= MAX_READ => kept = vec![],
            _ => return Err(StatusCode::PAYLOAD_TOO_LARGE),
        }
    }
    Ok((total <= MAX_BODY).then_some(kept))
}

async fn authenticate(State(service): State<Service>, body: Body) -> Response {
    let started = Instant::now();
    let body = match read(body).await {
        Ok(Some(body)) => body,
        Ok(None) => {
            service.0.metrics.reviewed(Outcome::Foreign, started.elapsed());
            return axum::Json(Answer::no()).into_response();
        }
        Err(status) => {
            service.0.metrics.reviewed(Outcome::Malformed, started.elapsed());
            return status.into_response();
        }
    };
    let (response, outcome) = match Question::token(&body) {
        Ok(token) => {
            let (answer, outcome) = service.review(token.expose_secret()).await;
            (axum::Json(answer).into_response(), outcome)
        }
        Err(malformed) => {
            let response = (StatusCode::BAD_REQUEST, format!("{malformed}\n")).into_response();
            (response, Outcome::Malformed)
        }
    };
    service.0.metrics.reviewed(outcome, started.elapsed());
    response
}

async fn readyz(State(service): State<Service>) -> (StatusCode, &'static str) {
    match service.0.tenants.count() {
        Some(_) => (StatusCode::OK, "ok\n"),
        None => (
            StatusCode::SERVICE_UNAVAILABLE,
            "the list of tenants has not been read yet\n",
        ),
    }
}

async fn text(State(service): State<Service>) -> Response {
    let remembered = service.0.introspection.remembered().await;
    let tenants = service.0.tenants.count().unwrap_or_default();
    openmetrics(service.0.metrics.text(remembered, tenants))
}
