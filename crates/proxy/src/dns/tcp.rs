//! Connections: RFC 7766, with answers in the order in which they are ready.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::{Either, ready};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, SinkExt, StreamExt};
use socket2::{SockFilter, SockRef};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{self, Instant as Deadline};
use tokio_util::bytes::Bytes;
use tokio_util::codec::{Framed, LengthDelimitedCodec};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::dns::handler::{Handler, Verdict, refusal};
use crate::dns::identity::PodId;
use crate::dns::message::Transport;
use crate::dns::metrics::Drop as Dropped;

/// How long a connection may be idle, and a write may take.
const IDLE: Duration = Duration::from_secs(10);

/// Queries of one connection that may wait for upstream servers at a time.
const PIPELINE: usize = 16;

/// How long a closing listener must stay silent: longer than a handshake on one machine.
const QUIET: Duration = Duration::from_millis(200);

/// Open connections by pod.
#[derive(Debug, Default)]
struct Connections(Mutex<HashMap<PodId, usize>>);

/// Counts a connection until it is dropped.
struct Counted {
    connections: Arc<Connections>,
    pod: PodId,
}

impl Connections {
    fn open(self: &Arc<Self>, pod: PodId, max: usize) -> Option<Counted> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(pod).or_default();
        if *count >= max {
            return None;
        }
        *count += 1;
        let connections = Arc::clone(self);
        Some(Counted { connections, pod })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut open = self.connections.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.pod) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.pod);
            }
        }
    }
}

/// Answers connections, at most `max` of a pod at a time, until `stop` and those that had come by then are accepted.
pub(crate) async fn serve(
    listener: TcpListener,
    handler: Arc<Handler>,
    max: usize,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let connections = Arc::new(Connections::default());
    let mut quiet = None;
    loop {
        let silence = async {
            match quiet {
                Some(deadline) => time::sleep_until(deadline).await,
                None => stop.cancelled().await,
            }
        };
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, source)) => {
                    let IpAddr::V4(source) = source.ip() else { continue };
                    let (handler, stop) = (Arc::clone(&handler), stop.clone());
                    // Who is no pod is told so on one connection for all of them.
                    let client = handler.client(source);
                    let pod = client.map_or([0; 16], |client| client.pod);
                    match (connections.open(pod, max), client) {
                        (Some(counted), _) => {
                            tasks.spawn(async move {
                                connection(stream, &handler, source, stop).await;
                                drop(counted);
                            });
                        }
                        (None, Some(client)) => handler.dropped(&client, Dropped::Connections),
                        (None, None) => {}
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "cannot accept");
                    time::sleep(Duration::from_millis(20)).await;
                }
            },
            () = silence => {
                if quiet.is_some() {
                    return;
                }
                if let Err(error) = take_no_more(&listener) {
                    tracing::warn!(%error, "connections that come now may be reset");
                }
            }
        }
        if stop.is_cancelled() {
            quiet = Some(Deadline::now() + QUIET);
        }
    }
}

/// Lets no new handshake begin, but begun ones end: closing a listener resets those. A client whose SYN is dropped repeats
/// it, and the kernel then gives it to another listener of the SO_REUSEPORT group.
fn take_no_more(listener: &TcpListener) -> io::Result<()> {
    const LOAD_BYTE: u16 = 0x30;
    const AND: u16 = 0x54;
    const JUMP_IF_EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    /// Offset of the flags in a TCP header (RFC 9293 section 3.1).
    const FLAGS: u32 = 13;
    const SYN: u32 = 0x02;
    const SYN_AND_ACK: u32 = 0x12;
    SockRef::from(listener).attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS),
        SockFilter::new(AND, 0, 0, SYN_AND_ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])
}

/// Answers one connection until the client closes it, is idle, or `stop` and nothing is under way.
async fn connection(stream: TcpStream, handler: &Handler, source: Ipv4Addr, stop: CancellationToken) {
    let codec = LengthDelimitedCodec::builder().length_field_type::<u16>().new_codec();
    let mut frames = Framed::new(stream, codec);
    let mut answers = FuturesUnordered::new();
    let mut idle = Deadline::now() + IDLE;
    loop {
        let reply = tokio::select! {
            frame = frames.next(), if answers.len() < PIPELINE => match frame {
                Some(Ok(frame)) => {
                    let verdict = query(handler, source, &frame).await;
                    match verdict {
                        Verdict::Reply(reply) => answers.push(Either::Left(ready(reply))),
                        Verdict::Later(pending) => answers.push(Either::Right(pending.finish().boxed())),
                        Verdict::Nothing => return,
                    }
                    continue;
                }
                _ => return,
            },
            Some(reply) = answers.next() => reply,
            () = time::sleep_until(idle), if answers.is_empty() => return,
            // Whoever keeps a connection gets a chance to use it once more.
            () = stop.cancelled(), if answers.is_empty() && idle > Deadline::now() + QUIET => {
                idle = Deadline::now() + QUIET;
                continue;
            }
        };
        let sent = time::timeout(IDLE, frames.send(Bytes::from(reply))).await;
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
        idle = Deadline::now() + IDLE;
    }
}

/// Decides on a query. Its pod is looked up each time: it may have gone, and its address be another's.
async fn query(handler: &Handler, source: Ipv4Addr, bytes: &[u8]) -> Verdict {
    let Some(client) = handler.client(source) else {
        return refusal(bytes, Transport::Tcp);
    };
    // A connection can be made to wait instead of losing a query.
    while let Err(wait) = handler.charge(&client, Instant::now()) {
        time::sleep(wait).await;
    }
    handler.query(client, bytes, Transport::Tcp, Instant::now())
}
