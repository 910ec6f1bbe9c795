//! The life of the process: configuration, OpenStack, leadership, controllers, end.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use stackube_openstack::{Cloud, ConfigError};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::addresses::{Addresses, Found};
use crate::args::Args;
use crate::cluster::{self, ClusterError};
use crate::config::{Config, ConfigProblems};
use crate::context::{Context, Identity};
use crate::events::Events;
use crate::leader::fence::{Fence, Guard};
use crate::leader::{LeaderError, Leadership};
use crate::limits;
use crate::metrics::Metrics;
use crate::network::{self, Inventory};
use crate::port;
use crate::preflight::{self, Facts};
use crate::serve::{self, Readiness};
use crate::tenant::{self, Claims, Unserved};

/// How long reconciles that are under way have to end after SIGTERM. Kubernetes kills the pod after 30 s.
const GRACE: Duration = Duration::from_secs(20);

/// Why the process ends.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// `--log` is not a filter.
    #[error("--log is not a filter like info,stackube_controller=debug")]
    Log(#[from] stackube_daemon::LogError),
    /// The configuration cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigProblems),
    /// The OpenStack part of it cannot be used.
    #[error("the OpenStack part of the configuration cannot be used")]
    OpenStack(#[from] ConfigError),
    /// The address of metrics and health cannot be used.
    #[error("cannot listen on {address}")]
    Listen {
        /// `--listen`.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A socket or signal failed.
    #[error("the operating system refused")]
    Io(#[from] std::io::Error),
    /// The Kubernetes API cannot be used.
    #[error("cannot work with the Kubernetes API")]
    Cluster(#[from] ClusterError),
    /// Leader election is impossible.
    #[error("cannot become the leader")]
    Leader(#[from] LeaderError),
    /// Another instance may be the leader now.
    #[error("the leader's lease was lost: ending, so that only one instance ever works")]
    LeaseLost,
    /// A controller ended by itself.
    #[error("a controller ended unexpectedly")]
    ControllerEnded,
}

impl RunError {
    /// What the process returns: 2 for what has to be configured otherwise, else 1.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::OpenStack(_) | Self::Log(_) => 2,
            _ => 1,
        }
    }
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// [`RunError`] when it cannot go on; the caller ends the process and Kubernetes starts it again.
pub async fn run(args: Args) -> Result<(), RunError> {
    stackube_daemon::init(&args.log, args.log_format)?;
    let loaded = Config::load(&args.config_dir, &args.credentials_dir)?;
    loaded.warnings.iter().for_each(|warning| warn!("{warning}"));
    let metrics = Metrics::new();
    let readiness = Readiness::not_yet("starting");
    let fence = Fence::default();
    let guard = Guard {
        metrics: metrics.clone(),
        fence: fence.clone(),
    };
    let cloud = Cloud::with_observer(loaded.config.cloud.clone(), Arc::new(guard))?;
    let cluster = cluster::config(args.kubeconfig.as_deref(), loaded.config.api_server.as_ref()).await?;
    let listener = serve::bind(args.listen).await.map_err(|source| RunError::Listen {
        address: args.listen,
        source,
    })?;
    let (term, stop) = (CancellationToken::new(), CancellationToken::new());
    tokio::spawn(watch_signals(term.clone())?);
    let process = Process {
        args,
        config: Arc::new(loaded.config),
        cloud,
        lobby: cluster::connect(cluster.clone())?,
        kube: cluster::connect_behind(cluster, &fence)?,
        fence,
        metrics,
        readiness,
    };
    let serving = serve::serve(
        listener,
        process.metrics.clone(),
        process.readiness.clone(),
        stop.clone(),
    );
    let serving = tokio::spawn(serving);
    let result = process.work(&term).await;
    stop.cancel();
    let _ = tokio::time::timeout(Duration::from_secs(2), serving).await;
    result
}

/// Cancels `term` at SIGTERM or SIGINT. The handlers are in place when this returns.
fn watch_signals(term: CancellationToken) -> std::io::Result<impl Future<Output = ()> + Send> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => info!("SIGTERM"),
            _ = interrupt.recv() => info!("SIGINT"),
        }
        term.cancel();
    })
}

struct Process {
    args: Args,
    config: Arc<Config>,
    cloud: Cloud,
    /// For what is done before leading, and for the Lease.
    lobby: Client,
    /// For the controllers: behind the fence.
    kube: Client,
    fence: Fence,
    metrics: Metrics,
    readiness: Readiness,
}

impl Process {
    /// Everything from the first look at OpenStack to the end of leadership.
    async fn work(&self, term: &CancellationToken) -> Result<(), RunError> {
        let name = self.args.identity.clone().unwrap_or_else(instance);
        let waiting = async {
            let unserved = Unserved::new(self.lobby.clone(), name.clone());
            let facts = preflight::wait(&self.cloud, &self.config, &self.readiness, &unserved).await;
            // A replica that stands by is ready: it would take over at once.
            self.readiness.ready();
            Leadership::acquire(self.lobby.clone(), &name, self.fence.clone())
                .await
                .map(|leadership| (facts, leadership))
        };
        let (facts, leadership) = tokio::select! {
            leading = waiting => leading?,
            () = term.cancelled() => return Ok(()),
        };
        self.metrics.set_leader(true);
        let result = self.lead(&facts, name.clone(), leadership, term).await;
        self.metrics.set_leader(false);
        result
    }

    /// The time as leader.
    async fn lead(
        &self,
        facts: &Facts,
        name: String,
        mut leadership: Leadership,
        term: &CancellationToken,
    ) -> Result<(), RunError> {
        let shutdown = CancellationToken::new();
        let mut controllers = self.controllers(facts, name, &shutdown).await?;
        let result = tokio::select! {
            () = leadership.lost() => Err(RunError::LeaseLost),
            _ = controllers.join_next() => Err(RunError::ControllerEnded),
            () = term.cancelled() => Ok(()),
        };
        if matches!(result, Err(RunError::LeaseLost)) {
            // Nothing may be written any more: no waiting, no lease to give back.
            controllers.abort_all();
            return result;
        }
        shutdown.cancel();
        drain(&mut controllers, &mut leadership).await;
        leadership.release().await;
        result
    }

    /// Starts all controllers.
    async fn controllers(
        &self,
        facts: &Facts,
        instance: String,
        shutdown: &CancellationToken,
    ) -> Result<JoinSet<()>, RunError> {
        let (tenants, networks) = (tenant::controller(&self.kube), network::controller(&self.kube));
        let context = self.context(facts, instance, tenants.store(), networks.store()).await?;
        network::system::ensure(&self.kube, self.config.system_subnet)
            .await
            .map_err(ClusterError::from)?;
        let context = Arc::new(context);
        let mut running = JoinSet::new();
        running.spawn(tenant::run(tenants, Arc::clone(&context), shutdown.clone()));
        running.spawn(network::run(networks, Arc::clone(&context), shutdown.clone()));
        running.spawn(limits::run(Arc::clone(&context), shutdown.clone()));
        running.spawn(port::run(context, shutdown.clone()));
        Ok(running)
    }

    async fn context(
        &self,
        facts: &Facts,
        instance: String,
        tenants: kube::runtime::reflector::Store<stackube_api::Tenant>,
        networks: kube::runtime::reflector::Store<stackube_api::Network>,
    ) -> Result<Context, RunError> {
        let cluster = cluster::uid(&self.kube).await?;
        let found = Found {
            services: cluster::service_ranges(&self.kube).await?,
            external: facts.external_ranges.clone(),
        };
        let (rules, system) = (self.config.address_rules.clone(), self.config.system_subnet.range());
        let identity = Identity {
            cluster,
            project: facts.project.clone(),
            user: facts.user.clone(),
            tenant_domain: facts.tenant_domain.clone(),
        };
        Ok(Context {
            kube: self.kube.clone(),
            cloud: self.cloud.clone(),
            config: Arc::clone(&self.config),
            identity,
            addresses: Addresses::new(rules, system, found),
            events: Events::new(self.kube.clone(), instance),
            metrics: self.metrics.clone(),
            tenants,
            networks,
            claims: Claims::default(),
            inventory: Inventory::default(),
        })
    }
}

/// Waits for reconciles that are under way, for a while, and only as long as the lease is held.
async fn drain(controllers: &mut JoinSet<()>, leadership: &mut Leadership) {
    let done = async { while controllers.join_next().await.is_some() {} };
    tokio::select! {
        () = done => info!("all reconciles ended"),
        () = leadership.lost() => error!("the lease was lost while ending"),
        () = tokio::time::sleep(GRACE) => warn!("reconciles did not end within {GRACE:?}; what they made is found again"),
    }
}

/// The host's name with a random part, so that two processes on one host differ.
fn instance() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    format!(
        "{}_{:08x}",
        if host.is_empty() { "stackube-controller" } else { host },
        rand::random::<u32>()
    )
}
