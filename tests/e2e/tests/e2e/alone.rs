//! What disturbs everybody: outages, restarts, another configuration.

mod identity;
mod kills;
mod leadership;
mod outages;
mod restarts;
mod runtime;
mod sweep;
