//! What goes on for as long as the daemon runs, besides serving calls.

use std::time::Duration;

use stackube_datapath::SWEEP_INTERVAL;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::metrics::Metrics;
use crate::nodelink::keep::Changes;
use crate::sandbox::Engine;

/// How often what is left of dead sandboxes is looked for.
const PURGE_INTERVAL: Duration = Duration::from_secs(60);

/// Keeps the node's link, and the routes over it, as they should be.
pub(super) async fn link(engine: Engine, metrics: Metrics, mut changes: Changes, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = changes.next() => {}
        }
        match engine.ensure_link().await {
            Ok(done) if done.is_empty() => {}
            Ok(done) => {
                metrics.link_restored();
                warn!(done = %done.join(", "), "somebody had changed the node's link to its pods: it is back");
            }
            Err(error) => warn!(error = %error.report(), "cannot look after the node's link to its pods"),
        }
    }
}

/// Removes flows that have ended.
pub(super) async fn sweeping(engine: Engine, metrics: Metrics, stop: CancellationToken) {
    let mut turns = tokio::time::interval(SWEEP_INTERVAL);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = turns.tick() => {}
        }
        match engine.sweep().await {
            Ok(live) => metrics.flows(live),
            Err(error) => warn!(error = %error.report(), "cannot remove flows that have ended"),
        }
    }
}

/// Looks for remains now and then.
pub(super) async fn purging(engine: Engine, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(PURGE_INTERVAL) => {}
        }
        if let Err(error) = engine.purge().await {
            warn!(error = %error.report(), "cannot look for remains of dead sandboxes");
        }
        if let Err(error) = engine.attach_missing().await {
            warn!(error = %error.report(), "cannot attach the programs to pods that have none");
        }
    }
}
