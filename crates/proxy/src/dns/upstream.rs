//! Asking upstream servers: UDP with a port of its own for each query, TCP if the answer is truncated, the next server if
//! one does not answer.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time;

use crate::dns::message::{self, Content};
use crate::dns::metrics::{Metrics, UpstreamResult};

/// Time for one try.
const TRY: Duration = Duration::from_millis(1400);

/// Time for all tries: less than the 5 s after which a resolver asks again.
const DEADLINE: Duration = Duration::from_millis(4500);

/// Tries for one question, over all servers.
const TRIES_MIN: usize = 3;

/// How long a server that did not answer comes last.
const REST: Duration = Duration::from_secs(5);

/// Why an upstream server gave no answer.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("no answer within {TRY:?}")]
    Timeout(#[from] time::error::Elapsed),
    #[error("the answer cannot be read: {0}")]
    Malformed(String),
}

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    /// Milliseconds after `start` until which the server comes last.
    resting: AtomicU64,
}

/// The servers, in order of preference.
#[derive(Debug)]
pub(crate) struct Upstreams {
    start: Instant,
    servers: Vec<Server>,
    metrics: Metrics,
}

impl Upstreams {
    pub(crate) fn new(addresses: &[SocketAddr], metrics: Metrics) -> Self {
        let server = |address: &SocketAddr| Server {
            address: *address,
            resting: AtomicU64::new(0),
        };
        Self {
            start: Instant::now(),
            servers: addresses.iter().map(server).collect(),
            metrics,
        }
    }

    /// Asks until a server answers; SERVFAIL if none does in time.
    pub(crate) async fn ask(&self, question: &Query, dnssec_ok: bool, checking_disabled: bool) -> Content {
        let ask = self.ask_all(question, dnssec_ok, checking_disabled);
        let answer = time::timeout(DEADLINE, ask).await.ok().flatten();
        answer.unwrap_or_else(|| Content::code(ResponseCode::ServFail))
    }

    async fn ask_all(&self, question: &Query, dnssec_ok: bool, checking_disabled: bool) -> Option<Content> {
        let now = self.now();
        let mut servers: Vec<_> = self.servers.iter().collect();
        servers.sort_by_key(|server| server.resting.load(Ordering::Relaxed) > now);
        let tries = servers.len().max(TRIES_MIN);
        let mut unhelpful = None;
        for (number, server) in servers.iter().cycle().take(tries).enumerate() {
            if unhelpful.is_some() && number >= servers.len() {
                break;
            }
            // A new query each time: an ID and a port are guessed only once.
            let query = message::query(question.clone(), dnssec_ok, checking_disabled);
            let answer = time::timeout(TRY, exchange(server.address, &query)).await;
            match answer.map_err(Error::from).flatten() {
                Ok(answer) => {
                    server.resting.store(0, Ordering::Relaxed);
                    self.metrics.upstream(server.address, UpstreamResult::Answer);
                    let content = Content::from(answer);
                    match content.code {
                        ResponseCode::ServFail | ResponseCode::Refused | ResponseCode::NotImp => {
                            unhelpful.get_or_insert(content);
                        }
                        _ => return Some(content),
                    }
                }
                Err(error) => {
                    tracing::debug!(server = %server.address, %error, "upstream server gave no answer");
                    self.metrics
                        .upstream(server.address, UpstreamResult::of(matches!(error, Error::Timeout(_))));
                    let until = self.now() + u64::try_from(REST.as_millis()).unwrap_or(0);
                    server.resting.store(until, Ordering::Relaxed);
                }
            }
        }
        // Whatever the reason upstream, the question failed: REFUSED would speak of the client.
        unhelpful.map(|content| Content {
            code: ResponseCode::ServFail,
            ..content
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// The answer to `query`.
async fn exchange(server: SocketAddr, query: &Message) -> Result<Message, Error> {
    let bytes = query.to_vec().map_err(|error| Error::Malformed(error.to_string()))?;
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    // Connected: the kernel drops what others send, and reports a closed port at once.
    socket.connect(server).await?;
    socket.send(&bytes).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if let Some(answer) = answer_to(query, &buffer[..length])? {
            if answer.metadata.truncation {
                return over_tcp(server, query, &bytes).await;
            }
            return Ok(answer);
        }
    }
}

async fn over_tcp(server: SocketAddr, query: &Message, bytes: &[u8]) -> Result<Message, Error> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(bytes.len()).map_err(|error| Error::Malformed(error.to_string()))?;
    stream.write_all(&[&length.to_be_bytes(), bytes].concat()).await?;
    let mut answer = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut answer).await?;
    let answer = answer_to(query, &answer)?;
    answer.ok_or_else(|| Error::Malformed("it answers another question".to_owned()))
}

/// Reads an answer, or nothing if it is none to this query.
fn answer_to(query: &Message, bytes: &[u8]) -> Result<Option<Message>, Error> {
    if bytes.get(..2) != Some(&query.metadata.id.to_be_bytes()) {
        return Ok(None);
    }
    let answer = Message::from_vec(bytes).map_err(|error| Error::Malformed(error.to_string()))?;
    let ours = answer.metadata.message_type == MessageType::Response && answer.queries == query.queries;
    Ok(ours.then_some(answer))
}

/// The name servers of a resolv.conf, but for `own`: asking oneself never ends.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn resolv_conf(path: &Path, own: IpAddr) -> io::Result<Vec<SocketAddr>> {
    let text = std::fs::read_to_string(path)?;
    Ok(servers(&text, own))
}

fn servers(text: &str, own: IpAddr) -> Vec<SocketAddr> {
    let mut words = text.lines().map(str::split_whitespace);
    let addresses = words
        .by_ref()
        .filter_map(|mut words| match (words.next(), words.next()) {
            (Some("nameserver"), Some(address)) => address.parse().ok(),
            _ => None,
        });
    let addresses = addresses.filter(|address: &IpAddr| *address != own);
    addresses.map(|address| SocketAddr::new(address, 53)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_resolv_conf() {
        let text = "# comment\nsearch lan\nnameserver 192.0.2.1\nnameserver 169.254.77.1\n nameserver 2001:db8::1 \nnameserver\nnameserver x\noptions edns0\n";
        let own = IpAddr::V4(Ipv4Addr::new(169, 254, 77, 1));
        let want: Vec<SocketAddr> = vec!["192.0.2.1:53".parse().unwrap(), "[2001:db8::1]:53".parse().unwrap()];
        assert_eq!(servers(text, own), want);
    }
}
