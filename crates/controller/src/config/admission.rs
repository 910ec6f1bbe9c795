//! The keys about what tenants may name: words that end up in the parameters of admission policies.

/// Names of OpenStack's own projects, which a tenant of the same name could be taken for.
pub(super) const RESERVED_NAMES: &str = "admin service services openstack";

/// Words separated by blanks or line ends. Each may be what a Kubernetes name or label key consists of.
pub(super) fn words(text: &str) -> Result<Vec<String>, String> {
    text.split_whitespace()
        .map(|word| {
            let fine = |c: char| c.is_ascii_alphanumeric() || "-._/".contains(c);
            if word.len() <= 316 && word.chars().all(fine) {
                Ok(word.to_owned())
            } else {
                Err(format!("{word:?} cannot be a name: list names separated by blanks"))
            }
        })
        .collect()
}

/// Hosts of registries, with a port where it is another than usual, separated by blanks or line ends.
pub(super) fn registries(text: &str) -> Result<Vec<String>, String> {
    text.split_whitespace()
        .map(|word| {
            let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
            let (host, port) = word.split_once(':').unwrap_or((word, "443"));
            if word.len() <= 259 && !host.is_empty() && host.chars().all(fine) && port.parse::<u16>().is_ok() {
                Ok(word.to_owned())
            } else {
                Err(format!(
                    "{word:?} is not a registry like registry.example.org or 10.0.0.5:5000"
                ))
            }
        })
        .collect()
}

/// The name of a RuntimeClass; it becomes the value of a label, so 63 characters are the limit.
pub(super) fn runtime_class(text: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if text.len() <= 63 && text.chars().all(fine) && text.starts_with(ends) && text.ends_with(ends) {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "{text:?} is not the name of a RuntimeClass: at most 63 lower-case letters, digits, hyphens and dots"
        ))
    }
}
