//! A client of the Open vSwitch database on this node: RFC 7047 over its unix socket.
//!
//! One connection carries everything. A task owns it: it answers the server's probes, keeps a [`View`] of the tables
//! that the daemon needs, and reconnects for ever. [`Ovsdb`] is a handle to that task.

mod codec;
mod connection;
mod operation;
mod view;
mod zones;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

pub use operation::{Operation, Uuid, map, named, uuid_set};
pub use view::{Bridge, Interface, Port, View, ViewError};
pub use zones::{Zone, Zones};

/// Name of the database.
const DATABASE: &str = "Open_vSwitch";
/// Longest wait for the answer to one call. ovsdb-server answers in milliseconds unless its disk is stuck.
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a call to the database did not succeed.
#[derive(Debug, Error)]
pub enum OvsdbError {
    /// No connection at the moment. The client reconnects by itself.
    #[error("no connection to the Open vSwitch database: is ovsdb-server running on this node?")]
    Disconnected,
    /// The server did not answer in time; whether the call took effect is unknown.
    #[error("the Open vSwitch database did not answer within {} s", CALL_TIMEOUT.as_secs())]
    Timeout,
    /// The server refused the call as a whole.
    #[error("the Open vSwitch database refused {method}: {error}")]
    Refused {
        /// JSON-RPC method.
        method: &'static str,
        /// What the server said.
        error: Value,
    },
    /// A transaction was rolled back.
    #[error("transaction rolled back at operation {operation}: {error} ({details})")]
    RolledBack {
        /// Index of the operation that failed; the number of operations if the commit did.
        operation: usize,
        /// Error string of RFC 7047 section 3.1, like `timed out` for a `wait` that did not hold.
        error: String,
        /// More about it.
        details: String,
    },
}

impl OvsdbError {
    /// Whether the transaction was rolled back because one of its `wait` operations did not hold.
    pub fn is_failed_wait(&self) -> bool {
        matches!(self, Self::RolledBack { error, .. } if error == "timed out")
    }
}

/// One request on its way to the connection.
#[derive(Debug)]
struct Call {
    method: &'static str,
    params: Value,
    reply: oneshot::Sender<Result<Value, OvsdbError>>,
}

/// Handle to the database. Clones share one connection.
#[derive(Clone, Debug)]
pub struct Ovsdb {
    calls: mpsc::Sender<Call>,
    view: watch::Receiver<Option<Arc<View>>>,
}

impl Ovsdb {
    /// Starts the task that keeps a connection to the server behind the unix socket `path`, until `stop`.
    pub fn spawn(path: PathBuf, stop: CancellationToken) -> Self {
        let (calls, call_queue) = mpsc::channel(64);
        let (publish, view) = watch::channel(None);
        tokio::spawn(connection::run(path, call_queue, publish, stop));
        Self { calls, view }
    }

    /// The latest state, `None` while there is no connection. It follows transactions with a small delay.
    pub fn view(&self) -> Option<Arc<View>> {
        self.view.borrow().clone()
    }

    /// To wait for changes.
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<View>>> {
        self.view.clone()
    }

    /// A state that holds everything committed before this call, transactions of unknown outcome included: the server
    /// sends a connection's updates before it answers the connection's next request.
    ///
    /// # Errors
    /// [`OvsdbError`] when there is no connection.
    pub async fn current(&self) -> Result<Arc<View>, OvsdbError> {
        self.call("echo", json!([])).await?;
        self.view().ok_or(OvsdbError::Disconnected)
    }

    /// Runs a transaction and returns one result an operation.
    ///
    /// # Errors
    /// [`OvsdbError::RolledBack`] when an operation failed; then nothing has happened. After
    /// [`OvsdbError::Timeout`] or [`OvsdbError::Disconnected`] it may have happened.
    pub async fn transact(&self, operations: &[Operation]) -> Result<Vec<Value>, OvsdbError> {
        let refused = |e: serde_json::Error| OvsdbError::Refused {
            method: "transact",
            error: json!(e.to_string()),
        };
        let mut params = vec![json!(DATABASE)];
        for operation in operations {
            params.push(serde_json::to_value(operation).map_err(refused)?);
        }
        let reply = self.call("transact", Value::Array(params)).await?;
        results(reply)
    }

    async fn call(&self, method: &'static str, params: Value) -> Result<Value, OvsdbError> {
        let (reply, answer) = oneshot::channel();
        let exchange = async {
            self.calls
                .send(Call { method, params, reply })
                .await
                .map_err(|_| OvsdbError::Disconnected)?;
            answer.await.map_err(|_| OvsdbError::Disconnected)?
        };
        tokio::time::timeout(CALL_TIMEOUT, exchange)
            .await
            .map_err(|_| OvsdbError::Timeout)?
    }
}

/// Results of a transaction: one an operation, `null` after the one that failed; a failed commit adds one at the end.
fn results(reply: Value) -> Result<Vec<Value>, OvsdbError> {
    let Value::Array(results) = reply else {
        return Err(OvsdbError::Refused {
            method: "transact",
            error: reply,
        });
    };
    let text = |result: &Value, key: &str| result.get(key).and_then(Value::as_str).map(str::to_owned);
    for (operation, result) in results.iter().enumerate() {
        if let Some(error) = text(result, "error") {
            let details = text(result, "details").unwrap_or_default();
            return Err(OvsdbError::RolledBack {
                operation,
                error,
                details,
            });
        }
    }
    Ok(results)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_operation_fails_the_transaction() {
        let reply = json!([{"uuid": ["uuid", "x"]}, {"error": "timed out", "details": "wait"}, null]);
        let error = results(reply).unwrap_err();
        assert!(error.is_failed_wait());
        assert_eq!(
            error.to_string(),
            "transaction rolled back at operation 1: timed out (wait)"
        );
        assert_eq!(results(json!([{}, {"count": 1}])).unwrap().len(), 2);
    }
}
