//! What all of Stackube's daemons do alike: log lines, errors in them, metrics over HTTP.

mod log;
mod metrics;
mod report;

pub use log::{LogError, LogFormat, init};
pub use metrics::openmetrics;
pub use report::chain;
