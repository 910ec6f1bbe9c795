//! The binary: arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use stackube_controller::{Args, RunError, run};
use tracing::error;

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    // One crypto provider for everything, before anything speaks TLS.
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider is installed already"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(run(args));
    // Calls that hang must not keep a process alive that has lost its lease.
    runtime.shutdown_background();
    Ok(match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => report(problem),
    })
}

fn report(problem: RunError) -> ExitCode {
    let code = problem.exit_code();
    error!("{:#}", anyhow::Error::new(problem));
    ExitCode::from(code)
}
