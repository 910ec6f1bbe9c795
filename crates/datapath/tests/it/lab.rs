//! What the tests share.

pub(crate) mod frames;
pub(crate) mod kernel;
pub(crate) mod namespace;
pub(crate) mod node;
pub(crate) mod packet;
pub(crate) mod pins;
