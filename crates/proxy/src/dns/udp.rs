//! Datagrams.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{SockAddr, SockRef};
use tokio::net::UdpSocket;
use tokio::time::{self, Instant as Deadline};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::dns::handler::{Handler, Verdict};

/// A query with every option that exists is far shorter; the rest is cut off and then malformed.
const QUERY_MAX: usize = 4096;

/// How long a socket that gets nothing new must stay silent before it is closed.
const QUIET: Duration = Duration::from_millis(200);

/// Datagrams that are taken from a socket before other tasks get their turn.
const BATCH: usize = 64;

/// Answers what comes to one socket, until `stop` and what had come by then is answered.
pub(crate) async fn serve(socket: UdpSocket, handler: Arc<Handler>, tasks: TaskTracker, stop: CancellationToken) {
    let socket = Arc::new(socket);
    let mut buffer = vec![0; QUERY_MAX];
    let mut quiet = None;
    loop {
        let silence = async {
            match quiet {
                Some(deadline) => time::sleep_until(deadline).await,
                None => stop.cancelled().await,
            }
        };
        tokio::select! {
            ready = socket.readable() => {
                let taken = match ready {
                    Ok(()) => batch(&socket, &handler, &tasks, &mut buffer).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = taken {
                    // The device is down or memory is short: neither ends by trying at once.
                    tracing::debug!(%error, "cannot receive");
                    time::sleep(Duration::from_millis(20)).await;
                }
            }
            () = silence => {
                if quiet.is_some() {
                    return;
                }
                if let Err(error) = take_no_more(&socket) {
                    tracing::warn!(%error, "queries that come now may be lost");
                }
            }
        }
        if stop.is_cancelled() {
            quiet = Some(Deadline::now() + QUIET);
        }
    }
}

/// Takes what is there, as fast as can be: what overflows the socket's queue is lost for everybody.
async fn batch(socket: &Arc<UdpSocket>, handler: &Handler, tasks: &TaskTracker, buffer: &mut [u8]) -> io::Result<()> {
    for _ in 0..BATCH {
        match socket.try_recv_from(buffer) {
            Ok((length, source)) => answer(socket, handler, tasks, source, &buffer[..length]).await,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    tokio::task::yield_now().await;
    Ok(())
}

/// Takes the socket out of its SO_REUSEPORT group without closing it: a connected socket gets only what its peer sends, and
/// the kernel gives the rest to the group's other sockets. What it had queued can still be read.
fn take_no_more(socket: &UdpSocket) -> io::Result<()> {
    let mut nobody = socket.local_addr()?;
    nobody.set_port(9);
    SockRef::from(socket).connect(&SockAddr::from(nobody))
}

async fn answer(socket: &Arc<UdpSocket>, handler: &Handler, tasks: &TaskTracker, source: SocketAddr, bytes: &[u8]) {
    let IpAddr::V4(address) = source.ip() else {
        return;
    };
    match handler.datagram(address, bytes, Instant::now()) {
        Verdict::Reply(reply) => send(socket, &reply, source).await,
        Verdict::Later(pending) => {
            let socket = Arc::clone(socket);
            tasks.spawn(async move { send(&socket, &pending.finish().await, source).await });
        }
        Verdict::Nothing => {}
    }
}

async fn send(socket: &UdpSocket, reply: &[u8], to: SocketAddr) {
    if let Err(error) = socket.send_to(reply, to).await {
        tracing::debug!(%error, "cannot reply");
    }
}
