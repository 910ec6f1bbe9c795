//! The client against a real Keystone and Neutron: every call, with what it leaves behind removed.
//!
//! `make devbox`, then `STACKUBE_CLOUDS_FILE=$PWD/.devbox/clouds.yaml cargo test -p stackube-openstack --test live`.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail the test")]

mod identity;
mod isolation;
mod network;
mod ports;
mod support;
mod tokens;
