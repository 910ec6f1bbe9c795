//! Asking Keystone whose a token is: not more often than needed, and not more at once than it can bear.
//!
//! * An answer is remembered for [`Limits::cache_ttl`], a "no" for [`Limits::refusal_ttl`], both counted from when the
//!   question was sent, so that a revoked token is never taken for longer. Whoever asks for a token that is being asked for
//!   waits for the same answer.
//! * Tokens that were let in before have slots and a queue of their own, so that neither tokens made up by somebody nor good
//!   ones of people who have no tenant hold up anyone who works.
//! * When Keystone does not answer, nobody waits for it more than once a second: unknown tokens are refused at once.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;
use moka::Expiry;
use moka::future::Cache;
use secrecy::SecretString;
use stackube_openstack::{Error, TokenDetails, TokenVerifier};

use crate::token::{Key, Presented};

mod pause;
mod slots;

use pause::Pause;
use slots::Slots;

/// A Keystone that took longer to refuse is not asked again: somebody waits.
const QUICK: Duration = Duration::from_secs(1);
/// How long to wait before asking again.
const BEFORE_AGAIN: Duration = Duration::from_millis(200);

/// How much is remembered, and how much is asked at once.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How long an answer is remembered.
    pub cache_ttl: Duration,
    /// How long it is remembered that Keystone does not know a token.
    pub refusal_ttl: Duration,
    /// How many answers are remembered.
    pub cache_size: NonZeroUsize,
    /// How many tokens that were let in before are asked for at once.
    pub familiar_requests: NonZeroUsize,
    /// How many other tokens are asked for at once.
    pub unfamiliar_requests: NonZeroUsize,
    /// How many of each of the two kinds wait for a slot; more are refused at once.
    pub max_waiting: usize,
    /// How long one waits for a slot.
    pub max_wait: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            cache_ttl: Duration::from_secs(20),
            refusal_ttl: Duration::from_secs(10),
            cache_size: NonZeroUsize::new(10_000).unwrap_or(NonZeroUsize::MIN),
            familiar_requests: NonZeroUsize::new(4).unwrap_or(NonZeroUsize::MIN),
            unfamiliar_requests: NonZeroUsize::new(4).unwrap_or(NonZeroUsize::MIN),
            max_waiting: 64,
            max_wait: Duration::from_secs(2),
        }
    }
}

/// Why there is no answer of Keystone.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// Too many tokens of its kind at once.
    #[error("too many tokens to ask Keystone about at once: try again")]
    Busy,
    /// Keystone did not answer a moment ago.
    #[error("Keystone did not answer a moment ago: check that it runs and that --auth-url is right")]
    Paused,
    /// Keystone does not answer, or not as it should.
    #[error(transparent)]
    Keystone(#[from] Error),
}

/// What Keystone said, and when it was asked.
#[derive(Debug, Clone)]
struct Remembered {
    details: Option<Arc<TokenDetails>>,
    asked: Instant,
}

/// How long each answer is remembered.
struct Memory {
    cache_ttl: Duration,
    refusal_ttl: Duration,
}

impl Expiry<Key, Remembered> for Memory {
    fn expire_after_create(&self, _: &Key, value: &Remembered, created_at: Instant) -> Option<Duration> {
        let ttl = match &value.details {
            None => self.refusal_ttl,
            Some(token) => {
                let left = token.expires_at.duration_since(jiff::Timestamp::now());
                self.cache_ttl.min(Duration::try_from(left).unwrap_or_default())
            }
        };
        Some(ttl.saturating_sub(created_at.saturating_duration_since(value.asked)))
    }
}

/// Keystone's knowledge of tokens.
pub(crate) struct Introspection {
    verifier: TokenVerifier,
    answers: Cache<Key, Remembered>,
    /// Tokens that were let in when last judged.
    familiar: Mutex<LruCache<Key, ()>>,
    familiar_slots: Slots,
    unfamiliar_slots: Slots,
    pause: Pause,
}

impl Introspection {
    pub(crate) fn new(verifier: TokenVerifier, limits: &Limits) -> Self {
        let memory = Memory {
            cache_ttl: limits.cache_ttl,
            refusal_ttl: limits.refusal_ttl,
        };
        let capacity = u64::try_from(limits.cache_size.get()).unwrap_or(u64::MAX);
        Self {
            verifier,
            answers: Cache::builder().max_capacity(capacity).expire_after(memory).build(),
            familiar: Mutex::new(LruCache::new(limits.cache_size)),
            familiar_slots: Slots::new(limits.familiar_requests, limits),
            unfamiliar_slots: Slots::new(limits.unfamiliar_requests, limits),
            pause: Pause::default(),
        }
    }

    /// What Keystone says of the token; `None`: nothing, or nothing any more.
    pub(crate) async fn details(&self, token: &Presented) -> Result<Option<Arc<TokenDetails>>, NoAnswer> {
        let asked = self.answers.try_get_with(token.key, self.ask(token)).await;
        asked.map(|answer| answer.details).map_err(|error| (*error).clone())
    }

    /// The token was let in: from now on nobody without a tenant is in its way.
    pub(crate) fn welcome(&self, token: &Presented) {
        self.familiar().put(token.key, ());
    }

    /// The token was not let in, or not any more: to be known to Keystone is not enough for a slot of those who work.
    pub(crate) fn forget(&self, token: &Presented) {
        self.familiar().pop(&token.key);
    }

    /// How many answers are remembered.
    pub(crate) async fn remembered(&self) -> u64 {
        // The cache puts away what ran out or has no room only now and then.
        self.answers.run_pending_tasks().await;
        self.answers.entry_count()
    }

    async fn ask(&self, token: &Presented) -> Result<Remembered, NoAnswer> {
        self.pause.check()?;
        let let_through = Instant::now();
        let slots = match self.familiar().contains(&token.key) {
            true => &self.familiar_slots,
            false => &self.unfamiliar_slots,
        };
        let _slot = slots.take().await?;
        // Others may have found out that Keystone does not answer while this one waited.
        self.pause.check_again(let_through)?;
        let (asked, answer) = self.verify(&token.secret).await;
        self.pause.note(answer.as_ref().err());
        let details = answer?.map(Arc::new);
        Ok(Remembered { details, asked })
    }

    /// Asks Keystone, and once more if it knows the token but does not let it look at itself: that was seen for a moment of
    /// good tokens, while roles of others were changed. Made-up tokens are never asked about twice: their answer is another.
    async fn verify(&self, token: &SecretString) -> (Instant, Result<Option<TokenDetails>, Error>) {
        let asked = Instant::now();
        let answer = self.verifier.verify(token).await;
        if !matches!(answer, Err(Error::Forbidden { .. })) || asked.elapsed() > QUICK {
            return (asked, answer);
        }
        tokio::time::sleep(BEFORE_AGAIN).await;
        (Instant::now(), self.verifier.verify(token).await)
    }

    fn familiar(&self) -> std::sync::MutexGuard<'_, LruCache<Key, ()>> {
        self.familiar.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
