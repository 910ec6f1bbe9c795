//! The server without sockets, for fuzzing and for measuring: what the cluster knows is answered, nobody outside is asked.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Instant;

use crate::dns::config::Config;
use crate::dns::handler::{Handler, Verdict, refusal};
use crate::dns::identity::Identities;
use crate::dns::message::Transport;
use crate::dns::metrics::Metrics;
use crate::dns::records::Store;
use crate::dns::server::{Error, domain};
use crate::dns::upstream::Upstreams;

/// The server without sockets.
pub struct Offline(Handler);

impl std::fmt::Debug for Offline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Offline").finish_non_exhaustive()
    }
}

impl Offline {
    /// Makes one.
    ///
    /// # Errors
    /// The cluster's domain is not a DNS name.
    pub fn new(
        config: &Config,
        store: Arc<Store>,
        identities: Arc<dyn Identities>,
        metrics: Metrics,
    ) -> Result<Self, Error> {
        let domain = domain(config)?;
        let upstreams = Upstreams::new(&[], metrics.clone());
        Ok(Self(Handler::new(
            config, &domain, upstreams, store, identities, metrics,
        )))
    }

    /// The reply to a datagram; nothing if none is sent, or if the answer is outside.
    #[must_use]
    pub fn datagram(&self, source: Ipv4Addr, bytes: &[u8]) -> Option<Vec<u8>> {
        reply(self.0.datagram(source, bytes, Instant::now()))
    }

    /// The reply to a message of a connection; as [`Offline::datagram`], but without a limit to the rate.
    #[must_use]
    pub fn message(&self, source: Ipv4Addr, bytes: &[u8]) -> Option<Vec<u8>> {
        reply(match self.0.client(source) {
            Some(client) => self.0.query(client, bytes, Transport::Tcp, Instant::now()),
            None => refusal(bytes, Transport::Tcp),
        })
    }

    /// Forgets networks that are gone, as a server does every few seconds.
    pub fn sweep(&self) {
        self.0.sweep();
    }
}

fn reply(verdict: Verdict) -> Option<Vec<u8>> {
    match verdict {
        Verdict::Reply(reply) => Some(reply),
        Verdict::Later(_) | Verdict::Nothing => None,
    }
}
