//! The keys about what tenants may name: words that end up in the parameters of admission policies.

use super::DefaultRuntime;

/// Names of OpenStack's own projects, which a tenant of the same name could be taken for.
pub(super) const RESERVED_NAMES: &str = "admin service services openstack";

/// Words separated by blanks or line ends. Each may be what a Kubernetes name or label key consists of.
pub(super) fn words(text: &str) -> Result<Vec<String>, String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-._/".contains(c);
    list(
        text,
        |word| word.len() <= 316 && word.chars().all(fine),
        "cannot be a name: list names separated by blanks",
    )
}

/// Hosts of registries, with a port where it is another than usual, separated by blanks or line ends.
pub(super) fn registries(text: &str) -> Result<Vec<String>, String> {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    let is_registry = |word: &str| {
        let (host, port) = word.split_once(':').unwrap_or((word, "443"));
        word.len() <= 259 && !host.is_empty() && host.chars().all(fine) && port.parse::<u16>().is_ok()
    };
    list(
        text,
        is_registry,
        "is not a registry like registry.example.org or 10.0.0.5:5000",
    )
}

/// The words of `text`, which all have to be `fine`; `otherwise` is what the first one that is not does wrong.
fn list(text: &str, fine: impl Fn(&str) -> bool, otherwise: &str) -> Result<Vec<String>, String> {
    let checked = text.split_whitespace().map(|word| {
        if fine(word) {
            Ok(word.to_owned())
        } else {
            Err(format!("{word:?} {otherwise}"))
        }
    });
    checked.collect()
}

/// `none`, or the name of a RuntimeClass; it becomes the value of a label, so 63 characters are the limit.
pub(super) fn runtime(text: &str) -> Result<DefaultRuntime, String> {
    if text == "none" {
        return Ok(DefaultRuntime::OfNodes);
    }
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if text.len() <= 63 && text.chars().all(fine) && text.starts_with(ends) && text.ends_with(ends) {
        Ok(DefaultRuntime::Class(text.to_owned()))
    } else {
        Err(format!(
            "{text:?} is neither none nor the name of a RuntimeClass: at most 63 lower-case letters, digits, hyphens and dots"
        ))
    }
}
