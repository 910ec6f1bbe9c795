//! How the node reaches its pods: the link, and a route to each pod that is plugged in.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Engine, SandboxError};
use crate::metrics::Phase;
use crate::ownport::is_own;

/// How often the programs' maps are looked at for a network's services: maps tell nobody of a write.
const LOOK: Duration = Duration::from_millis(20);

impl Engine {
    /// Makes the node's link and the routes over it as they should be, and says what it had to do.
    ///
    /// # Errors
    /// [`SandboxError`]; the next look tries again.
    pub async fn ensure_link(&self) -> Result<Vec<&'static str>, SandboxError> {
        let (ends, mut done) = self.link.ensure().await?;
        self.datapath.set_link(ends, !done.is_empty()).await?;
        // Without the database nobody knows which routes there should be; those that are there stay.
        if self
            .ovsdb
            .view()
            .is_some_and(|view| view.bridge(&self.settings.bridge).is_some())
            && self.set_routes().await? > 0
        {
            done.push("changed routes to pods");
        }
        Ok(done)
    }

    /// Makes the pods that are plugged in, and no others, the ones that probes can find; the number of changes.
    pub(super) async fn set_routes(&self) -> Result<usize, SandboxError> {
        let wanted = async || {
            let view = self.ovsdb.current().await?;
            if view.bridge(&self.settings.bridge).is_none() {
                return Err(SandboxError::NoBridge(self.settings.bridge.clone()));
            }
            let owners = self.records(&view).into_iter().filter_map(|record| record.owner);
            // The node does not probe itself.
            let pods = owners.filter(|owner| !is_own(&owner.attachment));
            Ok(pods.map(|owner| owner.address).collect())
        };
        match self.link.set_pods(wanted).await {
            // The routes went with the device, and come back with it.
            Err(SandboxError::Link(error)) if error.is_missing() => Ok(0),
            other => other,
        }
    }

    /// Loads the programs that the bridge's datapath needs.
    ///
    /// # Errors
    /// [`SandboxError`] also while the bridge is missing.
    pub async fn load(&self) -> Result<(), SandboxError> {
        let view = self.ovsdb.current().await?;
        let bridge = view.bridge(&self.settings.bridge);
        let bridge = bridge.ok_or_else(|| SandboxError::NoBridge(self.settings.bridge.clone()))?;
        Ok(self.datapath.load(bridge.datapath_type == "netdev").await?)
    }

    /// Waits for stackube-proxy to have written the network's services: before that, packets to them are dropped.
    pub(super) async fn wait_for_services(
        &self,
        network: &str,
        cancel: &CancellationToken,
    ) -> Result<(), SandboxError> {
        let Some(longest) = self.settings.services_timeout else {
            return Ok(());
        };
        let started = Instant::now();
        while !self.datapath.is_synced(network).await? {
            if started.elapsed() >= longest {
                return Err(SandboxError::NoServices {
                    network: network.to_owned(),
                    waited: longest,
                });
            }
            tokio::select! {
                () = cancel.cancelled() => return Err(SandboxError::Aborted),
                () = tokio::time::sleep(LOOK) => {}
            }
        }
        self.metrics.phase(Phase::Services, started.elapsed());
        Ok(())
    }

    /// Removes flows that have ended; the number of those that are left.
    ///
    /// # Errors
    /// [`SandboxError`]
    pub async fn sweep(&self) -> Result<usize, SandboxError> {
        Ok(self.datapath.sweep().await?)
    }
}
