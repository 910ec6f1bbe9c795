//! What the server keeps for one network: answers from outside, and questions under way.
//!
//! Nothing of it is shared between networks: an answer that came fast because another tenant had asked would tell of it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use hickory_proto::op::{Query, ResponseCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::dns::cache::{Cache, Key};
use crate::dns::identity::NetworkId;
use crate::dns::message::Content;
use crate::dns::metrics::{Metrics, NetworkMetrics};
use crate::dns::records::Store;
use crate::dns::upstream::Upstreams;

type Answer = Shared<BoxFuture<'static, Arc<Content>>>;

/// One network.
#[derive(Debug)]
pub(crate) struct Tenant {
    cache: Cache,
    under_way: Mutex<HashMap<Key, Answer>>,
    pending: Arc<Semaphore>,
    pub(crate) metrics: NetworkMetrics,
}

impl Tenant {
    fn new(cache: usize, pending: usize, metrics: NetworkMetrics) -> Self {
        Self {
            cache: Cache::new(cache),
            under_way: Mutex::default(),
            pending: Arc::new(Semaphore::new(pending)),
            metrics,
        }
    }

    /// An answer that is known already.
    pub(crate) fn cached(&self, key: &Key, now: Instant) -> Option<Content> {
        self.cache.get(key, now)
    }

    /// Room for one more query that waits; nothing if the network has its share.
    pub(crate) fn admit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.pending).try_acquire_owned().ok()
    }

    /// Asks outside, or joins whoever of this network asks the same already.
    pub(crate) async fn fetch(
        self: &Arc<Self>,
        key: Key,
        upstreams: &Arc<Upstreams>,
        permit: OwnedSemaphorePermit,
    ) -> Arc<Content> {
        let mut permit = Some(permit);
        let answer = {
            let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
            under_way
                .entry(key.clone())
                .or_insert_with(|| Self::start(Arc::clone(self), key, Arc::clone(upstreams), permit.take()))
                .clone()
        };
        answer.await
    }

    fn start(self: Arc<Self>, key: Key, upstreams: Arc<Upstreams>, permit: Option<OwnedSemaphorePermit>) -> Answer {
        // A task of its own: it ends, and is cleared away, even if all who wait for it have gone. Until then it counts.
        let task = tokio::spawn(async move {
            let question = Query::query(key.name.clone().into(), key.rtype);
            let answer = upstreams.ask(&question, key.dnssec_ok, key.checking_disabled).await;
            let answer = Arc::new(answer);
            self.cache.put(key.clone(), &answer, Instant::now());
            self.under_way
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .remove(&key);
            drop(permit);
            answer
        });
        let answer = task.map(|done| done.unwrap_or_else(|_| Arc::new(Content::code(ResponseCode::ServFail))));
        answer.boxed().shared()
    }
}

/// All networks that have asked.
#[derive(Debug)]
pub(crate) struct Tenants {
    cache: usize,
    pending: usize,
    told_apart: usize,
    metrics: Metrics,
    all: RwLock<HashMap<NetworkId, Arc<Tenant>>>,
}

impl Tenants {
    pub(crate) fn new(cache: usize, pending: usize, told_apart: usize, metrics: Metrics) -> Self {
        Self {
            cache,
            pending,
            told_apart,
            metrics,
            all: RwLock::default(),
        }
    }

    /// The network's state; nothing as long as the store does not know the network.
    pub(crate) fn get(&self, network: &NetworkId, store: &Store) -> Option<Arc<Tenant>> {
        if let Some(tenant) = self.all.read().unwrap_or_else(PoisonError::into_inner).get(network) {
            return Some(Arc::clone(tenant));
        }
        let name = store.network_name(network)?;
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        let named = all.values().filter(|tenant| !tenant.metrics.is_other()).count();
        let name = (named < self.told_apart).then_some(name);
        let tenant = || Arc::new(Tenant::new(self.cache, self.pending, self.metrics.network(name)));
        Some(Arc::clone(all.entry(*network).or_insert_with(tenant)))
    }

    /// Forgets networks that the store does not know any more.
    pub(crate) fn sweep(&self, store: &Store) {
        let mut all = self.all.write().unwrap_or_else(PoisonError::into_inner);
        all.retain(|network, tenant| {
            let known = store.network_name(network).is_some();
            if !known && !tenant.metrics.is_other() {
                tenant.metrics.forget();
            }
            known
        });
    }
}
