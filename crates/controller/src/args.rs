//! Command line and environment.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use stackube_daemon::LogFormat;

/// Makes OpenStack projects, networks and ports for the tenants of a Kubernetes cluster.
#[derive(Debug, Clone, Parser)]
#[command(name = "stackube-controller", version, about)]
pub struct Args {
    /// Directory with one file for each key of the ConfigMap `stackube-config` (see docs/operator/configuration.md).
    #[arg(long, env = "STACKUBE_CONFIG_DIR", default_value = "/etc/stackube/config")]
    pub config_dir: PathBuf,

    /// Directory with one file for each key of the Secret with OpenStack's credentials: `username` and `password`.
    #[arg(long, env = "STACKUBE_CREDENTIALS_DIR", default_value = "/etc/stackube/credentials")]
    pub credentials_dir: PathBuf,

    /// Kubeconfig for running outside of the cluster. Default: the service account of the pod, with the API server's address
    /// from the keys `kubernetes-host` and `kubernetes-port`.
    #[arg(long, env = "KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,

    /// Address and port of /metrics, /healthz and /readyz (plain HTTP; they hold no secrets, but names of tenants).
    #[arg(long, env = "STACKUBE_LISTEN", default_value = "127.0.0.1:10350")]
    pub listen: SocketAddr,

    /// Name of this instance in the Lease and in Events. Default: the host's name with a random part.
    #[arg(long, env = "POD_NAME")]
    pub identity: Option<String>,

    /// How log lines look.
    #[arg(long, env = "STACKUBE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// What is logged, in the syntax of tracing's EnvFilter, for example `info,stackube_controller=debug`.
    #[arg(long, env = "STACKUBE_LOG", default_value = "info")]
    pub log: String,
}
