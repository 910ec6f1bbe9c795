//! The sweeper: finds what is left in OpenStack of things that no longer exist in Kubernetes.
//!
//! With finalizers there should be nothing; what there is comes from objects whose finalizers somebody has removed, or from
//! errors. It is reported (a metric, an Event and a log line each) and, only if the operator says so (`sweep-delete`), deleted
//! after it has been seen for long enough (`sweep-grace`). Tags and descriptions say what might be ours; only what is also in a
//! project that is provably ours is ever deleted, since members of any project can write them.

use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::api::core::v1::{Namespace, ObjectReference};
use kube::api::ObjectMeta;
use stackube_api::names::SYSTEM_NAMESPACE;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::port::Shared;
use crate::stop::Stop;

mod compare;
mod delete;
mod live;
mod memory;
mod survey;

use compare::{Kind, Stray, strays};
use memory::Memory;

/// Runs until `shutdown`.
pub(crate) async fn run(shared: Arc<Shared>, shutdown: CancellationToken) {
    let rounds = async {
        let mut memory = Memory::default();
        loop {
            tokio::time::sleep(shared.context.config.sweep_interval).await;
            if let Err(stop) = round(&shared, &mut memory).await {
                warn!(
                    "what is in OpenStack cannot be compared with Kubernetes: {}",
                    stop.sentence()
                );
            }
        }
    };
    let _ = shutdown.run_until_cancelled(rounds).await;
}

async fn round(shared: &Shared, memory: &mut Memory) -> Result<(), Stop> {
    let session = shared.context.cloud.service();
    // OpenStack first: whatever is made after this, its Kubernetes object exists by the time those are listed.
    let survey = survey::survey(&session, &shared.context.identity.cluster).await?;
    let live = live::list(shared).await?;
    let found = strays(&survey, &live);
    let (now, grace) = (Instant::now(), shared.context.config.sweep_grace);
    let news = memory.note(&found, now);
    for kind in Kind::ALL {
        shared.metrics.strays(kind.as_str(), memory.count(kind));
    }
    for stray in &news {
        report(shared, stray).await;
    }
    if shared.context.config.sweep_delete {
        let due = memory.due(&found, now, grace);
        for stray in delete::in_order(due) {
            match delete::delete(&session, &stray).await {
                Ok(()) => info!(kind = stray.kind.as_str(), id = stray.id, "stray deleted"),
                Err(error) => warn!(kind = stray.kind.as_str(), id = stray.id, "stray not deleted: {error}"),
            }
        }
    }
    Ok(())
}

async fn report(shared: &Shared, stray: &Stray) {
    let what_next = match (stray.is_provably_ours, shared.context.config.sweep_delete) {
        (false, _) => "it is in a project that is not Stackube's, so it is left alone: look who made it",
        (true, true) => "it will be deleted if it stays",
        (true, false) => "delete it by hand, or set sweep-delete in the configuration",
    };
    let note = format!("{stray} belongs to nothing in this cluster; {what_next}");
    warn!(kind = stray.kind.as_str(), id = stray.id, "{note}");
    let metadata = ObjectMeta {
        name: Some(SYSTEM_NAMESPACE.into()),
        ..ObjectMeta::default()
    };
    let about = Namespace {
        metadata,
        ..Namespace::default()
    };
    let related = ObjectReference {
        kind: Some(stray.kind.as_str().into()),
        name: Some(stray.id.clone()),
        ..ObjectReference::default()
    };
    let events = &shared.context.events;
    events.warning_of(&about, related, "Sweep", "StrayFound", note).await;
}

#[cfg(test)]
mod tests;
