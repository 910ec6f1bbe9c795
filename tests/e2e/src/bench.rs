//! Measuring the devbox: how long what people wait for takes, and what it is to be compared with.

mod identity;
mod neutron;
mod pods;

use std::time::{Duration, Instant};

use anyhow::Result;
use kube::Api;
use stackube_api::{Network, NetworkState};

use crate::{devbox::Devbox, tenant, wait};

pub use identity::{Identity, identity};
pub use neutron::one_by_one;
pub use pods::{burst, one_after_another};

/// Measured durations of one kind, in seconds.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Adds one.
    pub fn add(&mut self, sample: Duration) {
        self.0.push(sample.as_secs_f64());
        self.0.sort_by(f64::total_cmp);
    }

    /// The smallest sample that is at least as long as `share` (0 to 1) of them; NaN without samples.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "a share of a few samples"
    )]
    pub fn percentile(&self, share: f64) -> f64 {
        let index = (self.0.len() as f64 * share).ceil() as usize;
        self.0.get(index.max(1) - 1).copied().unwrap_or(f64::NAN)
    }

    /// The longest.
    #[must_use]
    pub fn longest(&self) -> f64 {
        self.percentile(1.0)
    }
}

/// Makes a Tenant; the time until its Network is Active.
///
/// # Panics
/// When it does not become Active.
pub async fn network_active(devbox: &Devbox, name: &str) -> Duration {
    let networks: Api<Network> = Api::namespaced(devbox.kube.clone(), name);
    let start = Instant::now();
    tenant::create(devbox, name, "quota: {network: {ports: 200}}")
        .await
        .expect("the API server should accept the Tenant");
    wait::until(&format!("Network {name} Active"), tenant::ACTIVE, || async {
        let status = networks.get(name).await?.status.unwrap_or_default();
        anyhow::ensure!(status.state == Some(NetworkState::Active), "{:?}", status.message);
        Ok(())
    })
    .await;
    start.elapsed()
}

/// Deletes a Tenant; the time until it is gone.
///
/// # Panics
/// When it does not go.
pub async fn deletion(devbox: &Devbox, name: &str) -> Duration {
    let start = Instant::now();
    tenant::delete(devbox, name).await;
    start.elapsed()
}

/// Resident memory in MiB of the process `name` on the host (as cut at 15 characters by the kernel).
///
/// # Errors
/// When there is none.
pub async fn resident(devbox: &Devbox, name: &str) -> Result<f64> {
    let kib: f64 = devbox
        .host(&format!("ps -o rss= -C {name} | head -n 1"))
        .await?
        .trim()
        .parse()?;
    Ok(kib / 1024.0)
}
