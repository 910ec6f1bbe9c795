//! Events, as people read them.

use std::time::Duration;

use anyhow::ensure;

use crate::{devbox::Devbox, wait};

/// Waits until an Event about an object of this name (or about any, without one) has this reason, and all these words in its message,
/// whatever their case. Those about objects that are in no namespace are in `default`.
///
/// # Panics
/// When none comes within `limit`, with those that there are.
pub async fn told(
    devbox: &Devbox,
    namespace: &str,
    object: Option<&str>,
    reason: &str,
    words: &[&str],
    limit: Duration,
) {
    let field = object.map(|name| format!("--field-selector=involvedObject.name={name}"));
    let mut call = vec![
        "-n",
        namespace,
        "get",
        "events",
        "--no-headers",
        "-o",
        "custom-columns=R:.reason,M:.message",
    ];
    call.extend(field.as_deref());
    let what = format!("an Event {reason} with {words:?} about {}", object.unwrap_or(namespace));
    wait::until(&what, limit, || async {
        let events = devbox.kubectl(&call, "").await?;
        let told = events.lines().any(|line| {
            let text = line.to_lowercase();
            line.split_whitespace().next() == Some(reason)
                && words.iter().all(|word| text.contains(&word.to_lowercase()))
        });
        ensure!(told, "{events}");
        Ok(())
    })
    .await;
}
