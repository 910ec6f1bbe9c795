//! The user's cloud, and a name for who the user is there.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use stackube_openstack::{
    ApplicationCredentialRef, Cloud, CloudConfig, ConfigError, Credentials, DomainRef, Environment, NoObserver,
    ProjectRef, TokenVerifier, UserRef, VerifierConfig,
};

/// A person waits.
const REQUEST: Duration = Duration::from_secs(20);

/// A cloud with the user's credentials.
#[derive(Debug)]
pub(crate) struct Login {
    pub(crate) cloud: Cloud,
    pub(crate) verifier: TokenVerifier,
    pub(crate) auth_url: String,
    pub(crate) config: CloudConfig,
    /// Stands for cloud, user and project, without any secret.
    pub(crate) key: String,
}

impl Login {
    /// From clouds.yaml or the environment; sends nothing.
    pub(crate) fn find(cloud: Option<&str>) -> Result<Self, ConfigError> {
        Self::new(Environment::of_process().cloud(cloud)?)
    }

    pub(crate) fn new(mut config: CloudConfig) -> Result<Self, ConfigError> {
        config.request_timeout = REQUEST;
        config.retry.max_attempts = 2;
        let verifier = VerifierConfig {
            auth_url: config.auth_url.clone(),
            ca_file: config.ca_file.clone(),
            connect_timeout: config.connect_timeout,
            request_timeout: REQUEST,
            max_concurrent_requests: NonZeroUsize::MIN,
        };
        Ok(Self {
            verifier: TokenVerifier::new(&verifier, Arc::new(NoObserver))?,
            auth_url: config.auth_url.to_string(),
            key: key(&config),
            cloud: Cloud::new(config.clone())?,
            config,
        })
    }
}

/// A digest of who logs in where: the same user in another project is another one.
fn key(config: &CloudConfig) -> String {
    let mut parts = vec![config.auth_url.to_string()];
    match &config.credentials {
        Credentials::Password { user, project, .. } => {
            parts.push("password".to_owned());
            user_parts(user, &mut parts);
            match project {
                ProjectRef::Id(id) => parts.extend(["id".to_owned(), id.to_string()]),
                ProjectRef::Name { name, domain } => {
                    parts.extend(["name".to_owned(), name.clone(), domain_part(domain)]);
                }
            }
        }
        Credentials::ApplicationCredential { credential, .. } => {
            parts.push("application credential".to_owned());
            match credential {
                ApplicationCredentialRef::Id(id) => parts.push(id.clone()),
                ApplicationCredentialRef::Name { name, user } => {
                    parts.push(name.clone());
                    user_parts(user, &mut parts);
                }
            }
        }
    }
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash.finalize()
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn user_parts(user: &UserRef, parts: &mut Vec<String>) {
    match user {
        UserRef::Id(id) => parts.extend(["id".to_owned(), id.to_string()]),
        UserRef::Name { name, domain } => parts.extend(["name".to_owned(), name.clone(), domain_part(domain)]),
    }
}

fn domain_part(domain: &DomainRef) -> String {
    match domain {
        DomainRef::Id(id) => format!("id {id}"),
        DomainRef::Name(name) => format!("name {name}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn of(variables: &[(&str, &str)]) -> String {
        let base = [
            ("OS_AUTH_URL", "http://k"),
            ("OS_USERNAME", "u"),
            ("OS_PASSWORD", "secret"),
            ("OS_PROJECT_NAME", "p"),
            ("OS_DEFAULT_DOMAIN", "d"),
        ];
        let variable = |name: &str| {
            let all = variables.iter().chain(&base);
            all.filter(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
                .next()
        };
        key(&Environment::new(variable, vec![]).cloud(None).unwrap())
    }

    #[test]
    fn everything_but_the_password_tells_logins_apart() {
        let different = [
            of(&[]),
            of(&[("OS_AUTH_URL", "http://other")]),
            of(&[("OS_USERNAME", "v")]),
            of(&[("OS_PROJECT_NAME", "q")]),
            of(&[("OS_PROJECT_ID", "p")]),
            of(&[("OS_USER_DOMAIN_NAME", "e")]),
            of(&[("OS_PROJECT_DOMAIN_ID", "d")]),
            of(&[
                ("OS_APPLICATION_CREDENTIAL_ID", "a"),
                ("OS_APPLICATION_CREDENTIAL_SECRET", "s"),
            ]),
        ];
        assert_eq!(different.iter().collect::<HashSet<_>>().len(), different.len());
        assert_eq!(of(&[]), of(&[("OS_PASSWORD", "other")]));
    }
}
