//! Who the service user is, and which endpoints it uses.

use std::fmt;
use std::str::FromStr;

use secrecy::{ExposeSecret, SecretString};

use super::ConfigError;
use crate::id::{DomainId, ProjectId, UserId};

/// A domain, by ID or name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainRef {
    /// By ID.
    Id(DomainId),
    /// By name.
    Name(String),
}

/// A user, by ID or by name within a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserRef {
    /// By ID.
    Id(UserId),
    /// By name within a domain.
    Name {
        /// The name.
        name: String,
        /// The domain that owns the user.
        domain: DomainRef,
    },
}

/// A project, by ID or by name within a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectRef {
    /// By ID.
    Id(ProjectId),
    /// By name within a domain.
    Name {
        /// The name.
        name: String,
        /// The domain that owns the project.
        domain: DomainRef,
    },
}

/// An application credential, by ID or by name and its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplicationCredentialRef {
    /// By ID.
    Id(String),
    /// By name and the user that owns it.
    Name {
        /// The name.
        name: String,
        /// The owner.
        user: UserRef,
    },
}

/// Who the service user is.
#[derive(Debug, Clone)]
pub enum Credentials {
    /// User and password, with the user's own project as scope.
    Password {
        /// The user.
        user: UserRef,
        /// Its password.
        password: SecretString,
        /// Its own project: the scope of [`crate::Cloud::service`].
        project: ProjectRef,
    },
    /// An application credential; it brings its project along and cannot act in another.
    ApplicationCredential {
        /// Which one.
        credential: ApplicationCredentialRef,
        /// Its secret.
        secret: SecretString,
    },
}

/// Which of a service's endpoints to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Interface {
    /// For everybody.
    #[default]
    Public,
    /// For the cloud's own services.
    Internal,
    /// Historically for operators.
    Admin,
}

impl Interface {
    /// As in the catalog.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Interface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Interface {
    type Err = ConfigError;

    /// Accepts the old spellings `publicURL`, `internalURL`, `adminURL` too.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        match text.strip_suffix("URL").unwrap_or(text) {
            "public" => Ok(Self::Public),
            "internal" => Ok(Self::Internal),
            "admin" => Ok(Self::Admin),
            _ => Err(ConfigError::setting(
                "interface",
                format!("{text:?} is none of public, internal, admin"),
            )),
        }
    }
}

impl Credentials {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Self::Password {
                user,
                password,
                project,
            } => {
                user.validate()?;
                filled("password", password.expose_secret())?;
                project.validate()
            }
            Self::ApplicationCredential { credential, secret } => {
                credential.validate()?;
                filled("application_credential_secret", secret.expose_secret())
            }
        }
    }
}

impl DomainRef {
    fn validate(&self, setting: &'static str) -> Result<(), ConfigError> {
        match self {
            Self::Id(_) => Ok(()),
            Self::Name(name) => filled(setting, name),
        }
    }
}

impl UserRef {
    fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Self::Id(_) => Ok(()),
            Self::Name { name, domain } => filled("username", name).and_then(|()| domain.validate("user_domain_name")),
        }
    }
}

impl ProjectRef {
    fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Self::Id(_) => Ok(()),
            Self::Name { name, domain } => {
                filled("project_name", name).and_then(|()| domain.validate("project_domain_name"))
            }
        }
    }
}

impl ApplicationCredentialRef {
    fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Self::Id(id) => filled("application_credential_id", id),
            Self::Name { name, user } => filled("application_credential_name", name).and_then(|()| user.validate()),
        }
    }
}

fn filled(setting: &'static str, text: &str) -> Result<(), ConfigError> {
    if text.trim().is_empty() {
        return Err(ConfigError::setting(setting, "is empty"));
    }
    Ok(())
}
