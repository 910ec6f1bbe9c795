//! The life of the process.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum_server::Handle;
use kube::Client;
use kube::config::{InClusterError, KubeConfigOptions, Kubeconfig, KubeconfigError};
use stackube_openstack::{ConfigError, TokenVerifier, VerifierConfig};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::args::Args;
use crate::certificates::{CertificateError, CertificateFiles};
use crate::introspection::Limits;
use crate::metrics::Metrics;
use crate::policy::Policy;
use crate::server::{Service, serve};
use crate::tenants::Tenants;

/// Somebody waits for every answer, so Keystone has little time for one.
const CONNECT: Duration = Duration::from_secs(1);
const REQUEST: Duration = Duration::from_secs(3);
/// How often the certificates' files are looked at.
const RELOAD: Duration = Duration::from_secs(10);
/// How long reviews that are under way have to end after SIGTERM.
const GRACE: Duration = Duration::from_secs(5);

/// Why the process ends.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// `--log` is not a filter.
    #[error("--log is not a filter like info,stackube_auth=debug")]
    Log(#[from] stackube_daemon::LogError),
    /// Keystone's URL or CA cannot be used.
    #[error("Keystone cannot be asked with this configuration")]
    OpenStack(#[from] ConfigError),
    /// The certificates cannot be used.
    #[error("the certificates cannot be used: install/roles/kubernetes makes them on every control plane node")]
    Certificates(#[from] CertificateError),
    /// An address cannot be used.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A socket or signal failed.
    #[error("the operating system refused")]
    Io(#[from] std::io::Error),
    /// Not in a pod, and no kubeconfig.
    #[error("no service account of a pod is mounted; give --kubeconfig to run outside of the cluster")]
    NotInCluster(#[from] InClusterError),
    /// A kubeconfig that cannot be used.
    #[error("the kubeconfig cannot be used")]
    Kubeconfig(#[from] KubeconfigError),
    /// Host and port of the API server make no URL.
    #[error("--kubernetes-host and --kubernetes-port make no URL: {0}")]
    Address(String),
    /// A client that cannot be made.
    #[error("the Kubernetes API cannot be used")]
    Kubernetes(#[from] kube::Error),
    /// A part ended by itself.
    #[error("a part of the process ended unexpectedly")]
    Ended,
}

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// [`RunError`] when it cannot start, or cannot go on.
pub async fn run(args: Args) -> Result<(), RunError> {
    stackube_daemon::init(&args.log, args.log_format)?;
    let metrics = Metrics::default();
    let config = VerifierConfig {
        auth_url: args.auth_url.clone(),
        ca_file: args.ca_file.clone(),
        connect_timeout: CONNECT,
        request_timeout: REQUEST,
        max_concurrent_requests: args.max_requests.saturating_add(args.max_requests.get()),
    };
    let verifier = TokenVerifier::new(&config, Arc::new(metrics.clone()))?;
    let certificates = files(&args).load()?;
    let (webhook, status) = (bind(args.listen)?, bind(args.status_listen)?);
    let tenants = Tenants::default();
    let policy = Policy {
        operators: args.operators.clone(),
        user_domains: args.user_domains.clone(),
    };
    let service = Service::new(verifier, limits(&args), policy, tenants.clone(), metrics.clone());
    let client = client(&args).await?;
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tracing::info!(listen = %args.listen, keystone = %args.auth_url, "answering TokenReviews");

    let handle = Handle::new();
    let mut parts = JoinSet::new();
    let router = service.status();
    parts.spawn(serve(webhook, certificates, RELOAD, service, metrics, handle.clone()));
    parts.spawn(async move {
        status.set_nonblocking(true)?;
        axum::serve(tokio::net::TcpListener::from_std(status)?, router).await
    });
    parts.spawn(async move {
        tenants.follow(client).await;
        Ok(())
    });
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        ended = parts.join_next() => return match ended {
            Some(Ok(Err(error))) => Err(error.into()),
            _ => Err(RunError::Ended),
        },
    }
    handle.graceful_shutdown(Some(GRACE));
    let _ = tokio::time::timeout(GRACE, parts.join_next()).await;
    Ok(())
}

fn files(args: &Args) -> CertificateFiles {
    CertificateFiles {
        certificate: args.certificates.join("server.crt"),
        key: args.certificates.join("server.key"),
        client_authority: (!args.without_client_certificates).then(|| args.certificates.join("ca.crt")),
    }
}

fn limits(args: &Args) -> Limits {
    let requests: NonZeroUsize = args.max_requests;
    Limits {
        cache_ttl: args.cache_ttl,
        refusal_ttl: args.refusal_ttl,
        cache_size: args.cache_size,
        familiar_requests: requests,
        unfamiliar_requests: requests,
        ..Limits::default()
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address).map_err(|source| RunError::Listen { address, source })
}

async fn client(args: &Args) -> Result<Client, RunError> {
    let config = match &args.kubeconfig {
        Some(path) => {
            let options = KubeConfigOptions::default();
            kube::Config::from_custom_kubeconfig(Kubeconfig::read_from(path)?, &options).await?
        }
        None => {
            let mut config = kube::Config::incluster()?;
            if let Some(host) = &args.kubernetes_host {
                let text = format!("https://{host}:{}/", args.kubernetes_port);
                config.cluster_url = text.parse().map_err(|_| RunError::Address(text))?;
            }
            config
        }
    };
    Ok(Client::try_from(config)?)
}
