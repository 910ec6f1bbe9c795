//! Changes on their way from the watches to the worker, so many and so large that they fit in memory.

use std::io;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::Change;

/// How many changes wait for the worker before the watches do.
const CHANGES: usize = 4096;
/// How many bytes their objects have, as JSON. Decoded they take up to some sixteen times as much: an endpoint can be written in 26 bytes.
/// Tenants write most of them, and may write them as fast as the API server lets them.
const BYTES: u32 = 1 << 20;

/// The worker's end.
pub type Receiver = mpsc::Receiver<Queued>;

/// A change, and the room that it takes until it is dropped.
#[derive(Debug)]
pub struct Queued {
    /// What has changed.
    pub change: Change,
    _room: OwnedSemaphorePermit,
}

/// A watch's end. A watch that waits reads its connection later; the API server keeps what it has for it, or ends the watch, which is then
/// started again with a list.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    changes: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
}

/// The worker is gone.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Ended;

pub(super) fn new() -> (Sender, Receiver) {
    let (changes, receiver) = mpsc::channel(CHANGES);
    let room = Arc::new(Semaphore::new(BYTES as usize));
    (Sender { changes, room }, receiver)
}

impl Sender {
    /// Waits until there is room for an object of so many bytes; for one that is larger than all of it, until there is nothing else.
    pub(super) async fn send(&self, change: Change, bytes: u32) -> Result<(), Ended> {
        let room = Arc::clone(&self.room).acquire_many_owned(bytes.min(BYTES));
        let queued = Queued {
            change,
            _room: room.await.map_err(|_| Ended)?,
        };
        self.changes.send(queued).await.map_err(|_| Ended)
    }
}

/// Length of an object as JSON.
pub(super) fn bytes(object: &impl Serialize) -> u32 {
    let mut counted = Counted(0);
    // What came as JSON can be written as such; if not, it may have all of the room.
    match serde_json::to_writer(&mut counted, object) {
        Ok(()) => counted.0.try_into().unwrap_or(BYTES),
        Err(_) => BYTES,
    }
}

/// Counts what is written, and keeps nothing.
struct Counted(usize);

impl io::Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::{StreamExt, poll, stream};
    use k8s_openapi::api::discovery::v1::EndpointSlice;
    use kube::ResourceExt;
    use kube::runtime::watcher::Event;
    use serde_json::json;

    use super::*;
    use crate::metrics::Metrics;
    use crate::watch::{Follower, Kind, Object};

    /// A slice of about 100 kB.
    fn slice(number: usize) -> EndpointSlice {
        let endpoints: Vec<_> = (0..1000)
            .map(|n| json!({"addresses": [format!("10.1.{}.{}", n / 250, n % 250)], "hostname": format!("{n:063}")}))
            .collect();
        let object = json!({"metadata": {"namespace": "shop", "name": format!("s{number}")}, "addressType": "IPv4", "endpoints": endpoints});
        serde_json::from_value(object).unwrap()
    }

    fn name(change: &Change) -> String {
        match change {
            Change::Is(Object::EndpointSlice(slice)) => slice.name_any(),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_flood_of_large_objects_waits_at_the_api_server_and_none_is_lost() {
        const SLICES: usize = 60;
        let size = bytes(&slice(100)) as usize;
        assert!(SLICES * size > 4 * BYTES as usize, "{size}");
        let (sender, mut receiver) = new();
        let follower = Follower {
            kind: Kind::EndpointSlice,
            sender,
            metrics: Metrics::default(),
        };
        let decoded = AtomicUsize::new(0);
        let events = stream::iter(0..SLICES).map(|number| {
            decoded.fetch_add(1, Ordering::Relaxed);
            Ok(Event::Apply(slice(number)))
        });
        let followed = follower.follow(events, |slice| Object::EndpointSlice(Arc::new(slice)));
        // It always has something to do, so it stops only where it has to wait.
        let mut followed = pin!(tokio::task::unconstrained(followed));
        let mut received = vec![];
        while poll!(followed.as_mut()).is_pending() {
            let held = decoded.load(Ordering::Relaxed) - received.len();
            // One waits with its object in hand.
            assert!((held - 1) * size <= BYTES as usize, "{held} objects of {size} bytes");
            received.push(name(&receiver.recv().await.unwrap().change));
        }
        while let Some(queued) = receiver.recv().await {
            received.push(name(&queued.change));
        }
        let sent: Vec<String> = (0..SLICES).map(|number| format!("s{number}")).collect();
        assert_eq!(received, sent);
    }

    #[tokio::test]
    async fn one_that_is_larger_than_all_room_comes_alone() {
        let (sender, mut receiver) = new();
        let gone = |name: &str| Change::Gone(Kind::Service, crate::model::ObjectName::new("shop", name));
        sender.send(gone("small"), 1).await.unwrap();
        let mut large = pin!(sender.send(gone("large"), u32::MAX));
        assert!(poll!(large.as_mut()).is_pending());
        drop(receiver.recv().await.unwrap());
        assert_eq!(large.await, Ok(()));
        let mut small = pin!(sender.send(gone("small"), 1));
        assert!(poll!(small.as_mut()).is_pending());
        drop(receiver);
        assert_eq!(small.await, Err(Ended));
    }
}
