//! From an answer with an error status to an [`Error`].

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};

use super::body::{Fault, one_line};
use super::{Call, Error};
use crate::request::About;

/// What Keystone gives instead of a token when a user must prove itself in more than one way (API reference: "Multi-Factor
/// Authentication Receipts").
const RECEIPT: &str = "openstack-auth-receipt";

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn into_error(self, call: Call, about: &About, secrets: &[SecretString]) -> Error {
        let call = Box::new(call);
        let fault = Fault::parse(&self.body, self.status.canonical_reason().unwrap_or("unknown status"));
        let resources = fault.over_quota_resources();
        let kind = one_line(&redact(fault.kind, secrets));
        let message = one_line(&redact(fault.message, secrets));
        match self.status {
            StatusCode::UNAUTHORIZED if self.headers.contains_key(RECEIPT) => Error::MoreProofWanted { call },
            StatusCode::UNAUTHORIZED => Error::Unauthorized { call, message },
            StatusCode::FORBIDDEN => Error::Forbidden { call, message },
            StatusCode::NOT_FOUND => Error::NotFound {
                call,
                what: about.what,
                id: about.id.clone(),
                message,
            },
            StatusCode::CONFLICT if kind == "OverQuota" => Error::QuotaExceeded {
                call,
                resources,
                message,
            },
            StatusCode::CONFLICT => Error::Conflict { call, kind, message },
            StatusCode::PRECONDITION_FAILED => Error::PreconditionFailed { call, message },
            StatusCode::TOO_MANY_REQUESTS => Error::RateLimited {
                call,
                retry_after: retry_after(&self.headers),
            },
            status if status.is_client_error() => Error::BadRequest {
                call,
                status: status.as_u16(),
                kind,
                message,
            },
            status => Error::Server {
                call,
                status: status.as_u16(),
                message,
                retry_after: retry_after(&self.headers),
            },
        }
    }
}

/// `Retry-After`: seconds or a date (RFC 9110, 10.2.3).
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(Duration::from_secs(seconds.into()));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Duration::try_from(at.duration_since(jiff::Timestamp::now())).unwrap_or_default())
}

fn redact(mut text: String, secrets: &[SecretString]) -> String {
    for secret in secrets
        .iter()
        .map(ExposeSecret::expose_secret)
        .filter(|secret| !secret.is_empty())
    {
        if text.contains(secret) {
            text = text.replace(secret, "(secret)");
        }
    }
    text
}
