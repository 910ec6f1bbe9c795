//! The binary: arguments in, exit code out.

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;
use stackube_proxy::args::{Args, Command};
use stackube_proxy::{inspect, probe, run};

fn main() -> ExitCode {
    match start(Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            // One line with all causes, and no backtrace: a person or kubelet reads it.
            let _ = writeln!(std::io::stderr(), "{problem:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(args: Args) -> anyhow::Result<()> {
    stackube_daemon::init(&args.log, args.log_format)?;
    if let Command::Probe(probe) = &args.command {
        return Ok(probe::ask(probe)?);
    }
    // One crypto provider for everything, before anything speaks TLS.
    rustls::crypto::ring::default_provider()
        .install_default()
        .map_err(|_| anyhow::anyhow!("a TLS provider is installed already"))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = match args.command {
        Command::Run(options) => runtime.block_on(run::run(*options)),
        Command::Show(options) => runtime.block_on(inspect::show(&options)).map_err(Into::into),
        Command::Explain(options) => runtime.block_on(inspect::explain(&options)).map_err(Into::into),
        Command::Trace(options) => runtime.block_on(inspect::trace(&options)).map_err(Into::into),
        Command::Probe(_) => Ok(()),
    };
    runtime.shutdown_background();
    result
}
