//! Tokens that are kept, one per scope, renewed before they expire, by one request however many wait.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use crate::auth::{Issued, TokenInfo};
use crate::catalog::Catalog;
use crate::cloud::Inner;
use crate::error::Error;
use crate::id::ProjectId;

/// A token is renewed when it has less than this left, or less than a fifth of its lifetime if that is shorter: time enough
/// for the longest request that carries it.
const RENEW_BEFORE: Duration = Duration::from_secs(300);

/// After a renewal that failed while the old token is still valid, how long the old one is used without trying again.
const RENEWAL_PAUSE: Duration = Duration::from_secs(15);

pub(crate) struct Token {
    pub(crate) secret: SecretString,
    pub(crate) info: TokenInfo,
    pub(crate) catalog: Catalog,
    /// By Keystone's clock.
    pub(crate) issued_at: Timestamp,
    issued: Instant,
    fresh_until: Instant,
    expires: Instant,
}

impl Token {
    /// `asked` is when the request was sent, so that the token is never thought to live longer than it does.
    pub(crate) fn new(issued: Issued, asked: Instant) -> Self {
        let margin = RENEW_BEFORE.min(issued.lifetime / 5);
        Self {
            secret: issued.secret,
            info: issued.info,
            catalog: issued.catalog,
            issued_at: issued.issued_at,
            issued: asked,
            fresh_until: asked + issued.lifetime.saturating_sub(margin),
            expires: asked + issued.lifetime,
        }
    }

    pub(crate) fn remaining(&self) -> Duration {
        self.expires.saturating_duration_since(Instant::now())
    }

    pub(crate) fn age(&self) -> Duration {
        self.issued.elapsed()
    }

    fn is_fresh(&self) -> bool {
        Instant::now() < self.fresh_until
    }

    fn is_valid(&self) -> bool {
        Instant::now() < self.expires
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

/// What tokens of a scope are for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// The service user's own project.
    Own,
    /// A tenant's project.
    Project(ProjectId),
}

/// One scope with its present token.
pub(crate) struct Scope {
    target: Target,
    current: RwLock<Option<Arc<Token>>>,
    renewal: Mutex<LastFailure>,
    /// Limits the requests under way for this scope; the service's own scope has only the limits of the services.
    pub(crate) lane: Option<Semaphore>,
}

type LastFailure = Option<(Instant, Error)>;

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

impl Scope {
    pub(crate) fn new(target: Target, lane: Option<Semaphore>) -> Self {
        Self {
            target,
            current: RwLock::default(),
            renewal: Mutex::default(),
            lane,
        }
    }

    fn current(&self) -> Option<Arc<Token>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn keep(&self, token: &Arc<Token>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(token));
    }

    fn drop_current(&self) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// A token that can be used now. While one is valid, only the caller that renews it waits.
    pub(crate) async fn token(&self, cloud: &Inner) -> Result<Arc<Token>, Error> {
        let Some(token) = self.current().filter(|token| token.is_valid()) else {
            return self.renewed(cloud, |token| token.is_valid()).await;
        };
        if token.is_fresh() {
            return Ok(token);
        }
        let Ok(mut failure) = self.renewal.try_lock() else {
            return Ok(token);
        };
        if failure.as_ref().is_some_and(|(when, _)| when.elapsed() < RENEWAL_PAUSE) {
            return Ok(token);
        }
        match self.issue(cloud, &mut failure).await {
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, target = ?self.target, "the token could not be renewed; using the old one");
                Ok(token)
            }
            result => result,
        }
    }

    /// A token other than `refused`, which a service did not accept.
    pub(crate) async fn replace(&self, cloud: &Inner, refused: &Arc<Token>) -> Result<Arc<Token>, Error> {
        self.renewed(cloud, |token| {
            token.is_valid() && !std::ptr::eq(token, Arc::as_ptr(refused))
        })
        .await
    }

    /// Waits for its turn; whoever comes first asks Keystone, the others take the outcome, success or failure.
    async fn renewed(&self, cloud: &Inner, good: impl Fn(&Token) -> bool) -> Result<Arc<Token>, Error> {
        let asked = Instant::now();
        let mut failure = self.renewal.lock().await;
        if let Some(token) = self.current().filter(|token| good(token)) {
            return Ok(token);
        }
        if let Some((_, error)) = failure.as_ref().filter(|(when, _)| *when > asked) {
            return Err(error.clone());
        }
        self.issue(cloud, &mut failure).await
    }

    async fn issue(&self, cloud: &Inner, failure: &mut LastFailure) -> Result<Arc<Token>, Error> {
        // Boxed: a project's token is issued on the strength of the service's own, by this same function.
        match Box::pin(cloud.issue(&self.target)).await {
            Ok(token) => {
                let token = Arc::new(token);
                *failure = None;
                self.keep(&token);
                Ok(token)
            }
            Err(error) => {
                if denies_the_scope(&error) {
                    self.drop_current();
                }
                *failure = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }
}

/// Whether Keystone says that this user has no business in the scope (any more). Then the token that is left is dead as well,
/// or soon will be: whoever asks for one must hear of it at once, not when it would have expired.
fn denies_the_scope(error: &Error) -> bool {
    matches!(
        error,
        Error::Unauthorized { .. } | Error::Forbidden { .. } | Error::NotFound { .. }
    )
}
