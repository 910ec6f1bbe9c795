//! The Ports of this node, as the daemon knows them: a map behind a channel, filled by a watch.

mod assignment;
pub mod kubernetes;
mod own;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use stackube_api::{Port, PortHolder};
use thiserror::Error;
use tokio::sync::watch;

pub use assignment::{Assignment, Unusable, assignment};
pub use own::{Own, own};

/// Namespace and name (the pod's UID) of a Port.
pub type PortKey = (String, String);

/// The Ports of this node; `None` until the first list has come.
pub type PortMap = Option<BTreeMap<PortKey, Arc<Port>>>;

/// Receives every state of the Ports.
pub type PortWatch = watch::Receiver<PortMap>;

/// A write to a Port failed. It is repeated.
#[derive(Debug, Error)]
#[error("cannot write Port {namespace}/{name}")]
pub struct WriteError {
    /// Namespace of the Port.
    pub namespace: String,
    /// Name of the Port.
    pub name: String,
    /// What the API server said.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// All that the daemon ever writes about Ports.
pub trait PortWriter: Send + Sync + 'static {
    /// Tells the controller that the Port's address is held by another live sandbox of this node, so that it chooses
    /// another: annotation [`ADDRESS_REFUSED_ANNOTATION`](stackube_api::names::ADDRESS_REFUSED_ANNOTATION).
    fn refuse_address<'a>(&'a self, refusal: &'a Refusal) -> BoxFuture<'a, Result<(), WriteError>>;

    /// Removes the node's finalizer from a Port that is being deleted.
    fn release<'a>(&'a self, port: &'a Port) -> BoxFuture<'a, Result<(), WriteError>>;
}

/// An address that cannot be used on this node now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Whose Port it is.
    pub holder: PortHolder,
    /// Namespace of the Port.
    pub namespace: String,
    /// Name of the Port: the UID of the pod or Node.
    pub pod_uid: String,
    /// Name of the pod or Node.
    pub pod_name: String,
    /// The address in the Port's status.
    pub address: std::net::Ipv4Addr,
}
