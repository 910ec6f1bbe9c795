//! What Keystone says of somebody else's token (API reference: identity v3, "Validate and show information for token").
//!
//! A token may look at itself, so this needs no credential of its own. One client serves all tokens at once, each with its own
//! headers.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method};
use openstack_sdk_core::catalog::ServiceEndpoint;
use secrecy::{ExposeSecret, SecretString};

use crate::config::{AuthUrl, ConfigError};
use crate::error::Error;
use crate::observer::RequestObserver;
use crate::request::Request;
use crate::retry::RetryPolicy;
use crate::service::Service;
use crate::transport::{Settings, Transport};

mod details;

pub use details::{ApplicationCredential, Named, TokenDetails, TokenScope};

const SUBJECT_TOKEN: HeaderName = HeaderName::from_static("x-subject-token");
/// Without it Keystone does not find tokens of application credentials that have access rules, and one could not say why.
const ACCESS_RULES: HeaderName = HeaderName::from_static("openstack-identity-access-rules");

/// How a [`TokenVerifier`] reaches Keystone.
#[derive(Debug, Clone)]
pub struct VerifierConfig {
    /// Keystone's URL.
    pub auth_url: AuthUrl,
    /// PEM file with the CAs to trust *instead of* the system's.
    pub ca_file: Option<PathBuf>,
    /// Limit for making a connection.
    pub connect_timeout: Duration,
    /// Limit for one question.
    pub request_timeout: Duration,
    /// How many questions are under way at once.
    pub max_concurrent_requests: NonZeroUsize,
}

/// Asks Keystone whose a token is. Clones share connections and limits.
#[derive(Clone)]
pub struct TokenVerifier(Arc<Inner>);

struct Inner {
    transport: Transport,
    keystone: ServiceEndpoint,
}

impl fmt::Debug for TokenVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenVerifier").finish_non_exhaustive()
    }
}

impl TokenVerifier {
    /// Checks the configuration; sends nothing.
    ///
    /// # Errors
    /// [`ConfigError`] naming the setting that cannot work.
    pub fn new(config: &VerifierConfig, observer: Arc<dyn RequestObserver>) -> Result<Self, ConfigError> {
        let settings = Settings {
            auth_url: &config.auth_url,
            ca_file: config.ca_file.as_deref(),
            connect_timeout: config.connect_timeout,
            request_timeout: config.request_timeout,
            // Somebody waits; a second try is the caller's to make. Connections that were closed while idle are no failure.
            retry: RetryPolicy {
                max_attempts: 1,
                ..RetryPolicy::default()
            },
            max_concurrent_requests: config.max_concurrent_requests,
        };
        Ok(Self(Arc::new(Inner {
            transport: Transport::new(&settings, observer)?,
            keystone: ServiceEndpoint::new(config.auth_url.as_url().clone(), Service::Identity.api_version()),
        })))
    }

    /// Whose the token is. `None`: Keystone does not know it, or no more (expired, revoked, user or project disabled, role
    /// taken away).
    ///
    /// # Errors
    /// When Keystone does not answer, or not as it should.
    pub async fn verify(&self, token: &SecretString) -> Result<Option<TokenDetails>, Error> {
        let Ok(mut subject) = HeaderValue::try_from(token.expose_secret()) else {
            return Ok(None);
        };
        subject.set_sensitive(true);
        let request = Request::new(Service::Identity, Method::GET, "auth/tokens", &[])
            .about("token", "(presented)")
            .query([("nocatalog", String::new())])
            .header(SUBJECT_TOKEN, Some(subject))
            .header(ACCESS_RULES, Some(HeaderValue::from_static("1.0")));
        let transport = &self.0.transport;
        match transport.execute(&request, &self.0.keystone, Some(token), None).await {
            Ok(reply) => reply.decode_key("token").map(Some),
            Err(Error::Unauthorized { .. } | Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
