//! What the end-to-end tests share: the running devbox, waiting for conditions, tenants that clean up after themselves.
//!
//! A test that cannot reach the devbox fails; none is ever skipped.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test ends by a panic that says what was expected"
)]

pub mod admin;
pub mod always;
pub mod bench;
pub mod cloud;
pub mod controller;
pub mod desk;
pub mod devbox;
pub mod events;
pub mod forward;
pub mod guest;
pub mod guide;
pub mod identity;
pub mod keystone;
pub mod nodes;
pub mod pods;
pub mod sandbox;
pub mod services;
pub mod tenant;
pub mod wait;
