//! How to reach a cloud, checked before anything is sent.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::id::ProjectId;
use crate::retry::RetryPolicy;
use crate::transport::Settings;

mod auth_type;
mod auth_url;
mod clouds_yaml;
mod credentials;
mod environment;
mod source;

pub use auth_url::AuthUrl;
pub(crate) use auth_url::with_version;
pub use credentials::{ApplicationCredentialRef, Credentials, DomainRef, Interface, ProjectRef, UserRef};
pub use environment::Environment;
pub use source::CloudSource;

/// A configuration that cannot work, found without asking any service.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// Not an absolute http(s) URL, or one with user, query or fragment.
    #[error("auth URL {text:?}: {reason}; give Keystone's URL, e.g. https://keystone.example.org:5000/v3")]
    AuthUrl {
        /// The text without any user information.
        text: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// A setting is missing or has a value that cannot work.
    #[error("{setting}: {reason}")]
    Setting {
        /// The name of the setting, as in `clouds.yaml` where it exists there.
        setting: &'static str,
        /// What is wrong and what to write instead.
        reason: String,
    },
    /// The CA file cannot be read or holds no certificate.
    #[error("CA file {}: {reason}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// `clouds.yaml` cannot be read. The reason never quotes the file's contents.
    #[error("{}: {reason}", path.display())]
    CloudsYaml {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// An application credential is bound to its project, Keystone refuses to rescope it.
    #[error(
        "an application credential cannot act in other projects (asked for {project}): configure a user and password"
    )]
    CannotRescope {
        /// The project that a token was wanted for.
        project: ProjectId,
    },
    /// The token has no project, so Neutron would refuse it.
    #[error("the token is not scoped to a project: configure the service user's own project")]
    Unscoped,
}

impl ConfigError {
    pub(crate) fn setting(setting: &'static str, reason: impl Into<String>) -> Self {
        Self::Setting {
            setting,
            reason: reason.into(),
        }
    }
}

/// Everything needed to speak to a cloud. Make it with [`CloudConfig::new`] or [`CloudConfig::from_clouds_yaml`] and change
/// what differs from the defaults; [`crate::Cloud::new`] checks it.
#[derive(Debug, Clone)]
pub struct CloudConfig {
    /// Keystone's URL.
    pub auth_url: AuthUrl,
    /// The service user.
    pub credentials: Credentials,
    /// Region of the endpoints; `None` if the catalog has only one.
    pub region: Option<String>,
    /// Which endpoints to use. Default: public.
    pub interface: Interface,
    /// PEM file with the CAs to trust *instead of* the system's.
    pub ca_file: Option<PathBuf>,
    /// Limit for making a connection. Default: 5 s.
    pub connect_timeout: Duration,
    /// Limit for one attempt from sending to the end of the answer. Default: 60 s (Neutron's router calls take seconds).
    pub request_timeout: Duration,
    /// When failed requests are repeated.
    pub retry: RetryPolicy,
    /// How many requests are under way at once toward each service. Default: 16.
    pub max_concurrent_requests: NonZeroUsize,
    /// How many of these one tenant's project may use. Default: 4, so that one slow tenant leaves room for the others.
    pub max_concurrent_requests_per_project: NonZeroUsize,
    /// Objects per page of a Neutron list. Default: 500.
    pub page_size: NonZeroUsize,
    /// How many project tokens are kept. Default: 1024; beyond it, the one used longest ago is dropped.
    pub max_project_tokens: NonZeroUsize,
}

impl CloudConfig {
    /// A configuration with the defaults.
    #[must_use]
    pub fn new(auth_url: AuthUrl, credentials: Credentials) -> Self {
        Self {
            auth_url,
            credentials,
            region: None,
            interface: Interface::Public,
            ca_file: None,
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(60),
            retry: RetryPolicy::default(),
            max_concurrent_requests: nonzero(16),
            max_concurrent_requests_per_project: nonzero(4),
            page_size: nonzero(500),
            max_project_tokens: nonzero(1024),
        }
    }

    pub(crate) fn transport(&self) -> Settings<'_> {
        Settings {
            auth_url: &self.auth_url,
            ca_file: self.ca_file.as_deref(),
            connect_timeout: self.connect_timeout,
            request_timeout: self.request_timeout,
            retry: self.retry,
            max_concurrent_requests: self.max_concurrent_requests,
        }
    }

    /// # Errors
    /// [`ConfigError::Setting`] naming the first setting that cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let at_least_one_ms = |setting, value: Duration| {
            let fits = value >= Duration::from_millis(1);
            fits.then_some(())
                .ok_or_else(|| ConfigError::setting(setting, "must be at least 1 ms"))
        };
        at_least_one_ms("connect timeout", self.connect_timeout)?;
        at_least_one_ms("request timeout", self.request_timeout)?;
        if self.region.as_deref().is_some_and(|region| region.trim().is_empty()) {
            return Err(ConfigError::setting(
                "region_name",
                "is empty: leave it out or name a region",
            ));
        }
        self.retry.validate()?;
        self.credentials.validate()
    }
}

fn nonzero(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN)
}
