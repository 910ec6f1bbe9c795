//! What the server counts. Networks are told apart up to a number; the rest are `other`.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::dns::message::Transport;

/// Upper bounds in seconds, from an answer out of memory to the last try upstream.
const BUCKETS: [f64; 12] = [
    0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.5, 2.0, 5.0,
];

/// The label of networks that are not told apart.
const OTHER: &str = "other";

/// Words that stand in a label.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(crate) enum $name { $($variant),+ }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder) -> fmt::Result {
                EncodeLabelValue::encode(&match self { $(Self::$variant => $word),+ }, encoder)
            }
        }
    };
}

words!(
    /// Where an answer came from.
    Source { Cluster = "cluster", Cache = "cache", Upstream = "upstream", Refusal = "refusal" }
);
words!(
    /// Why a query got no answer.
    Drop { Rate = "rate", Malformed = "malformed", Connections = "connections" }
);
words!(
    /// How an upstream server behaved.
    UpstreamResult { Answer = "answer", Timeout = "timeout", Failure = "failure" }
);
words!(
    /// Response codes that are told apart.
    Code {
        NoError = "NOERROR", NxDomain = "NXDOMAIN", ServFail = "SERVFAIL", Refused = "REFUSED", FormErr = "FORMERR",
        Other = "other",
    }
);

impl UpstreamResult {
    pub(crate) fn of(timeout: bool) -> Self {
        if timeout { Self::Timeout } else { Self::Failure }
    }
}

impl From<ResponseCode> for Code {
    fn from(code: ResponseCode) -> Self {
        match code {
            ResponseCode::NoError => Self::NoError,
            ResponseCode::NXDomain => Self::NxDomain,
            ResponseCode::ServFail => Self::ServFail,
            ResponseCode::Refused => Self::Refused,
            ResponseCode::FormErr => Self::FormErr,
            _ => Self::Other,
        }
    }
}

impl EncodeLabelValue for Transport {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> fmt::Result {
        let word = match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
        };
        EncodeLabelValue::encode(&word, encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Queries {
    network: Arc<str>,
    protocol: Transport,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Responses {
    network: Arc<str>,
    source: Source,
    code: Code,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Drops {
    network: Arc<str>,
    reason: Drop,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Durations {
    source: Source,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Exchanges {
    server: String,
    result: UpstreamResult,
}

/// The server's metrics. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics {
    queries: Family<Queries, Counter>,
    responses: Family<Responses, Counter>,
    drops: Family<Drops, Counter>,
    unknown: Counter,
    durations: Family<Durations, Histogram>,
    exchanges: Family<Exchanges, Counter>,
}

impl Metrics {
    /// Adds the server's metrics to `registry`, named `dns_…` below its prefix.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            queries: Family::default(),
            responses: Family::default(),
            drops: Family::default(),
            unknown: Counter::default(),
            durations: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            exchanges: Family::default(),
        };
        let registry = registry.sub_registry_with_prefix("dns");
        registry.register("queries", "Queries by network", metrics.queries.clone());
        registry.register(
            "responses",
            "Answers by network, source and code",
            metrics.responses.clone(),
        );
        registry.register(
            "dropped",
            "Queries without an answer, by network and reason",
            metrics.drops.clone(),
        );
        registry.register(
            "unknown_clients",
            "Queries from addresses that no pod of this node has",
            metrics.unknown.clone(),
        );
        registry.register_with_unit(
            "response_duration",
            "Time to answer, by source",
            Unit::Seconds,
            metrics.durations.clone(),
        );
        registry.register(
            "upstream_exchanges",
            "Questions to upstream servers, by server and result",
            metrics.exchanges.clone(),
        );
        metrics
    }

    pub(crate) fn unknown(&self) {
        self.unknown.inc();
    }

    pub(crate) fn upstream(&self, server: SocketAddr, result: UpstreamResult) {
        let server = server.to_string();
        self.exchanges.get_or_create(&Exchanges { server, result }).inc();
    }

    pub(crate) fn duration(&self, source: Source, duration: Duration) {
        self.durations
            .get_or_create(&Durations { source })
            .observe(duration.as_secs_f64());
    }

    /// The counters of a network.
    pub(crate) fn network(&self, name: Option<Arc<str>>) -> NetworkMetrics {
        let network = name.unwrap_or_else(|| OTHER.into());
        let counted = |reason| {
            let network = Arc::clone(&network);
            self.drops.get_or_create_owned(&Drops { network, reason })
        };
        NetworkMetrics {
            drops: [Drop::Rate, Drop::Malformed, Drop::Connections].map(|reason| (reason, counted(reason))),
            metrics: self.clone(),
            network,
        }
    }
}

/// The counters of one network, or of all others.
#[derive(Debug)]
pub(crate) struct NetworkMetrics {
    metrics: Metrics,
    network: Arc<str>,
    /// At hand, since a flood of drops must cost as little as can be.
    drops: [(Drop, Counter); 3],
}

impl NetworkMetrics {
    pub(crate) fn query(&self, protocol: Transport) {
        let network = Arc::clone(&self.network);
        self.metrics.queries.get_or_create(&Queries { network, protocol }).inc();
    }

    pub(crate) fn response(&self, source: Source, code: ResponseCode) {
        let (network, code) = (Arc::clone(&self.network), code.into());
        self.metrics
            .responses
            .get_or_create(&Responses { network, source, code })
            .inc();
    }

    pub(crate) fn drop(&self, reason: Drop) {
        for (_, counter) in self.drops.iter().filter(|(of, _)| *of == reason) {
            counter.inc();
        }
    }

    pub(crate) fn is_other(&self) -> bool {
        &*self.network == OTHER
    }

    /// Forgets the network's series.
    pub(crate) fn forget(&self) {
        let network = || Arc::clone(&self.network);
        for protocol in [Transport::Udp, Transport::Tcp] {
            self.metrics.queries.remove(&Queries {
                network: network(),
                protocol,
            });
        }
        for reason in [Drop::Rate, Drop::Malformed, Drop::Connections] {
            self.metrics.drops.remove(&Drops {
                network: network(),
                reason,
            });
        }
        for source in [Source::Cluster, Source::Cache, Source::Upstream, Source::Refusal] {
            for code in [
                Code::NoError,
                Code::NxDomain,
                Code::ServFail,
                Code::Refused,
                Code::FormErr,
                Code::Other,
            ] {
                self.metrics.responses.remove(&Responses {
                    network: network(),
                    source,
                    code,
                });
            }
        }
    }
}
