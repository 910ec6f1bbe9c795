//! The CNI plugin `kubestack`. The container runtime runs it once for every call (CNI specification 1.1).

use std::process::ExitCode;

use stackube_node::plugin;

fn main() -> ExitCode {
    // What went wrong is on stdout, as the specification asks for; the exit code says that something did.
    match plugin::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
