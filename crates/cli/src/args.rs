//! Command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// Use a Stackube cluster as a user of Keystone.
///
/// Who you are comes from clouds.yaml (--os-cloud or OS_CLOUD) or from OS_* variables, as for the `openstack` command.
#[derive(Debug, Parser)]
#[command(name = "stackube", version, about)]
pub(crate) struct Args {
    /// Name of the cloud in clouds.yaml. Default: OS_CLOUD, else the OS_* variables, else the only cloud there is.
    #[arg(long, global = true)]
    pub(crate) os_cloud: Option<String>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Log in to Keystone now and say who you are there.
    Login,
    /// Forget the token that is kept for this cloud.
    Logout,
    /// Print a token for kubectl; kubeconfigs name this command.
    Credential,
    /// Write a context for kubectl that logs in by this command.
    Kubeconfig(KubeconfigOptions),
    /// List the tenants that you have a role in.
    Tenants(ClusterOptions),
    /// Check Keystone, your login and the cluster, and say what to do.
    Doctor(ClusterOptions),
}

/// Which cluster.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct ClusterOptions {
    /// Context of the kubeconfig. Default: the present one.
    #[arg(long)]
    pub(crate) context: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct KubeconfigOptions {
    /// URL of the API server. Default: that of the present context.
    #[arg(long, requires = "certificate_authority")]
    pub(crate) server: Option<String>,
    /// PEM file with the authority that signed the API server's certificate.
    #[arg(long, requires = "server")]
    pub(crate) certificate_authority: Option<PathBuf>,
    /// Kubeconfig whose present context names the cluster, instead of --server. Default: the file that is written.
    #[arg(long, conflicts_with = "server")]
    pub(crate) from: Option<PathBuf>,
    /// Name of the context, cluster and user that are written. Default: stackube-<tenant>.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Namespace of the context. Default: your tenant's.
    #[arg(long)]
    pub(crate) namespace: Option<String>,
    /// File to change. Default: the first of KUBECONFIG, else ~/.kube/config.
    #[arg(long)]
    pub(crate) output: Option<PathBuf>,
    /// Do not make it the present context.
    #[arg(long)]
    pub(crate) keep_context: bool,
}
