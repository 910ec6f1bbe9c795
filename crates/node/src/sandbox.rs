//! Sandboxes: what is plugged in on this node, and how that changes.
//!
//! [`record`] reads the state from the database, [`plan`] decides (pure), [`engine`] does it.

pub mod engine;
pub mod error;
mod locks;
pub mod plan;
pub mod record;
pub mod steps;
pub mod transaction;

pub use engine::{Engine, Parts, Settings};
pub use error::SandboxError;
pub use steps::Step;
