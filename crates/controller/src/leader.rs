//! Leader election by a Lease: only the leader reconciles.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client};
use kube_lease_manager::{LeaseManagerBuilder, LeaseManagerError};
use stackube_api::names::SYSTEM_NAMESPACE;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

pub(crate) mod fence;
#[cfg(test)]
mod tests;

use fence::Fence;

/// Name of the Lease in [`SYSTEM_NAMESPACE`].
pub(crate) const LEASE: &str = "stackube-controller";
/// How long a lease holds after its last renewal, in seconds. Another instance takes over after at most this time.
const DURATION: u64 = 20;
/// How long before its end it is renewed, in seconds; also the skew of clocks that is tolerated.
const GRACE: u64 = 10;
/// How often the leader looks whether the lease is still its own.
const LOOK: Duration = Duration::from_secs(2);
/// How long until a lease that was just taken, or was found run out, is looked at again.
const SOON: Duration = Duration::from_millis(200);
/// The API server's limit for the name of a field manager, in characters.
const MAX_FIELD_MANAGER: usize = 128;

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
    fence: Fence,
}

impl Leadership {
    /// Waits until this instance is the leader. From then on `fence` lets through what the lease covers. `client` must not be
    /// behind that fence: it renews the lease.
    ///
    /// # Errors
    /// [`LeaderError`] when the Lease cannot be used at all; failures in between are repeated.
    pub(crate) async fn acquire(client: Client, identity: &str, fence: Fence) -> Result<Self, LeaderError> {
        let leases: Api<Lease> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
        info!(identity, "waiting for the lease {SYSTEM_NAMESPACE}/{LEASE}");
        vacancy(&leases, identity).await;
        let manager = LeaseManagerBuilder::new(client, LEASE)
            .with_namespace(SYSTEM_NAMESPACE)
            .with_identity(identity)
            .with_field_manager(field_manager(identity))
            .with_grace(GRACE.min(DURATION - 1))
            .with_duration(DURATION)
            .build()
            .await?;
        let (held, task) = manager.watch().await;
        let mut leadership = Self {
            held,
            task,
            leases,
            identity: identity.to_owned(),
            fence,
        };
        // A container that was started again in its pod finds the lease its own, but perhaps run out: only what the Lease says counts.
        loop {
            let held = leadership.held.wait_for(|held| *held).await;
            held.map_err(|_| LeaderError::Ended)?;
            if leadership.look().await == Look::Held && leadership.fence.is_open() {
                break;
            }
            sleep(SOON).await;
        }
        info!(identity, "this instance is the leader");
        Ok(leadership)
    }

    /// Returns when the lease is lost, or can no longer be known to be held. Nothing passes the fence any more then.
    ///
    /// The library reports that somebody else has the lease, but goes on as leader while the API server cannot be reached. By
    /// then another instance may have taken over, and this one could still write to OpenStack. So the Lease is read here as
    /// well, and leadership ends before the last seen renewal runs out. A process that stood still for longer than that writes
    /// nothing either, before it comes to this: the fence goes by the clock.
    pub(crate) async fn lost(&mut self) {
        loop {
            tokio::select! {
                _ = self.held.wait_for(|held| !*held) => break warn!("somebody else holds the lease"),
                () = sleep(LOOK) => {}
            }
            if self.look().await == Look::Lost {
                break warn!("somebody else holds the lease");
            }
            if !self.fence.is_open() {
                break warn!("the lease could not be renewed in time");
            }
        }
        self.fence.shut();
    }

    /// Reads the Lease, and moves the fence to its end.
    async fn look(&self) -> Look {
        match timeout(LOOK * 2, self.leases.get(LEASE)).await {
            Ok(Ok(lease)) => match remaining(&lease, &self.identity, Timestamp::now()) {
                Some(remaining) => {
                    self.fence.move_to(Instant::now() + remaining);
                    return Look::Held;
                }
                None => return Look::Lost,
            },
            Ok(Err(error)) => warn!("the lease cannot be read: {error}"),
            Err(_) => warn!("the API server does not answer"),
        }
        Look::Unknown
    }

    /// Gives the lease back.
    pub(crate) async fn release(self) {
        // What did not end in time ends here.
        self.fence.shut();
        drop(self.held);
        match timeout(Duration::from_secs(5), self.task).await {
            Ok(Ok(Ok(_))) => info!("lease released"),
            _ => warn!("the lease could not be released; it runs out by itself"),
        }
    }
}

/// Waits until nobody else leads. The library would sleep until the lease that it saw ends, also when that is given back meanwhile.
async fn vacancy(leases: &Api<Lease>, identity: &str) {
    loop {
        match timeout(LOOK * 2, leases.get_opt(LEASE)).await {
            Ok(Ok(Some(lease))) if is_another_leading(&lease, identity, Timestamp::now()) => {}
            Ok(Ok(_)) => return,
            Ok(Err(error)) => warn!("the lease cannot be read: {error}"),
            Err(_) => warn!("the API server does not answer"),
        }
        sleep(LOOK).await;
    }
}

/// What the Lease says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// It is ours.
    Held,
    /// It is somebody else's, or nobody's.
    Lost,
    /// It could not be read.
    Unknown,
}

/// Each instance writes the Lease under a name of its own: of two that find it free, the API server refuses the second one's apply
/// only because another manager owns the holder's field. The end of an identity is what tells instances apart.
fn field_manager(identity: &str) -> String {
    let chars: Vec<char> = identity.chars().collect();
    chars[chars.len().saturating_sub(MAX_FIELD_MANAGER)..].iter().collect()
}

/// Whether an instance other than `identity` holds the lease now.
pub(crate) fn is_another_leading(lease: &Lease, identity: &str, now: Timestamp) -> bool {
    let holder = lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref());
    holder.is_some_and(|holder| holder != identity && remaining(lease, holder, now).is_some_and(|left| !left.is_zero()))
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
