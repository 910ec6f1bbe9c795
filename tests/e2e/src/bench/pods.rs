//! Pods of one tenant: how soon their sandbox has its network, how soon all of many are Ready.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures::{StreamExt, pin_mut};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    runtime::{WatchStreamExt, watcher},
};

use super::Samples;
use crate::{devbox::Devbox, pods};

/// For how long pods are waited for.
const LIMIT: Duration = Duration::from_secs(300);

/// What was seen of a pod, as the watch told it.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    bound: Option<Instant>,
    networked: Option<Instant>,
    ready: Option<Instant>,
}

impl Seen {
    fn note(&mut self, pod: &Pod, now: Instant) {
        let holds = |name: &str| {
            let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            conditions.into_iter().any(|c| c.type_ == name && c.status == "True")
        };
        if pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()) {
            self.bound.get_or_insert(now);
        }
        // Kubelet says so when the sandbox is up, which is when ADD has returned.
        if holds("PodReadyToStartContainers") {
            self.networked.get_or_insert(now);
        }
        if holds("Ready") {
            self.ready.get_or_insert(now);
        }
    }
}

/// Creates `count` pods, each when the one before is Ready; the times from bound to a sandbox with network.
///
/// # Errors
/// Pods that are not Ready in time.
pub async fn one_after_another(devbox: &Devbox, namespace: &str, count: usize) -> Result<Samples> {
    let mut samples = Samples::default();
    for n in 0..count {
        let seen = observe(devbox, namespace, &[format!("single-{n}")]).await?;
        add(&mut samples, &seen);
    }
    Ok(samples)
}

/// Creates `count` pods at once; the time until all are Ready, and the times from bound to a sandbox with network.
///
/// # Errors
/// Pods that are not Ready in time.
pub async fn burst(devbox: &Devbox, namespace: &str, count: usize) -> Result<(Duration, Samples)> {
    let start = Instant::now();
    let names: Vec<_> = (0..count).map(|n| format!("burst-{n}")).collect();
    let seen = observe(devbox, namespace, &names).await?;
    let mut samples = Samples::default();
    add(&mut samples, &seen);
    Ok((start.elapsed(), samples))
}

fn add(samples: &mut Samples, seen: &BTreeMap<String, Seen>) {
    for pod in seen.values() {
        if let (Some(bound), Some(networked)) = (pod.bound, pod.networked) {
            samples.add(networked - bound);
        }
    }
}

async fn observe(devbox: &Devbox, namespace: &str, names: &[String]) -> Result<BTreeMap<String, Seen>> {
    let api: Api<Pod> = Api::namespaced(devbox.kube.clone(), namespace);
    let changes = watcher(api, watcher::Config::default())
        .default_backoff()
        .applied_objects();
    pin_mut!(changes);
    let mut seen: BTreeMap<String, Seen> = names.iter().map(|name| (name.clone(), Seen::default())).collect();
    let create = pods::create_all(devbox, namespace, names);
    pin_mut!(create);
    let (mut created, deadline) = (false, tokio::time::Instant::now() + LIMIT);
    while !created || seen.values().any(|pod| pod.ready.is_none()) {
        tokio::select! {
            result = &mut create, if !created => { result?; created = true; }
            Some(change) = changes.next() => if let Ok(pod) = change && let Some(of) = seen.get_mut(&pod.name_any()) {
                of.note(&pod, Instant::now());
            },
            () = tokio::time::sleep_until(deadline) => {
                bail!("not all of {} pods are Ready after {} s", names.len(), LIMIT.as_secs())
            }
        }
    }
    Ok(seen)
}
