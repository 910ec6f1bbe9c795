//! Who works on what: one call at a time for a pod, and which devices calls are busy with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OwnedMutexGuard;
use tokio_util::sync::CancellationToken;

use crate::link::host_name;
use crate::protocol::Attachment;

/// Locks by pod UID, and the ADDs that are being served.
#[derive(Clone, Debug, Default)]
pub(super) struct Locks {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    pods: BTreeMap<String, Arc<tokio::sync::Mutex<()>>>,
    adds: BTreeMap<Attachment, BTreeMap<u64, CancellationToken>>,
    next_add: u64,
}

/// Held while a call works on a pod.
#[derive(Debug)]
pub(super) struct PodGuard {
    _guard: OwnedMutexGuard<()>,
}

/// Held while an ADD is being served.
#[derive(Debug)]
pub(super) struct AddGuard {
    locks: Locks,
    attachment: Attachment,
    id: u64,
    /// Cancelled when the ADD is to be taken back.
    pub(super) cancel: CancellationToken,
}

impl Locks {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds this lock for a few map operations; if it did, the maps would still be maps.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody else works on the pod.
    pub(super) async fn lock(&self, pod_uid: &str) -> PodGuard {
        let mutex = {
            let mut state = self.state();
            // Forget the locks that nobody holds or waits for.
            state.pods.retain(|_, mutex| Arc::strong_count(mutex) > 1);
            Arc::clone(state.pods.entry(pod_uid.to_owned()).or_default())
        };
        PodGuard {
            _guard: mutex.lock_owned().await,
        }
    }

    /// Registers an ADD; `cancel` is the caller's way to take it back.
    pub(super) fn begin_add(&self, attachment: &Attachment, cancel: &CancellationToken) -> AddGuard {
        let cancel = cancel.child_token();
        let mut state = self.state();
        let id = state.next_add;
        state.next_add += 1;
        state
            .adds
            .entry(attachment.clone())
            .or_default()
            .insert(id, cancel.clone());
        AddGuard {
            locks: self.clone(),
            attachment: attachment.clone(),
            id,
            cancel,
        }
    }

    /// Takes back the ADDs for that attachment: a DEL has come for it.
    pub(super) fn cancel_adds(&self, attachment: &Attachment) {
        self.state()
            .adds
            .get(attachment)
            .into_iter()
            .flatten()
            .for_each(|(_, cancel)| cancel.cancel());
    }

    /// Devices that ADDs are busy with.
    pub(super) fn busy(&self) -> BTreeSet<String> {
        self.state().adds.keys().map(host_name).collect()
    }
}

impl Drop for AddGuard {
    fn drop(&mut self) {
        let mut state = self.locks.state();
        if let Some(adds) = state.adds.get_mut(&self.attachment) {
            adds.remove(&self.id);
            if adds.is_empty() {
                state.adds.remove(&self.attachment);
            }
        }
    }
}
