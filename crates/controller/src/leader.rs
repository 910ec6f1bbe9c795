//! Leader election by a Lease: only the leader reconciles.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use kube_lease_manager::{LeaseManagerBuilder, LeaseManagerError};
use stackube_api::names::SYSTEM_NAMESPACE;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

/// Name of the Lease in [`SYSTEM_NAMESPACE`].
pub(crate) const LEASE: &str = "stackube-controller";
/// How long a lease holds after its last renewal, in seconds. Another instance takes over after at most this time.
const DURATION: u64 = 20;
/// How long before its end it is renewed, in seconds; also the skew of clocks that is tolerated.
const GRACE: u64 = 10;
/// The leader stops this long before its lease ends, so that it is quiet when the next one starts.
const MARGIN: Duration = Duration::from_secs(2);
/// How often the leader looks whether the lease is still its own.
const LOOK: Duration = Duration::from_secs(2);

/// Cannot take part in the election.
#[derive(Debug, thiserror::Error)]
pub enum LeaderError {
    /// The Lease cannot be read or written.
    #[error(
        "the Lease {SYSTEM_NAMESPACE}/{LEASE} cannot be used: check that the namespace exists and the service account may write it"
    )]
    Lease(#[from] LeaseManagerError),
    /// The task that renews the lease has ended.
    #[error("the lease is no longer renewed")]
    Ended,
}

/// The lease, while it is held. Drop it by [`Leadership::release`], so that the next leader need not wait.
pub(crate) struct Leadership {
    held: watch::Receiver<bool>,
    task: JoinHandle<Result<kube_lease_manager::LeaseManager, LeaseManagerError>>,
    leases: Api<Lease>,
    identity: String,
}

impl Leadership {
    /// Waits until this instance is the leader.
    ///
    /// # Errors
    /// [`LeaderError`] when the Lease cannot be used at all; failures in between are repeated.
    pub(crate) async fn acquire(client: Client, identity: &str) -> Result<Self, LeaderError> {
        let manager = LeaseManagerBuilder::new(client.clone(), LEASE)
            .with_namespace(SYSTEM_NAMESPACE)
            .with_identity(identity)
            .with_field_manager("stackube-controller")
            .with_grace(GRACE.min(DURATION - 1))
            .with_duration(DURATION)
            .build()
            .await?;
        let (mut held, task) = manager.watch().await;
        info!(identity, "waiting for the lease {SYSTEM_NAMESPACE}/{LEASE}");
        held.wait_for(|held| *held).await.map_err(|_| LeaderError::Ended)?;
        info!(identity, "this instance is the leader");
        Ok(Self {
            held,
            task,
            leases: Api::namespaced(client, SYSTEM_NAMESPACE),
            identity: identity.to_owned(),
        })
    }

    /// Returns when the lease is lost, or can no longer be known to be held.
    ///
    /// The library reports that somebody else has the lease, but goes on as leader while the API server cannot be reached. By
    /// then another instance may have taken over, and this one could still write to OpenStack. So the Lease is read here as
    /// well, and leadership ends before the last seen renewal runs out.
    pub(crate) async fn lost(&mut self) {
        let mut valid_until = Instant::now() + Duration::from_secs(DURATION);
        loop {
            tokio::select! {
                _ = self.held.wait_for(|held| !*held) => return warn!("somebody else holds the lease"),
                () = sleep(LOOK) => {}
            }
            match timeout(LOOK * 2, self.leases.get(LEASE)).await {
                Ok(Ok(lease)) => match remaining(&lease, &self.identity, Timestamp::now()) {
                    Some(remaining) => valid_until = Instant::now() + remaining,
                    None => return warn!("somebody else holds the lease"),
                },
                Ok(Err(error)) => warn!("the lease cannot be read: {error}"),
                Err(_) => warn!("the API server does not answer"),
            }
            if Instant::now() + MARGIN > valid_until {
                return warn!("the lease could not be renewed in time");
            }
        }
    }

    /// Gives the lease back.
    pub(crate) async fn release(self) {
        drop(self.held);
        match timeout(Duration::from_secs(5), self.task).await {
            Ok(Ok(Ok(_))) => info!("lease released"),
            _ => warn!("the lease could not be released; it runs out by itself"),
        }
    }
}

/// Whether an instance other than `identity` holds the lease now.
pub(crate) fn is_another_leading(lease: &Lease, identity: &str) -> bool {
    let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
    holder.is_some_and(|holder| {
        holder != identity && remaining(lease, holder, Timestamp::now()).is_some_and(|left| !left.is_zero())
    })
}

/// How long the lease still holds, if `identity` holds it.
fn remaining(lease: &Lease, identity: &str, now: Timestamp) -> Option<Duration> {
    let spec = lease
        .spec
        .as_ref()
        .filter(|spec| spec.holder_identity.as_deref() == Some(identity))?;
    let renewed = spec.renew_time.as_ref()?.0;
    let length = Duration::from_secs(u64::try_from(spec.lease_duration_seconds?).ok()?);
    let age = Duration::try_from(now.duration_since(renewed)).unwrap_or(Duration::ZERO);
    Some(length.saturating_sub(age))
}
