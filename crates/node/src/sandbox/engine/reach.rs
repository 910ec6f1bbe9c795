//! How the node reaches its pods: the link, and a route to each pod that is plugged in.

use super::{Engine, SandboxError};

impl Engine {
    /// Makes the node's link and the routes over it as they should be, and says what it had to do.
    ///
    /// # Errors
    /// [`SandboxError`]; the next look tries again.
    pub async fn ensure_link(&self) -> Result<Vec<&'static str>, SandboxError> {
        let (_, mut done) = self.link.ensure().await?;
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
            Ok(owners.map(|owner| owner.address).collect())
        };
        match self.link.set_pods(wanted).await {
            // The routes went with the device, and come back with it.
            Err(SandboxError::Link(error)) if error.is_missing() => Ok(0),
            other => other,
        }
    }
}
