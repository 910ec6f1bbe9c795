//! End-to-end tests against a running devbox (`make devbox`, then `make e2e`).
//!
//! Tests run side by side, each with tenants of its own. Those that break something for everybody (an outage, a killed
//! daemon) hold [`alone`] for themselves, and are in the module of that name: `tests/e2e.sh` runs them after the others, so that these need
//! not wait for them.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends by a panic that says what was expected"
)]

mod addresses;
mod adoption;
mod adversary;
mod alone;
mod api;
mod attacks;
mod autoscaling;
mod cni;
mod configuration;
mod dns;
mod exhaustion;
mod extensions;
mod fairness;
mod images;
mod immutable;
mod inspect;
mod isolation;
mod login;
mod neighbours;
mod nodes;
mod ownport;
mod pods;
mod probes;
mod processes;
mod removal;
mod rights;
mod runtimes;
mod services;
mod sharing;
mod tenants;
mod tokens;
mod traffic;
mod two_nodes;

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

/// The program that tests bring into pods.
const GUEST: &str = env!("CARGO_BIN_EXE_guest");

static MACHINE: RwLock<()> = RwLock::const_new(());

/// Held by a test that only minds its own business.
async fn shared() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().await
}

/// Held by a test that disturbs the others.
async fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().await
}
