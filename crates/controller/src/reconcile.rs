//! The frame around every reconciler: time limit, log span, metrics, pauses after failures.

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::StreamExt;
use kube::runtime::controller::{Action, Config, Controller, Error};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{self, watcher};
use kube::runtime::{Predicate, PredicateConfig, WatchStreamExt, predicates, reflector};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, debug, error, info, info_span, warn};

use crate::context::Context;
use crate::metrics::{Metrics, Outcome};
use crate::retry::Retries;
use crate::stop::{Stop, Verdict};

/// Limit for one reconcile. Router calls take seconds each; a reconcile that is cut off is repeated and finds what it made.
const LIMIT: Duration = Duration::from_secs(300);

/// How many objects of one kind are worked on at once. A tenant whose calls hang holds one place for at most [`LIMIT`];
/// toward OpenStack itself the client's limits hold (16 requests for each service, 4 of them for each project).
pub(crate) const CONCURRENCY: u16 = 32;

/// A controller for objects of kind `K` that is triggered by their creation, deletion mark, and changes of spec and
/// finalizers, but not by the status that it writes itself: otherwise a failing object would never rest.
pub(crate) fn controller<K>(api: Api<K>) -> Controller<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (reader, writer) = reflector::store();
    let changes = watcher(api, watcher::Config::default())
        .default_backoff()
        .reflect(writer)
        .applied_objects()
        .predicate_filter(
            predicates::generation.combine(predicates::finalizers),
            PredicateConfig::default(),
        );
    Controller::for_stream(changes, reader).with_config(Config::default().concurrency(CONCURRENCY))
}

/// Runs a controller until `shutdown`; reconciles that are under way then are finished (within [`LIMIT`]).
///
/// `kind` is the label in logs and metrics, for example `tenant`. An `Ok(action)` means that the object is as wanted; a
/// [`Stop`] must already be in the object's conditions.
pub(crate) async fn drive<K, F, Fut>(
    controller: Controller<K>,
    context: Arc<Context>,
    shutdown: CancellationToken,
    kind: &'static str,
    reconcile: F,
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static,
    F: Fn(Arc<K>, Arc<Context>) -> Fut,
    Fut: Future<Output = Result<Action, Stop>> + Send + 'static,
{
    let retries: Arc<Retries<ObjectRef<K>>> = Arc::default();
    let metrics = context.metrics.clone();
    let (done, failed) = (Arc::clone(&retries), Arc::clone(&retries));
    controller
        .graceful_shutdown_on(shutdown.cancelled_owned())
        .run(
            move |object, context| {
                let done = Arc::clone(&done);
                let key = ObjectRef::from_obj(&*object);
                let span = info_span!("reconcile", kind, object = %name_of(&*object));
                let metrics = context.metrics.clone();
                let work = reconcile(object, context);
                async move {
                    let result = timed(kind, &metrics, work).await;
                    if result.is_ok() {
                        done.clear(&key);
                    }
                    result
                }
                .instrument(span)
            },
            move |object, stop, _| {
                Action::requeue(failed.pause(ObjectRef::from_obj(&*object), stop.verdict(), rand::random()))
            },
            context,
        )
        .for_each(|result| {
            note(kind, &metrics, &result);
            futures::future::ready(())
        })
        .await;
    info!(kind, "controller stopped");
}

/// The object as it is now, for a reconcile to start from. The cached one may be older than what the last reconcile itself
/// wrote: by its status, things would be made twice, and a status that has to be put right would seem to be right. `None` if it
/// is gone, or another has its name by now.
///
/// # Errors
/// Those of the API server.
pub(crate) async fn latest<K>(api: &Api<K>, cached: &K) -> Result<Option<Arc<K>>, kube::Error>
where
    K: Resource + Clone + Debug + DeserializeOwned,
{
    let found = api.get_opt(&cached.name_any()).await?;
    Ok(found.filter(|found| found.uid() == cached.uid()).map(Arc::new))
}

async fn timed(
    kind: &'static str,
    metrics: &Metrics,
    work: impl Future<Output = Result<Action, Stop>>,
) -> Result<Action, Stop> {
    let start = Instant::now();
    let result = tokio::time::timeout(LIMIT, work)
        .await
        .unwrap_or(Err(Stop::TimedOut(LIMIT)));
    let outcome = match &result {
        Ok(_) => Outcome::Done,
        Err(stop) => match stop.verdict() {
            Verdict::Refused => Outcome::Refused,
            Verdict::Waiting(_) => Outcome::Waiting,
            Verdict::Transient => Outcome::Failed,
        },
    };
    metrics.reconciled(kind, outcome, start.elapsed());
    match &result {
        Ok(_) => debug!(seconds = start.elapsed().as_secs_f64(), "as wanted"),
        Err(stop) => match stop.verdict() {
            Verdict::Refused => warn!(reason = stop.reason(), "refused: {}", stop.sentence()),
            Verdict::Waiting(_) => info!(reason = stop.reason(), "waiting: {}", stop.sentence()),
            Verdict::Transient => warn!(reason = stop.reason(), "failed, will be repeated: {}", stop.sentence()),
        },
    }
    result
}

/// What the stream of results says beyond what [`timed`] has logged.
fn note<K: Resource<DynamicType = ()>>(
    kind: &'static str,
    metrics: &Metrics,
    result: &Result<(ObjectRef<K>, Action), Error<Stop, watcher::Error>>,
) {
    match result {
        Err(Error::QueueError(watch)) => {
            metrics.watch_failed(kind);
            warn!(kind, "watch failed, will be repeated: {watch}");
        }
        Err(Error::RunnerError(runner)) => error!(kind, "the controller's runner failed: {runner}"),
        // The object vanished between its event and its turn: nothing is left to do for it.
        Err(Error::ObjectNotFound(_)) => {}
        Ok(_) | Err(Error::ReconcilerFailed(..)) => {}
    }
}

/// `namespace/name`, or just the name of a cluster-scoped object.
pub(crate) fn name_of<K: Resource>(object: &K) -> String {
    match object.namespace() {
        Some(namespace) => format!("{namespace}/{}", object.name_any()),
        None => object.name_any(),
    }
}
