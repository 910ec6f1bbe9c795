//! The binary: arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use stackube_auth::{Args, run};

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    // One crypto provider for everything, before anything speaks TLS.
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider is installed already"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    Ok(match runtime.block_on(run(args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            tracing::error!("{:#}", anyhow::Error::new(problem));
            ExitCode::FAILURE
        }
    })
}
