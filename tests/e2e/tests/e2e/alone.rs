//! What disturbs everybody: outages, restarts, another configuration.

mod outages;
mod restarts;
mod sweep;
