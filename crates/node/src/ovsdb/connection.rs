//! The task behind [`Ovsdb`](super::Ovsdb): one connection after another, until told to stop.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use stackube_daemon::chain;
use thiserror::Error;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::codec::Framed;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::codec::JsonCodec;
use super::view::{View, ViewError};
use super::{Call, DATABASE, OvsdbError};

/// Pauses between attempts to connect.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

#[derive(Debug, Error)]
enum ConnectionError {
    #[error("the connection failed")]
    Io(#[from] io::Error),
    #[error("the server closed the connection")]
    Closed,
    #[error("the server refused to monitor the database: {0}")]
    Monitor(Value),
    #[error(transparent)]
    View(#[from] ViewError),
}

/// Connects again and again and serves calls, until `stop` or until nobody can call any more.
pub(super) async fn run(
    path: PathBuf,
    mut calls: mpsc::Receiver<Call>,
    publish: watch::Sender<Option<Arc<View>>>,
    stop: CancellationToken,
) {
    let mut pause = FIRST_PAUSE;
    loop {
        let session = Session::open(&path, &publish);
        let ended = tokio::select! {
            () = stop.cancelled() => return,
            opened = session => match opened {
                Ok(mut session) => {
                    info!(socket = %path.display(), "connected to the Open vSwitch database");
                    pause = FIRST_PAUSE;
                    tokio::select! {
                        () = stop.cancelled() => return,
                        ended = session.serve(&mut calls, &publish) => ended,
                    }
                }
                Err(error) => Err(error),
            },
        };
        publish.send_replace(None);
        match ended {
            Ok(()) => return,
            Err(error) => {
                warn!(socket = %path.display(), error = %chain(&error), "Open vSwitch database: reconnecting");
            }
        }
        if !refuse_during(pause, &mut calls, &stop).await {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Answers calls with [`OvsdbError::Disconnected`] for a while. False when it is time to end.
async fn refuse_during(pause: Duration, calls: &mut mpsc::Receiver<Call>, stop: &CancellationToken) -> bool {
    let over = tokio::time::sleep(pause);
    tokio::pin!(over);
    loop {
        tokio::select! {
            () = stop.cancelled() => return false,
            () = &mut over => return true,
            call = calls.recv() => match call {
                // Whoever asked may have gone: nothing to tell.
                Some(call) => drop(call.reply.send(Err(OvsdbError::Disconnected))),
                None => return false,
            },
        }
    }
}

/// A call without its answer yet: the method, and who asked.
type Waiting = (&'static str, oneshot::Sender<Result<Value, OvsdbError>>);

/// One connection with its monitor.
struct Session {
    stream: Framed<UnixStream, JsonCodec>,
    view: View,
    waiting: HashMap<u64, Waiting>,
    next_id: u64,
}

impl Session {
    /// Connects and takes in the first dump.
    async fn open(path: &Path, publish: &watch::Sender<Option<Arc<View>>>) -> Result<Self, ConnectionError> {
        let stream = Framed::new(UnixStream::connect(path).await?, JsonCodec::default());
        let mut session = Self {
            stream,
            view: View::default(),
            waiting: HashMap::new(),
            next_id: 1,
        };
        let request = json!({"id": 0, "method": "monitor", "params": [DATABASE, null, View::monitor_request()]});
        session.stream.send(&request).await?;
        loop {
            let message = session.stream.next().await.ok_or(ConnectionError::Closed)??;
            if message.get("id") != Some(&json!(0)) {
                session.take(message).await?;
                continue;
            }
            if let Some(error) = message.get("error").filter(|e| !e.is_null()) {
                return Err(ConnectionError::Monitor(error.clone()));
            }
            session.view.apply(message.get("result").unwrap_or(&Value::Null))?;
            publish.send_replace(Some(Arc::new(session.view.clone())));
            return Ok(session);
        }
    }

    /// Serves until the connection ends; `Ok` when nobody can call any more.
    async fn serve(
        &mut self,
        calls: &mut mpsc::Receiver<Call>,
        publish: &watch::Sender<Option<Arc<View>>>,
    ) -> Result<(), ConnectionError> {
        loop {
            tokio::select! {
                message = self.stream.next() => {
                    if self.take(message.ok_or(ConnectionError::Closed)??).await? {
                        publish.send_replace(Some(Arc::new(self.view.clone())));
                    }
                }
                call = calls.recv() => match call {
                    Some(call) => self.send(call).await?,
                    None => return Ok(()),
                },
            }
        }
    }

    async fn send(&mut self, call: Call) -> Result<(), ConnectionError> {
        let id = self.next_id;
        self.next_id += 1;
        let request = json!({"id": id, "method": call.method, "params": call.params});
        self.waiting.insert(id, (call.method, call.reply));
        Ok(self.stream.send(&request).await?)
    }

    /// Handles one message; true when the view has changed.
    async fn take(&mut self, message: Value) -> Result<bool, ConnectionError> {
        match message.get("method").and_then(Value::as_str) {
            Some("echo") => {
                let reply = json!({"id": message["id"], "result": message["params"], "error": null});
                self.stream.send(&reply).await?;
                Ok(false)
            }
            Some("update") => {
                self.view.apply(&message["params"][1])?;
                Ok(true)
            }
            Some(_) => Ok(false),
            None => {
                self.answer(message);
                Ok(false)
            }
        }
    }

    fn answer(&mut self, mut message: Value) {
        let waiting = message
            .get("id")
            .and_then(Value::as_u64)
            .and_then(|id| self.waiting.remove(&id));
        let Some((method, reply)) = waiting else { return };
        let answer = match message["error"].take() {
            Value::Null => Ok(message["result"].take()),
            error => Err(OvsdbError::Refused { method, error }),
        };
        // Whoever asked may have given up waiting: nothing to tell.
        drop(reply.send(answer));
    }
}
