//! Sends requests: one connection pool, limits on what is under way, retries, logs and observation.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use backon::Retryable;
use http::HeaderMap;
use openstack_sdk_core::catalog::ServiceEndpoint;
use secrecy::SecretString;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::config::{AuthUrl, ConfigError};
use crate::error::{Answer, Call, Error};
use crate::observer::{RequestEvent, RequestObserver};
use crate::reply::Reply;
use crate::request::Request;
use crate::retry::RetryPolicy;
use crate::service::Service;

mod outgoing;
mod tls;

use outgoing::Outgoing;

/// The largest body that is read, in bytes: a page of 500 ports is about 1 MiB.
const MAX_BODY: usize = 32 << 20;

/// How long an idle connection is kept: less than the 5 s after which common servers (Apache) close theirs, so that a POST
/// seldom meets a connection that is being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// What a transport needs of a configuration.
pub(crate) struct Settings<'a> {
    pub(crate) auth_url: &'a AuthUrl,
    pub(crate) ca_file: Option<&'a Path>,
    pub(crate) connect_timeout: Duration,
    pub(crate) request_timeout: Duration,
    pub(crate) retry: RetryPolicy,
    pub(crate) max_concurrent_requests: NonZeroUsize,
}

pub(crate) struct Transport {
    client: reqwest::Client,
    observer: Arc<dyn RequestObserver>,
    slots: [Semaphore; Service::ALL.len()],
    retry: RetryPolicy,
    timeout: Duration,
}

impl Transport {
    pub(crate) fn new(config: &Settings<'_>, observer: Arc<dyn RequestObserver>) -> Result<Self, ConfigError> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls::client_config(config)?)
            .connect_timeout(config.connect_timeout)
            .timeout(config.request_timeout)
            .pool_idle_timeout(IDLE_TIMEOUT)
            // A redirect would carry the token to another place.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("stackube/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| ConfigError::setting("HTTP client", error.to_string()))?;
        let slots = Service::ALL.map(|_| Semaphore::new(config.max_concurrent_requests.get()));
        Ok(Self {
            client,
            observer,
            slots,
            retry: config.retry,
            timeout: config.request_timeout,
        })
    }

    /// Sends a request, again where that is safe and may help. `lane` is a narrower limit than the service's own.
    pub(crate) async fn execute(
        &self,
        request: &Request,
        base: &ServiceEndpoint,
        token: Option<&SecretString>,
        lane: Option<&Semaphore>,
    ) -> Result<Reply, Error> {
        let outgoing = &Outgoing::new(request, base, token)?;
        let attempts = &AtomicU32::new(0);
        let attempt = || self.attempt(request, outgoing, lane, attempts.fetch_add(1, Ordering::Relaxed) + 1);
        attempt
            .retry(self.retry.backoff())
            .when(|error| request.repeat.allows(error))
            .adjust(|error, proposed| self.retry.pause(error, proposed))
            .notify(|error, pause| tracing::warn!(%error, ?pause, "request failed, trying again"))
            .await
    }

    async fn attempt(
        &self,
        request: &Request,
        outgoing: &Outgoing,
        lane: Option<&Semaphore>,
        attempt: u32,
    ) -> Result<Reply, Error> {
        let waiting = Instant::now();
        let _slots = self.slots(request.service, lane).await;
        if outgoing.can_write() && !self.observer.may_write() {
            let call = Box::new(outgoing.call(None));
            return Err(Error::Withheld { call });
        }
        let (queued, started) = (waiting.elapsed(), Instant::now());
        let result = self.exchange(outgoing).await;
        let duration = started.elapsed();
        let status = result.as_ref().ok().map(|answer| answer.status.as_u16());
        let call = outgoing.call(result.as_ref().ok().map(|answer| &answer.headers));
        tracing::debug!(
            service = request.service.as_str(), method = %call.method, url = call.url, status, attempt,
            request_id = call.request_id, duration_ms = duration.as_millis(), queued_ms = queued.as_millis(), "request"
        );
        self.observer.observe(&RequestEvent {
            service: request.service,
            method: call.method.clone(),
            route: request.route,
            status,
            duration,
            queued,
            attempt,
        });
        match result {
            Ok(answer) if answer.status.is_success() => Ok(Reply::new(call, answer)),
            Ok(answer) => Err(answer.into_error(call, &request.about, &outgoing.secrets)),
            Err(Broken::Http { sent, source }) => Err(self.broken(call, sent, source)),
            Err(Broken::TooLong) => Err(Error::Decode {
                call: Box::new(call),
                reason: format!("longer than {MAX_BODY} bytes"),
            }),
        }
    }

    /// First the narrow limit, then the wide one, so that a project that waits for itself keeps nobody else waiting.
    async fn slots<'a>(
        &'a self,
        service: Service,
        lane: Option<&'a Semaphore>,
    ) -> (Option<SemaphorePermit<'a>>, Option<SemaphorePermit<'a>>) {
        let lane = match lane {
            Some(lane) => lane.acquire().await.ok(),
            None => None,
        };
        (lane, self.slots[service.index()].acquire().await.ok())
    }

    async fn exchange(&self, outgoing: &Outgoing) -> Result<Answer, Broken> {
        let request = outgoing.to_http().map_err(Broken::from)?;
        let mut response = self.client.execute(request).await.map_err(Broken::from)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(Broken::received)? {
            if body.len() + chunk.len() > MAX_BODY {
                return Err(Broken::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body })
    }

    fn broken(&self, call: Call, sent: bool, source: reqwest::Error) -> Error {
        let call = Box::new(call);
        if source.is_timeout() && sent {
            Error::Timeout {
                call,
                sent,
                after: self.timeout,
            }
        } else {
            Error::Unreachable {
                call,
                sent,
                source: Arc::new(source.without_url()),
            }
        }
    }
}

/// No complete answer.
enum Broken {
    Http { sent: bool, source: reqwest::Error },
    TooLong,
}

impl Broken {
    fn received(source: reqwest::Error) -> Self {
        Self::Http { sent: true, source }
    }
}

impl From<reqwest::Error> for Broken {
    fn from(source: reqwest::Error) -> Self {
        // What fails while connecting was not sent, nor was what could not be made into a request.
        Self::Http {
            sent: !(source.is_connect() || source.is_builder()),
            source,
        }
    }
}

/// The name of the request in the service's log.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("x-openstack-request-id")?.to_str().ok()?;
    Some(id.chars().filter(char::is_ascii_graphic).take(80).collect())
}
