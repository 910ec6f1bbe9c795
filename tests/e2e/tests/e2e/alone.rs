//! What disturbs everybody: outages, restarts, another configuration.

mod kills;
mod leadership;
mod outages;
mod restarts;
mod sweep;
