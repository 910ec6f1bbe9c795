//! stackube-controller: makes in Keystone and Neutron what Tenants, Networks and pods ask for, and takes it away again.
//!
//! One file per concern. The frame: [`args`], [`config`], [`run`] (start and end), `leader`, `serve`, `metrics`, and
//! `reconcile` (time limits, pauses, logs around every reconciler). The reconcilers, each in the order
//! `dereference -> validate -> plan -> apply -> status` with I/O only at the ends: `tenant`, `network`, `port`.
//!
//! It may not: touch a node (that is `stackube-node`), read Secrets outside of namespace `stackube-system`, find OpenStack
//! objects by name, or keep state of its own: everything is in the Kubernetes API and in OpenStack.

mod addresses;
mod args;
mod cluster;
mod config;
mod context;
mod declare;
mod events;
mod finalizer;
mod leader;
mod limits;
mod metrics;
mod network;
mod node;
mod pod;
mod pool;
mod port;
mod preflight;
mod reconcile;
mod retry;
mod run;
mod serve;
mod status;
mod stop;
mod sweep;
mod tenant;

pub use args::Args;
pub use cluster::ClusterError;
pub use config::{Config, ConfigProblems};
pub use leader::LeaderError;
pub use run::{RunError, run};
