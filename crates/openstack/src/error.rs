//! What can go wrong with a request, in terms a reconciler can act on.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Method;

use crate::config::{ConfigError, Interface};
use crate::service::Service;

mod answer;
mod body;

pub(crate) use answer::Answer;

/// The request that an error belongs to. It never carries a query, a header or a body, so it holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The service that was asked.
    pub service: Service,
    /// The HTTP method.
    pub method: Method,
    /// Scheme, host and path.
    pub url: String,
    /// What the service called this request (`x-openstack-request-id`): the word to look for in its log.
    pub request_id: Option<String>,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.url)?;
        match &self.request_id {
            Some(id) => write!(f, ", {id}"),
            None => Ok(()),
        }
    }
}

/// A failed call of an OpenStack service. Cloning is cheap: callers that waited for one token share its failure.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No connection, or it broke before the answer was complete.
    #[error("{} cannot be reached ({call}): check that it runs and that the address, CA and network are right", call.service)]
    Unreachable {
        /// The request.
        call: Box<Call>,
        /// Whether the request may have reached the service.
        sent: bool,
        /// Why.
        source: Arc<reqwest::Error>,
    },
    /// No (complete) answer in time.
    #[error("{} did not answer within {after:?} ({call})", call.service)]
    Timeout {
        /// The request.
        call: Box<Call>,
        /// Whether the request may have reached the service.
        sent: bool,
        /// The limit that was exceeded.
        after: Duration,
    },
    /// 401, also with a new token; or the credentials were refused.
    #[error("{} refused the credentials ({call}): {message}; check user, domain, password or application credential, and that user and project are enabled and the user has a role there", call.service)]
    Unauthorized {
        /// The request.
        call: Box<Call>,
        /// The service's words.
        message: String,
    },
    /// 401 to the request for a token, with a receipt: what was shown is right but not enough.
    #[error("{} wants more than one proof of this user ({call}): Stackube does not support multi-factor logins; make an application credential in Horizon and use that", call.service)]
    MoreProofWanted {
        /// The request.
        call: Box<Call>,
    },
    /// 403: the role of the token's user does not allow it.
    #[error("{} does not allow this ({call}): {message}", call.service)]
    Forbidden {
        /// The request.
        call: Box<Call>,
        /// The service's words.
        message: String,
    },
    /// 404. Neutron also answers so for objects of projects that the token may not see.
    #[error("no {what} {id} ({call}): {message}")]
    NotFound {
        /// The request.
        call: Box<Call>,
        /// The kind of object asked for, e.g. `network`.
        what: &'static str,
        /// Its identifier.
        id: String,
        /// The service's words.
        message: String,
    },
    /// 409 but for quotas: the object exists already, is in use or is being changed.
    #[error("{} refuses for now ({call}): {kind}: {message}", call.service)]
    Conflict {
        /// The request.
        call: Box<Call>,
        /// Neutron's exception name, e.g. `SubnetInUse`, or `Conflict` where the service has no such name.
        kind: String,
        /// The service's words.
        message: String,
    },
    /// Neutron's `OverQuota`.
    #[error("quota exceeded for {} ({call}): {message}", resources.join(", "))]
    QuotaExceeded {
        /// The request.
        call: Box<Call>,
        /// What ran out, e.g. `port`.
        resources: Vec<String>,
        /// The service's words.
        message: String,
    },
    /// 412: the object changed since it was read; read it again.
    #[error("the object was changed by somebody else ({call}): {message}")]
    PreconditionFailed {
        /// The request.
        call: Box<Call>,
        /// The service's words.
        message: String,
    },
    /// 400 and other statuses that say the request itself is at fault.
    #[error("{} refused the request ({call}): {status} {kind}: {message}", call.service)]
    BadRequest {
        /// The request.
        call: Box<Call>,
        /// HTTP status.
        status: u16,
        /// Neutron's exception name, e.g. `InvalidInput`, or the title of Keystone's error.
        kind: String,
        /// The service's words.
        message: String,
    },
    /// 429, also after waiting as long as the retry policy allows.
    #[error("{} limits the rate of requests ({call})", call.service)]
    RateLimited {
        /// The request.
        call: Box<Call>,
        /// When to come back, if it said so.
        retry_after: Option<Duration>,
    },
    /// 5xx, or a status that no OpenStack API uses (a proxy's redirect).
    #[error("{} failed ({call}): {status}: {message}", call.service)]
    Server {
        /// The request.
        call: Box<Call>,
        /// HTTP status.
        status: u16,
        /// The service's words.
        message: String,
        /// When to come back, if it said so.
        retry_after: Option<Duration>,
    },
    /// The answer is not what this API answers.
    #[error("{} gave an answer that makes no sense here ({call}): {reason}", call.service)]
    Decode {
        /// The request.
        call: Box<Call>,
        /// What was wrong, without the contents.
        reason: String,
    },
    /// Not sent: [`crate::RequestObserver::may_write`] said no.
    #[error("not sent ({call}): this process may change nothing any more")]
    Withheld {
        /// The request.
        call: Box<Call>,
    },
    /// The token's catalog has no such endpoint.
    #[error("the service catalog has no {interface} endpoint of {service} in region {}; it offers {}", region.as_deref().unwrap_or("(any)"), if offers.is_empty() { "none".to_owned() } else { offers.join(", ") })]
    NoEndpoint {
        /// The service looked for.
        service: Service,
        /// The configured region; `None` asks for the only one.
        region: Option<String>,
        /// The configured interface.
        interface: Interface,
        /// What there is, as `region/interface`.
        offers: Vec<String>,
    },
    /// Two objects answer a look-up that must find one. Nothing was chosen.
    #[error("{count} {what}s match {by}; refusing to choose one")]
    Ambiguous {
        /// The kind of object.
        what: &'static str,
        /// What was looked for.
        by: String,
        /// How many were found.
        count: usize,
    },
    /// The cloud lacks something that Stackube needs.
    #[error("this Neutron lacks the API extensions {}: enable them or upgrade it", missing.join(", "))]
    Unsupported {
        /// Aliases of Neutron API extensions.
        missing: Vec<String>,
    },
    /// The configuration cannot work.
    #[error("the OpenStack configuration cannot be used")]
    Config(#[from] ConfigError),
}

impl Error {
    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Timeout { .. }
                | Self::RateLimited { .. }
                | Self::Server { status: 500.., .. }
        )
    }

    /// Whether the object does not exist (or not for this token).
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether the state of the object forbids the call: 409 other than a quota.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }

    /// Whether a quota is used up.
    #[must_use]
    pub fn is_quota(&self) -> bool {
        matches!(self, Self::QuotaExceeded { .. })
    }

    /// Whether `If-Match` did not match: read the object again.
    #[must_use]
    pub fn is_precondition_failed(&self) -> bool {
        matches!(self, Self::PreconditionFailed { .. })
    }

    /// Whether the call may have taken effect although it failed. After a POST, look before creating again.
    #[must_use]
    pub fn may_have_been_executed(&self) -> bool {
        match self {
            Self::Unreachable { sent, .. } | Self::Timeout { sent, .. } => *sent,
            Self::Server { .. } | Self::Decode { .. } => true,
            _ => false,
        }
    }

    /// Neutron's exception name, e.g. `IpAddressAlreadyAllocated`, where the service gave one.
    #[must_use]
    pub fn kind(&self) -> Option<&str> {
        match self {
            Self::Conflict { kind, .. } | Self::BadRequest { kind, .. } => Some(kind),
            Self::QuotaExceeded { .. } => Some("OverQuota"),
            _ => None,
        }
    }

    /// The request, where one was made.
    #[must_use]
    pub fn call(&self) -> Option<&Call> {
        match self {
            Self::Unreachable { call, .. }
            | Self::Timeout { call, .. }
            | Self::Unauthorized { call, .. }
            | Self::MoreProofWanted { call }
            | Self::Forbidden { call, .. }
            | Self::NotFound { call, .. }
            | Self::Conflict { call, .. }
            | Self::QuotaExceeded { call, .. }
            | Self::PreconditionFailed { call, .. }
            | Self::BadRequest { call, .. }
            | Self::RateLimited { call, .. }
            | Self::Server { call, .. }
            | Self::Decode { call, .. }
            | Self::Withheld { call } => Some(call),
            Self::NoEndpoint { .. } | Self::Ambiguous { .. } | Self::Unsupported { .. } | Self::Config(_) => None,
        }
    }
}

/// Turns "not found" into `None`, so that absence reads as a value.
pub trait Optional<T> {
    /// # Errors
    /// Every error but [`Error::NotFound`].
    fn optional(self) -> Result<Option<T>, Error>;
}

impl<T> Optional<T> for Result<T, Error> {
    fn optional(self) -> Result<Option<T>, Error> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
