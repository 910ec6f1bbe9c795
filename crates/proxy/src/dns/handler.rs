//! One query: who asks, may it, what is the answer.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, Record};
use tokio::sync::OwnedSemaphorePermit;

use crate::dns::cache::Key;
use crate::dns::config::Config;
use crate::dns::identity::{Client, Identities};
use crate::dns::limit::Limiter;
use crate::dns::message::{self, Content, Parsed, Request, Transport};
use crate::dns::metrics::{Drop, Metrics, Source};
use crate::dns::records::{Shared, Store};
use crate::dns::tenant::{Tenant, Tenants};
use crate::dns::upstream::Upstreams;
use crate::dns::zone::{Lookup, Zone};

/// Aliases that are followed from one name.
const ALIASES_MAX: usize = 8;

/// Everything that answering needs. Shared by all sockets.
pub(crate) struct Handler {
    zone: Zone,
    shared: Shared,
    store: Arc<Store>,
    identities: Arc<dyn Identities>,
    tenants: Tenants,
    limiter: Limiter,
    upstreams: Arc<Upstreams>,
    pub(crate) metrics: Metrics,
}

/// What to do with a query.
pub(crate) enum Verdict {
    Reply(Vec<u8>),
    /// The answer is outside.
    Later(Box<Pending>),
    /// Nothing is sent.
    Nothing,
}

/// Where an answer stands.
enum Step {
    Done(Content, Source),
    /// Ask outside for `key`; `before` are the aliases that led there.
    Ask {
        before: Vec<Record>,
        key: Key,
    },
}

/// A query that waits for an answer from outside.
pub(crate) struct Pending {
    request: Request,
    tenant: Arc<Tenant>,
    upstreams: Arc<Upstreams>,
    metrics: Metrics,
    before: Vec<Record>,
    key: Key,
    since: Instant,
    permit: OwnedSemaphorePermit,
}

impl Handler {
    pub(crate) fn new(
        config: &Config,
        domain: &Name,
        upstreams: Upstreams,
        store: Arc<Store>,
        identities: Arc<dyn Identities>,
        metrics: Metrics,
    ) -> Self {
        let ttl = u32::try_from(config.ttl.as_secs()).unwrap_or(u32::MAX);
        Self {
            zone: Zone::new(domain, ttl, config.service_address, config.ranges.clone()),
            shared: Shared {
                system: config.system_network,
                services: config.shared(),
            },
            store,
            identities,
            tenants: Tenants::new(config.cache, config.pending, config.metrics_networks, metrics.clone()),
            limiter: Limiter::new(config.pod_rate, config.pod_burst),
            upstreams: Arc::new(upstreams),
            metrics,
        }
    }

    /// The pod behind an address.
    pub(crate) fn client(&self, source: Ipv4Addr) -> Option<Client> {
        let client = self.identities.client(source);
        if client.is_none() {
            self.metrics.unknown();
        }
        client
    }

    /// Counts a query against the pod's rate. If it is above: how long until it is not.
    pub(crate) fn charge(&self, client: &Client, now: Instant) -> Result<(), Duration> {
        self.limiter.take(client.pod, now)
    }

    /// Counts something that gets no answer.
    pub(crate) fn dropped(&self, client: &Client, reason: Drop) {
        if let Some(tenant) = self.tenants.get(&client.network, &self.store) {
            tenant.metrics.drop(reason);
        }
    }

    /// Decides on a datagram.
    pub(crate) fn datagram(&self, source: Ipv4Addr, bytes: &[u8], now: Instant) -> Verdict {
        let Some(client) = self.client(source) else {
            return refusal(bytes, Transport::Udp);
        };
        // Before anything is read: dropping must be the cheapest thing that can happen. A resolver that is dropped asks
        // again later; one that is refused fails at once.
        if self.charge(&client, now).is_err() {
            self.dropped(&client, Drop::Rate);
            return Verdict::Nothing;
        }
        self.query(client, bytes, Transport::Udp, now)
    }

    /// Decides on a query whose client is known and within its rate.
    pub(crate) fn query(&self, client: Client, bytes: &[u8], transport: Transport, now: Instant) -> Verdict {
        let tenant = self.tenants.get(&client.network, &self.store);
        let request = match message::parse(bytes, transport) {
            Parsed::Request(request) => *request,
            Parsed::Refused(reply, code) => {
                if let Some(tenant) = tenant {
                    tenant.metrics.response(Source::Refusal, code);
                }
                return Verdict::Reply(reply);
            }
            Parsed::Nothing => {
                self.dropped(&client, Drop::Malformed);
                return Verdict::Nothing;
            }
        };
        // A pod can be faster than the watch that tells of its network. What is not known yet must not be denied.
        let Some(tenant) = tenant else {
            return Verdict::Reply(request.reply(Content::code(ResponseCode::ServFail)));
        };
        tenant.metrics.query(transport);
        let (content, source) = match self.step(client, &tenant, &request, now) {
            Step::Done(content, source) => (content, source),
            Step::Ask { before, key } => match tenant.admit() {
                Some(permit) => {
                    return Verdict::Later(Box::new(Pending {
                        request,
                        tenant,
                        upstreams: Arc::clone(&self.upstreams),
                        metrics: self.metrics.clone(),
                        before,
                        key,
                        since: now,
                        permit,
                    }));
                }
                None => (Content::code(ResponseCode::Refused), Source::Refusal),
            },
        };
        tenant.metrics.response(source, content.code);
        let reply = request.reply(content);
        self.metrics.duration(source, now.elapsed());
        Verdict::Reply(reply)
    }

    /// Answers from memory as far as that goes.
    fn step(&self, client: Client, tenant: &Tenant, request: &Request, now: Instant) -> Step {
        let question = request.question();
        let mut content = Content {
            authoritative: true,
            ..Content::default()
        };
        let mut name = question.name().clone();
        let view = self.store.view(client, &self.shared);
        for _ in 0..=ALIASES_MAX {
            match self.zone.lookup(&view, &name, question.query_type()) {
                Lookup::Found { answers, additionals } => {
                    content.answers.extend(shuffled(answers));
                    content.additionals = additionals;
                }
                Lookup::Alias { record, target } => {
                    content.answers.push(*record);
                    name = target;
                    if message::any(question).is_none() {
                        continue;
                    }
                }
                Lookup::NoData(soa) => match message::any(question) {
                    Some(record) => content.answers.push(record),
                    None => content.authorities.push(*soa),
                },
                Lookup::NxDomain(soa) => {
                    content.code = ResponseCode::NXDomain;
                    content.authorities.push(*soa);
                }
                Lookup::Outside => {
                    drop(view);
                    return outside(tenant, request, content, name, now);
                }
            }
            return Step::Done(content, Source::Cluster);
        }
        Step::Done(Content::code(ResponseCode::ServFail), Source::Cluster)
    }

    /// Forgets what belongs to networks that have gone.
    pub(crate) fn sweep(&self) {
        self.tenants.sweep(&self.store);
    }
}

impl Pending {
    /// Waits for the answer. Takes at most as long as asking upstream servers does.
    pub(crate) async fn finish(self) -> Vec<u8> {
        let answer = self.tenant.fetch(self.key, &self.upstreams, self.permit).await;
        let content = with_aliases(self.before, Content::clone(&answer));
        self.tenant.metrics.response(Source::Upstream, content.code);
        let reply = self.request.reply(content);
        self.metrics.duration(Source::Upstream, self.since.elapsed());
        reply
    }
}

/// Goes on with a name that is not the cluster's.
fn outside(tenant: &Tenant, request: &Request, content: Content, name: Name, now: Instant) -> Step {
    if let Some(record) = message::any(request.question()) {
        let content = Content {
            authoritative: false,
            answers: vec![record],
            ..content
        };
        return Step::Done(content, Source::Cluster);
    }
    // Without recursion this server knows nothing; what it keeps for others is nobody's business.
    if !request.recursion_desired() {
        return Step::Done(Content::code(ResponseCode::Refused), Source::Refusal);
    }
    let key = Key {
        name: name.into(),
        rtype: request.question().query_type(),
        dnssec_ok: request.dnssec_ok(),
        checking_disabled: request.checking_disabled(),
    };
    match tenant.cached(&key, now) {
        Some(found) => Step::Done(with_aliases(content.answers, found), Source::Cache),
        None => Step::Ask {
            before: content.answers,
            key,
        },
    }
}

fn with_aliases(mut before: Vec<Record>, mut content: Content) -> Content {
    before.append(&mut content.answers);
    content.answers = before;
    content
}

/// Many clients take the first address: let them spread.
fn shuffled(mut records: Vec<Record>) -> Vec<Record> {
    if records.len() > 1 {
        let start = rand::random_range(0..records.len());
        records.rotate_left(start);
    }
    records
}

/// What somebody gets who is no pod of this node.
pub(crate) fn refusal(bytes: &[u8], transport: Transport) -> Verdict {
    match message::parse(bytes, transport) {
        Parsed::Request(request) => Verdict::Reply(request.reply(Content::code(ResponseCode::Refused))),
        Parsed::Refused(reply, _) => Verdict::Reply(reply),
        Parsed::Nothing => Verdict::Nothing,
    }
}
