//! Events: what happened to an object, where `kubectl describe` shows it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use tracing::warn;

mod series;

use series::Series;

/// The API server's limit for an Event's note, in bytes.
const MAX_NOTE: usize = 1024;

/// Publishes Events. An Event that cannot be published is logged and never fails a reconcile.
#[derive(Clone)]
pub(crate) struct Events {
    client: Client,
    reporter: Reporter,
    /// A recorder counts all Events of a topic as one, with the first one's note. So each note has a recorder of its own.
    series: Arc<Mutex<Series<Topic, Recorder>>>,
}

/// What Events are about, beside their note.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Topic {
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
    uid: Option<String>,
    /// Name of the other object that it is about.
    related: Option<String>,
    action: String,
    reason: String,
}

impl Events {
    /// `instance` tells several replicas apart.
    pub(crate) fn new(client: Client, instance: String) -> Self {
        let reporter = Reporter {
            controller: "stackube-controller".into(),
            instance: Some(instance),
        };
        Self {
            client,
            reporter,
            series: Arc::default(),
        }
    }

    /// Something went well. `reason` is CamelCase and stable; `action` says what was being done (`Create`, `Delete`, …).
    pub(crate) async fn normal<K>(&self, object: &K, action: &str, reason: &str, note: impl Into<String>)
    where
        K: Resource<DynamicType = ()>,
    {
        self.publish(object, event(EventType::Normal, action, reason, note.into()))
            .await;
    }

    /// Something needs attention.
    pub(crate) async fn warning<K>(&self, object: &K, action: &str, reason: &str, note: impl Into<String>)
    where
        K: Resource<DynamicType = ()>,
    {
        self.publish(object, event(EventType::Warning, action, reason, note.into()))
            .await;
    }

    /// As [`Self::warning`], for `object` and something else that it is about. Events of different `related` objects are told apart.
    pub(crate) async fn warning_of<K>(
        &self,
        object: &K,
        related: ObjectReference,
        action: &str,
        reason: &str,
        note: String,
    ) where
        K: Resource<DynamicType = ()>,
    {
        let event = Event {
            secondary: Some(related),
            ..event(EventType::Warning, action, reason, note)
        };
        self.publish(object, event).await;
    }

    async fn publish<K>(&self, object: &K, event: Event)
    where
        K: Resource<DynamicType = ()>,
    {
        let about = object.object_ref(&());
        let recorder = self.recorder(&about, &event);
        if let Err(error) = recorder.publish(&event, &about).await {
            warn!(reason = event.reason, "event not published: {error}");
        }
    }

    fn recorder(&self, about: &ObjectReference, event: &Event) -> Recorder {
        let topic = Topic {
            kind: about.kind.clone(),
            namespace: about.namespace.clone(),
            name: about.name.clone(),
            uid: about.uid.clone(),
            related: event.secondary.as_ref().and_then(|related| related.name.clone()),
            action: event.action.clone(),
            reason: event.reason.clone(),
        };
        let note = event.note.as_deref().unwrap_or_default();
        let begin = || Recorder::new(self.client.clone(), self.reporter.clone());
        let mut series = self.series.lock().unwrap_or_else(PoisonError::into_inner);
        series.of(topic, note, Instant::now(), begin)
    }
}

fn event(type_: EventType, action: &str, reason: &str, note: String) -> Event {
    Event {
        type_,
        reason: reason.into(),
        note: Some(cut(note)),
        action: action.into(),
        secondary: None,
    }
}

/// At most [`MAX_NOTE`] bytes, cut between characters.
fn cut(mut note: String) -> String {
    if note.len() > MAX_NOTE {
        let mut end = MAX_NOTE - '…'.len_utf8();
        while !note.is_char_boundary(end) {
            end -= 1;
        }
        note.truncate(end);
        note.push('…');
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_notes_are_cut_between_characters() {
        let long = cut("ä".repeat(1000));
        assert!(long.len() <= MAX_NOTE && long.ends_with('…'));
        assert_eq!(cut("short".into()), "short");
    }
}
