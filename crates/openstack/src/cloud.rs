//! A cloud: one service user, one connection pool, one token per scope.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use openstack_sdk_core::catalog::ServiceEndpoint;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::auth::{self, Proof};
use crate::config::{CloudConfig, ConfigError, Credentials};
use crate::error::Error;
use crate::id::ProjectId;
use crate::observer::{NoObserver, RequestObserver};
use crate::service::Service;
use crate::session::Session;
use crate::token::{Scope, Target, Token};
use crate::transport::Transport;

/// When Keystone refuses to rescope a token younger than this, the token is not at fault.
const TRUSTED_AGE: Duration = Duration::from_secs(10);

/// A cloud and the service user's tokens in it. Clones share everything.
#[derive(Clone)]
pub struct Cloud(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) transport: Transport,
    pub(crate) config: CloudConfig,
    keystone: ServiceEndpoint,
    own: Arc<Scope>,
    projects: Mutex<LruCache<ProjectId, Arc<Scope>>>,
}

impl Cloud {
    /// Checks the configuration; sends nothing.
    ///
    /// # Errors
    /// [`ConfigError`] naming the setting that cannot work.
    pub fn new(config: CloudConfig) -> Result<Self, ConfigError> {
        Self::with_observer(config, Arc::new(NoObserver))
    }

    /// As [`Cloud::new`]; `observer` is told of every request.
    ///
    /// # Errors
    /// [`ConfigError`] naming the setting that cannot work.
    pub fn with_observer(config: CloudConfig, observer: Arc<dyn RequestObserver>) -> Result<Self, ConfigError> {
        config.validate()?;
        let transport = Transport::new(&config.transport(), observer)?;
        let keystone = ServiceEndpoint::new(config.auth_url.as_url().clone(), Service::Identity.api_version());
        let projects = Mutex::new(LruCache::new(config.max_project_tokens));
        let own = Arc::new(Scope::new(Target::Own, None));
        Ok(Self(Arc::new(Inner {
            transport,
            config,
            keystone,
            own,
            projects,
        })))
    }

    /// The service user in its own project: for Keystone, quotas, and ports that are bound to hosts. Asks for a token when
    /// first used.
    #[must_use]
    pub fn service(&self) -> Session {
        Session::new(Arc::clone(&self.0), Arc::clone(&self.0.own))
    }

    /// The service user in a tenant's project, with the roles it has there: for everything that belongs to the tenant, and
    /// for every look-up of an ID that a tenant supplied. Asks for a token when first used.
    ///
    /// # Errors
    /// [`ConfigError::CannotRescope`] with an application credential.
    pub fn project(&self, project: &ProjectId) -> Result<Session, Error> {
        if matches!(self.0.config.credentials, Credentials::ApplicationCredential { .. }) {
            return Err(ConfigError::CannotRescope {
                project: project.clone(),
            }
            .into());
        }
        let lane = || Semaphore::new(self.0.config.max_concurrent_requests_per_project.get());
        let scope = Arc::clone(self.0.projects().get_or_insert(project.clone(), || {
            Arc::new(Scope::new(Target::Project(project.clone()), Some(lane())))
        }));
        Ok(Session::new(Arc::clone(&self.0), scope))
    }

    /// Drops the token of a project that is gone, or whose roles changed. Sessions that exist keep theirs.
    pub fn forget(&self, project: &ProjectId) {
        self.0.projects().pop(project);
    }

    /// How many projects have an entry in the cache of tokens.
    #[must_use]
    pub fn project_count(&self) -> usize {
        self.0.projects().len()
    }

    /// The most projects that the cache of tokens holds.
    #[must_use]
    pub fn project_capacity(&self) -> NonZeroUsize {
        self.0.projects().cap()
    }
}

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cloud")
            .field("auth_url", &self.0.config.auth_url)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner").finish_non_exhaustive()
    }
}

impl Inner {
    fn projects(&self) -> std::sync::MutexGuard<'_, LruCache<ProjectId, Arc<Scope>>> {
        self.projects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks Keystone for a token.
    pub(crate) async fn issue(&self, target: &Target) -> Result<Token, Error> {
        match target {
            Target::Own => self.ask(Proof::Credentials(&self.config.credentials, None)).await,
            Target::Project(project) => self.rescope(project).await,
        }
    }

    /// By the service's own token, which spares Keystone a password hash (a fifth of a second). If that token is refused, it
    /// may have been revoked: with a new one. If rescoping is not allowed (`allow_rescope_scoped_token = false`): by password.
    async fn rescope(&self, project: &ProjectId) -> Result<Token, Error> {
        let own = self.own.token(self).await?;
        match self.ask(Proof::Token(&own.secret, project)).await {
            Err(Error::Unauthorized { .. } | Error::NotFound { .. }) if own.age() > TRUSTED_AGE => {
                let own = self.own.replace(self, &own).await?;
                self.ask(Proof::Token(&own.secret, project)).await
            }
            Err(Error::Forbidden { .. }) => {
                self.ask(Proof::Credentials(&self.config.credentials, Some(project)))
                    .await
            }
            result => result,
        }
    }

    async fn ask(&self, proof: Proof<'_>) -> Result<Token, Error> {
        let asked = Instant::now();
        let reply = self
            .transport
            .execute(&auth::request(&proof), &self.keystone, None, None)
            .await?;
        let issued = auth::issued(&reply)?;
        tracing::debug!(project = %issued.info.project_id, lifetime = ?issued.lifetime, "token issued");
        Ok(Token::new(issued, asked))
    }
}
