//! Keystone's URL.

use std::fmt;
use std::str::FromStr;

use url::Url;

use super::ConfigError;

/// Keystone's version 3 API, with a trailing slash. Configurations of many years name `/v2.0` or no version at all; the path
/// before the version (`/identity` in DevStack, `/keystone` behind proxies) is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthUrl(Url);

impl AuthUrl {
    /// # Errors
    /// [`ConfigError::AuthUrl`] unless it is an absolute http or https URL without user, password, query and fragment.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        let text = text.trim();
        let refuse = |reason| ConfigError::AuthUrl {
            text: without_user_info(text),
            reason,
        };
        let mut url = Url::parse(text).map_err(|_| refuse("is not an absolute URL"))?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
            return Err(refuse("is not an http or https URL with a host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(refuse("must not carry a user or password"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("must not have a query or fragment"));
        }
        url.set_path(&with_version(url.path(), "v3"));
        Ok(Self(url))
    }

    /// The URL, ending in `/v3/`.
    #[must_use]
    pub fn as_url(&self) -> &Url {
        &self.0
    }
}

/// The path with its version segment replaced by (or, without one, followed by) `version`, and a trailing slash.
pub(crate) fn with_version(path: &str, version: &str) -> String {
    let mut segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    if segments.last().is_some_and(|last| is_version(last)) {
        segments.pop();
    }
    segments.push(version);
    format!("/{}/", segments.join("/"))
}

fn is_version(segment: &str) -> bool {
    segment.strip_prefix('v').is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_digit()) && rest.chars().all(|c| c.is_ascii_digit() || c == '.')
    })
}

/// For error messages: a URL that cannot be parsed may still hold a password.
fn without_user_info(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}://…{}", &text[..scheme], &text[at..]),
        (None, Some(at)) => format!("…{}", &text[at..]),
        _ => text.to_owned(),
    }
}

impl FromStr for AuthUrl {
    type Err = ConfigError;
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        Self::parse(text)
    }
}

impl fmt::Display for AuthUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for AuthUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_in_v3_whatever_was_configured() {
        for (given, expected) in [
            ("http://10.0.0.1:5000", "http://10.0.0.1:5000/v3/"),
            ("http://10.0.0.1:5000/", "http://10.0.0.1:5000/v3/"),
            ("http://10.0.0.1:5000/v2.0", "http://10.0.0.1:5000/v3/"),
            ("http://10.0.0.1:5000/v2.0/", "http://10.0.0.1:5000/v3/"),
            ("https://cloud.example.org/v3", "https://cloud.example.org/v3/"),
            (
                "https://cloud.example.org/identity",
                "https://cloud.example.org/identity/v3/",
            ),
            (
                "https://cloud.example.org/identity/v2.0",
                "https://cloud.example.org/identity/v3/",
            ),
            (
                "https://cloud.example.org/identity/v3//",
                "https://cloud.example.org/identity/v3/",
            ),
            ("https://cloud.example.org/vault", "https://cloud.example.org/vault/v3/"),
            ("  https://[2001:db8::1]:5000/v3 ", "https://[2001:db8::1]:5000/v3/"),
        ] {
            assert_eq!(AuthUrl::parse(given).unwrap().as_url().as_str(), expected, "{given}");
        }
    }

    proptest::proptest! {
        #[test]
        fn is_stable_and_keeps_the_prefix(prefix in "(/[a-z]{1,8}){0,3}", version in "(/v2\\.0|/v3|/v3\\.14)?", slash in "/?") {
            let url = AuthUrl::parse(&format!("http://keystone:5000{prefix}{version}{slash}")).unwrap();
            proptest::prop_assert_eq!(url.as_url().path(), format!("{prefix}/v3/"));
            proptest::prop_assert_eq!(AuthUrl::parse(url.as_url().as_str()).unwrap(), url);
        }
    }

    #[test]
    fn refuses_what_is_no_keystone_url_without_showing_a_password() {
        for text in [
            "",
            "keystone:5000",
            "ftp://keystone/v3",
            "http://",
            "http://u:hunter2@keystone/v3",
            "http://keystone/v3?token=1",
            "http://keystone/#x",
            "u:hunter2@keystone",
        ] {
            let error = AuthUrl::parse(text).unwrap_err().to_string();
            assert!(
                error.contains("give Keystone's URL") && !error.contains("hunter2"),
                "{text}: {error}"
            );
        }
    }
}
