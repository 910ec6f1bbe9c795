//! Calls under one scope. The calls themselves are in [`crate::identity`] and [`crate::network`], one file per kind of object.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use secrecy::SecretString;

use crate::auth::TokenInfo;
use crate::cloud::Inner;
use crate::error::Error;
use crate::identity::Project;
use crate::reply::Reply;
use crate::request::Request;
use crate::service::Service;
use crate::token::{Scope, Token};

/// The service user in one project. Cheap to clone; made by [`crate::Cloud::service`] and [`crate::Cloud::project`].
#[derive(Clone)]
pub struct Session {
    cloud: Arc<Inner>,
    scope: Arc<Scope>,
}

/// A token with what it says.
#[derive(Debug, Clone)]
pub struct BearerToken {
    /// The token.
    pub secret: SecretString,
    /// How long it still is valid, by Keystone's own clock.
    pub remaining: Duration,
    /// When it was issued, by Keystone's own clock.
    pub issued_at: Timestamp,
    /// Who it speaks for.
    pub info: TokenInfo,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl Session {
    pub(crate) fn new(cloud: Arc<Inner>, scope: Arc<Scope>) -> Self {
        Self { cloud, scope }
    }

    /// Who this session speaks for: the user, the project and the roles there.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] when Keystone issues no token, e.g. because the user has no role in the project, and what may
    /// happen to any request.
    pub async fn token_info(&self) -> Result<TokenInfo, Error> {
        Ok(self.scope.token(&self.cloud).await?.info.clone())
    }

    /// The token itself, to be shown to somebody else than OpenStack's services.
    ///
    /// # Errors
    /// As [`Session::token_info`].
    pub async fn bearer_token(&self) -> Result<BearerToken, Error> {
        let token = self.scope.token(&self.cloud).await?;
        Ok(BearerToken {
            secret: token.secret.clone(),
            remaining: token.remaining(),
            issued_at: token.issued_at,
            info: token.info.clone(),
        })
    }

    /// The projects that this user can act in, whatever its role there (`GET /v3/auth/projects`).
    ///
    /// # Errors
    /// As for any request.
    pub async fn list_own_projects(&self) -> Result<Vec<Project>, Error> {
        let request = Request::new(Service::Identity, Method::GET, "auth/projects", &[]).about("project", "(own)");
        self.send(request).await?.decode_key("projects")
    }

    pub(crate) fn page_size(&self) -> usize {
        self.cloud.config.page_size.get()
    }

    /// Sends with the scope's token; if the service does not accept that one (revoked, or Keystone's keys changed), once
    /// more with a new one.
    pub(crate) async fn send(&self, request: Request) -> Result<Reply, Error> {
        let token = self.scope.token(&self.cloud).await?;
        match self.send_with(&request, &token).await {
            Err(Error::Unauthorized { .. }) => {
                tracing::info!(
                    service = request.service.as_str(),
                    "token refused, asking for a new one"
                );
                let token = self.scope.replace(&self.cloud, &token).await?;
                self.send_with(&request, &token).await
            }
            result => result,
        }
    }

    async fn send_with(&self, request: &Request, token: &Token) -> Result<Reply, Error> {
        let config = &self.cloud.config;
        let endpoint = token
            .catalog
            .endpoint(request.service, config.region.as_deref(), config.interface)?;
        self.cloud
            .transport
            .execute(request, &endpoint, Some(&token.secret), self.scope.lane.as_ref())
            .await
    }
}
