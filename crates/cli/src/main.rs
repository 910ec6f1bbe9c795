//! stackube: what a user of a Stackube cluster has on the own machine. Installed as `kubectl-stackube` too.
//!
//! It logs in to Keystone with the user's own credentials and hands the token to kubectl ([`credential`]); it stores nothing
//! but tokens ([`cache`]) and what it is asked to write into a kubeconfig ([`kubeconfig`]).

mod args;
mod cache;
mod clock;
mod cloud;
mod cluster;
mod credential;
mod doctor;
mod kubeconfig;
mod login;
mod output;
mod tenants;

use std::process::ExitCode;

use clap::Parser;

use args::{Args, Command};

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider is installed already"))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(run(args));
    runtime.shutdown_background();
    match result {
        Ok(code) => Ok(code),
        Err(error) => {
            output::complain(&error)?;
            Ok(ExitCode::FAILURE)
        }
    }
}

async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let cloud = args.os_cloud.as_deref();
    match args.command {
        Command::Login => login::run(cloud).await?,
        Command::Logout => login::forget(cloud)?,
        Command::Credential => credential::run(cloud).await?,
        Command::Kubeconfig(options) => kubeconfig::run(cloud, options).await?,
        Command::Tenants(options) => tenants::run(cloud, &options).await?,
        Command::Doctor(options) => return doctor::run(cloud, &options).await,
    }
    Ok(ExitCode::SUCCESS)
}
