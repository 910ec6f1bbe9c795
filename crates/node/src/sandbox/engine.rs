//! Does what [`plan`] decides. Everything that it has done is written in the database and
//! the kernel, so that another process can go on from any point.

mod add;
mod check;
mod clean;
mod own;
mod reach;
mod wait;

use std::sync::Arc;
use std::time::Duration;

pub use self::add::Add;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::error::SandboxError;
use super::locks::Locks;
use super::plan::{self, Devices, Removal};
use super::record::{Record, alias_is_of_pod, records};
use super::steps::{Step, StepHook};
use super::transaction;
use crate::datapath::Datapath;
use crate::link::{HostLinks, host_name};
use crate::metrics::Metrics;
use crate::nodelink::NodeLink;
use crate::ovsdb::{Ovsdb, View};
use crate::ownport::{self, OwnPort};
use crate::ports::{PortWatch, PortWriter};
use crate::protocol::{Attachment, PodRef};

/// What an operator can set. The sum of the waits must stay below the plugin's time-out for ADD.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The integration bridge.
    pub bridge: String,
    /// Whether the node passes on what pods send to Services of the system network that are shared.
    pub shares: bool,
    /// Longest wait for a pod's Port to be ready.
    pub port_timeout: Duration,
    /// Longest wait for ovs-vswitchd to open a device.
    pub open_timeout: Duration,
    /// Longest wait for ovn-controller to install a port's flows.
    pub install_timeout: Duration,
    /// Longest wait for stackube-proxy to write a network's services; `None` not to wait.
    pub services_timeout: Option<Duration>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bridge: "br-int".into(),
            shares: false,
            port_timeout: Duration::from_secs(45),
            open_timeout: Duration::from_secs(10),
            install_timeout: Duration::from_secs(25),
            services_timeout: Some(Duration::from_secs(10)),
        }
    }
}

/// What an engine works on.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The Open vSwitch database.
    pub ovsdb: Ovsdb,
    /// The pods' devices.
    pub links: HostLinks,
    /// The node's link to its pods.
    pub link: NodeLink,
    /// The node's own port.
    pub own: OwnPort,
    /// The programs on them.
    pub datapath: Datapath,
}

/// Serves CNI calls. Clones are handles to one engine.
#[derive(Clone)]
pub struct Engine {
    settings: Arc<Settings>,
    ovsdb: Ovsdb,
    links: HostLinks,
    link: NodeLink,
    own: OwnPort,
    datapath: Datapath,
    ports: PortWatch,
    writer: Arc<dyn PortWriter>,
    metrics: Metrics,
    locks: Locks,
    unplugged: Arc<Notify>,
    protected: CancellationToken,
    hook: StepHook,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine over the parts of this node and its Ports.
    pub fn new(
        settings: Settings,
        parts: Parts,
        ports: PortWatch,
        writer: Arc<dyn PortWriter>,
        metrics: Metrics,
    ) -> Self {
        let Parts {
            ovsdb,
            links,
            link,
            own,
            datapath,
        } = parts;
        Self {
            settings: Arc::new(settings),
            ovsdb,
            links,
            link,
            own,
            datapath,
            ports,
            writer,
            metrics,
            locks: Locks::default(),
            unplugged: Arc::default(),
            protected: CancellationToken::new(),
            hook: Arc::new(|_| {}),
        }
    }

    /// The same engine, calling `hook` after each step of an ADD or DEL.
    #[must_use]
    pub fn with_hook(mut self, hook: StepHook) -> Self {
        self.hook = hook;
        self
    }

    /// Told whenever something was unplugged: a Port may have become free.
    pub fn unplugged(&self) -> Arc<Notify> {
        Arc::clone(&self.unplugged)
    }

    /// To be cancelled when the programs know what pods may not reach: no ADD attaches them before.
    pub fn protected(&self) -> CancellationToken {
        self.protected.clone()
    }

    /// The Ports of this node.
    pub fn ports(&self) -> PortWatch {
        self.ports.clone()
    }

    /// Unplugs an attachment (CNI DEL). It needs nothing but the kernel and the database, repeats safely, and never
    /// touches another sandbox, newer ones of the same pod least of all.
    ///
    /// # Errors
    /// [`SandboxError`]; then kubelet repeats the call.
    pub async fn del(&self, attachment: &Attachment, pod: Option<&PodRef>) -> Result<(), SandboxError> {
        self.locks.cancel_adds(attachment);
        let uid = match pod {
            Some(pod) => pod.uid.clone(),
            None => self
                .pod_of(attachment)
                .unwrap_or_else(|| attachment.container_id.clone()),
        };
        let _guard = self.locks.lock(&uid).await;
        self.unplug(attachment).await
    }

    /// Whether an ADD could be served (CNI STATUS). Local on purpose: a node whose API server or OpenStack is away
    /// must not become NotReady for it.
    ///
    /// # Errors
    /// [`SandboxError`] that says what is missing.
    pub async fn status(&self) -> Result<(), SandboxError> {
        let view = self.ovsdb.current().await?;
        match view.bridge(&self.settings.bridge) {
            Some(_) => Ok(self.datapath.status()?),
            None => Err(SandboxError::NoBridge(self.settings.bridge.clone())),
        }
    }

    /// Whether nothing of the pod is plugged in or could still be being plugged in. While the answer is used, no ADD
    /// for the pod begins: `free` runs under the pod's lock.
    ///
    /// # Errors
    /// [`SandboxError`] when the node's state is not known.
    pub async fn if_unplugged<T>(
        &self,
        pod_uid: &str,
        free: impl AsyncFnOnce() -> T,
    ) -> Result<Option<T>, SandboxError> {
        let _guard = self.locks.lock(pod_uid).await;
        let devices = self.links.list().await?;
        let view = self.ovsdb.current().await?;
        let device_left = |d: &crate::link::HostLink| d.alias.as_deref().is_some_and(|a| alias_is_of_pod(a, pod_uid));
        if devices.values().any(device_left) || self.records(&view).iter().any(|r| r.is_of_pod(pod_uid)) {
            return Ok(None);
        }
        Ok(Some(free().await))
    }

    /// Number of pods' sandboxes that are plugged in; `None` while the database is away.
    pub fn sandboxes(&self) -> Option<usize> {
        let view = self.ovsdb.view()?;
        Some(
            self.records(&view)
                .iter()
                .filter_map(|record| record.owner.as_ref())
                .filter(|owner| !ownport::is_own(&owner.attachment))
                .count(),
        )
    }

    /// Takes an attachment's rows off the bridge and deletes its device. The caller holds the pod's lock.
    async fn unplug(&self, attachment: &Attachment) -> Result<(), SandboxError> {
        let device = host_name(attachment);
        let rows = self.take_off(attachment).await;
        let mut routed = Ok(());
        if rows.is_ok() {
            self.reached(Step::RowRemoved);
            routed = match self.set_routes().await {
                // Without a bridge no pod has its row; the routes follow when there is one.
                Err(SandboxError::NoBridge(_)) => Ok(()),
                other => other.map(drop),
            };
            self.reached(Step::Unrouted);
        }
        // Even when the database is away: without its device the pod is cut off, which is what was asked for.
        self.links.delete(&device).await?;
        self.reached(Step::DeviceDeleted);
        let forgotten = self.forget_dead_devices().await;
        rows?;
        routed?;
        forgotten?;
        self.reached(Step::Forgotten);
        self.unplugged.notify_one();
        Ok(())
    }

    async fn take_off(&self, attachment: &Attachment) -> Result<(), SandboxError> {
        let view = self.ovsdb.current().await?;
        let removals = plan::del(&self.records(&view), attachment);
        if !removals.is_empty() {
            self.remove(
                &removals,
                &format!("kubestack: unplug container {}", attachment.container_id),
            )
            .await?;
        }
        Ok(())
    }

    async fn remove(&self, removals: &[Removal], comment: &str) -> Result<(), SandboxError> {
        self.ovsdb
            .transact(&transaction::unplug(&self.settings.bridge, removals, comment))
            .await?;
        Ok(())
    }

    fn records(&self, view: &View) -> Vec<Record> {
        records(view, &self.settings.bridge)
    }

    fn pod_of(&self, attachment: &Attachment) -> Option<String> {
        let view = self.ovsdb.view()?;
        let record = self
            .records(&view)
            .into_iter()
            .find(|record| record.is_of(attachment))?;
        record.owner.map(|owner| owner.pod.uid)
    }

    async fn devices(&self) -> Result<Devices, SandboxError> {
        Ok(self.links.list().await?)
    }

    fn reached(&self, step: Step) {
        (self.hook)(step);
    }
}
