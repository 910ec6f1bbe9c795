//! The socket on which the plugin calls.

mod connection;

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rscni_plugin::error::Error as CniError;
use rscni_plugin::types::ErrorResult;
use rscni_plugin::version::SpecVersion;
use thiserror::Error;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument, Span, debug, field, info_span, warn};

use self::connection::{Connection, Received};
use crate::link::PodLinks;
use crate::metrics::Metrics;
use crate::protocol::{Reply, Request};
use crate::sandbox::Engine;
use crate::sandbox::engine::Add;

/// The socket could not be made.
#[derive(Debug, Error)]
#[error("cannot listen on {}", path.display())]
pub struct ListenError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Listens on `path`, for root only.
///
/// # Errors
/// [`ListenError`] when the directory cannot be made or the socket not bound.
pub fn listen(path: &Path) -> Result<UnixListener, ListenError> {
    let failed = |source| ListenError {
        path: path.to_owned(),
        source,
    };
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(failed)?;
    }
    // Bound under another name and moved: at its own name the socket is never open to others, and a daemon that was
    // killed leaves nothing in the way.
    let temporary = path.with_extension("new");
    match std::fs::remove_file(&temporary) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(failed(e)),
        _ => {}
    }
    let listener = UnixListener::bind(&temporary).map_err(failed)?;
    std::fs::set_permissions(&temporary, PermissionsExt::from_mode(0o600)).map_err(failed)?;
    std::fs::rename(&temporary, path).map_err(failed)?;
    Ok(listener)
}

/// Serves calls until `stop`, then lets those under way end.
pub async fn serve(listener: UnixListener, engine: Engine, metrics: Metrics, stop: CancellationToken) {
    let calls = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                calls.spawn(call(stream, engine.clone(), metrics.clone(), stop.clone()));
            }
            Err(error) => {
                // Out of descriptors, most likely: going round at once would only burn the processor.
                warn!(%error, "cannot accept a call");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
    calls.close();
    calls.wait().await;
}

/// One call, from its request to its reply.
async fn call(stream: UnixStream, engine: Engine, metrics: Metrics, stop: CancellationToken) {
    let mut connection = Connection::new(stream);
    match connection.receive().await {
        Ok(received) => {
            let span = span(&received.request);
            answer(connection, received, &engine, &metrics, &stop)
                .instrument(span)
                .await;
        }
        Err(error) => {
            warn!(%error, "a call that cannot be read");
            let reply = failed(&CniError::FailedToDecode(format!(
                "the node daemon cannot read the call: {error}"
            )));
            // The peer speaks another language: that it does not listen either is no news.
            drop(connection.reply(&reply).await);
        }
    }
}

/// What every log line of a call begins with.
fn span(request: &Request) -> Span {
    let command = request.command();
    let (attachment, pod) = match request {
        Request::Add { attachment, pod, .. } => (Some(attachment), Some(pod)),
        Request::Del { attachment, pod } => (Some(attachment), pod.as_ref()),
        Request::Check { attachment, .. } => (Some(attachment), None),
        Request::Status | Request::Gc { .. } => (None, None),
    };
    let container = attachment.map(|attachment| field::display(&attachment.container_id));
    let pod = pod
        .map(|pod| format!("{}/{}", pod.namespace, pod.name))
        .map(field::display);
    info_span!("cni", command, pod, container)
}

async fn answer(
    mut connection: Connection,
    received: Received,
    engine: &Engine,
    metrics: &Metrics,
    stop: &CancellationToken,
) {
    let command = received.request.command();
    let undo = match &received.request {
        Request::Add { attachment, pod, .. } => Some((attachment.clone(), pod.clone())),
        _ => None,
    };
    let started = Instant::now();
    let outcome = serve_request(&mut connection, received, engine, stop).await;
    let (code, reply) = match outcome {
        Ok(reply) => (0, reply),
        Err(error) => {
            let code = u32::from(&error);
            warn!(code, %error, "the call failed");
            (code, failed(&error))
        }
    };
    metrics.call(command, code, started.elapsed());
    if let Err(error) = connection.reply(&reply).await {
        warn!(%error, "the plugin went away before it had its answer");
        // Its runtime takes the ADD for failed.
        if let Some((attachment, pod)) = undo.filter(|_| code == 0)
            && let Err(error) = engine.del(&attachment, Some(&pod)).await
        {
            warn!(error = %error.report(), "cannot undo it yet; DEL or the next purge will");
        }
    }
    debug!(code, duration = ?started.elapsed(), "served the call");
}

fn failed(error: &CniError) -> Reply {
    Reply::Failed(ErrorResult::new(SpecVersion::CURRENT, error))
}

async fn serve_request(
    connection: &mut Connection,
    received: Received,
    engine: &Engine,
    stop: &CancellationToken,
) -> Result<Reply, CniError> {
    let Received { request, descriptors } = received;
    let done = |()| Reply::Done;
    match request {
        Request::Add { attachment, pod, netns } => {
            let (namespace, links) = pod_side(descriptors)?;
            let call = Add {
                attachment,
                pod,
                netns,
                namespace,
                links,
            };
            add(connection, engine, &call, stop.child_token()).await
        }
        Request::Del { attachment, pod } => engine
            .del(&attachment, pod.as_ref())
            .await
            .map(done)
            .map_err(|e| e.to_cni()),
        Request::Check { attachment, previous } => {
            let (_, links) = pod_side(descriptors)?;
            engine
                .check(&attachment, previous.as_ref(), &links)
                .await
                .map(done)
                .map_err(|e| e.to_cni())
        }
        Request::Status => engine
            .status()
            .await
            .map(done)
            .map_err(|e| CniError::PluginNotAvailable(e.report())),
        Request::Gc { valid } => engine.gc(&valid).await.map(done).map_err(|e| e.to_cni()),
    }
}

/// ADD is taken back when the plugin goes away (it was killed, and its runtime knows nothing of an outcome) and when
/// the daemon ends (kubelet calls again, and the next daemon answers).
async fn add(
    connection: &mut Connection,
    engine: &Engine,
    call: &Add,
    cancel: CancellationToken,
) -> Result<Reply, CniError> {
    let adding = engine.add(call, &cancel);
    tokio::pin!(adding);
    let outcome = tokio::select! {
        outcome = &mut adding => outcome,
        () = connection.closed() => {
            cancel.cancel();
            adding.await
        }
    };
    outcome.map(Reply::Plugged).map_err(|e| e.to_cni())
}

type PodSide = (std::os::fd::OwnedFd, PodLinks);

fn pod_side(descriptors: Vec<std::os::fd::OwnedFd>) -> Result<PodSide, CniError> {
    let [namespace, socket] = <[_; 2]>::try_from(descriptors).map_err(|found| {
        CniError::FailedToDecode(format!("the call came with {} descriptors instead of 2", found.len()))
    })?;
    let links = PodLinks::new(socket).map_err(|e| CniError::InvalidNetNS(e.to_string()))?;
    Ok((namespace, links))
}
