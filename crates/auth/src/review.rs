//! TokenReview of authentication.k8s.io/v1, as far as a webhook needs it
//! (<https://kubernetes.io/docs/reference/access-authn-authz/authentication/#webhook-token-authentication>).

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

/// The only version that is spoken; the API server is told so by `--authentication-token-webhook-version=v1`.
pub(crate) const API_VERSION: &str = "authentication.k8s.io/v1";
const KIND: &str = "TokenReview";

/// What the API server asks.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Question {
    api_version: String,
    kind: String,
    #[serde(default)]
    spec: Spec,
}

#[derive(Debug, Default, Deserialize)]
struct Spec {
    #[serde(default)]
    token: SecretString,
}

/// A body that is no TokenReview of this version.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Malformed {
    /// Not JSON, or not a TokenReview. Why is not said: the text holds a token.
    #[error("the body is no TokenReview in JSON")]
    Json,
    /// Another kind or version.
    #[error(
        "expected kind TokenReview of authentication.k8s.io/v1: start the API server with --authentication-token-webhook-version=v1"
    )]
    Version,
}

impl Question {
    /// Reads a request's body.
    pub(crate) fn token(body: &[u8]) -> Result<SecretString, Malformed> {
        let question: Self = serde_json::from_slice(body).map_err(|_| Malformed::Json)?;
        if question.api_version != API_VERSION || question.kind != KIND {
            return Err(Malformed::Version);
        }
        Ok(question.spec.token)
    }
}

/// What is answered.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    api_version: &'static str,
    kind: &'static str,
    status: Status,
}

#[derive(Debug, Serialize)]
struct Status {
    authenticated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Who somebody is for Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct User {
    pub(crate) username: String,
    pub(crate) uid: String,
    pub(crate) groups: Vec<String>,
    pub(crate) extra: BTreeMap<&'static str, Vec<String>>,
}

impl Answer {
    /// The token is this user's.
    pub(crate) fn user(user: User) -> Self {
        Self::new(true, Some(user), None)
    }

    /// Not our token, or a refusal that lasts: the API server remembers it for a while.
    pub(crate) fn no() -> Self {
        Self::new(false, None, None)
    }

    /// A refusal that may be over at any time: the API server logs the reason and asks again next time.
    pub(crate) fn not_now(reason: impl Into<String>) -> Self {
        Self::new(false, None, Some(reason.into()))
    }

    fn new(authenticated: bool, user: Option<User>, error: Option<String>) -> Self {
        let status = Status {
            authenticated,
            user,
            error,
        };
        Self {
            api_version: API_VERSION,
            kind: KIND,
            status,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use secrecy::ExposeSecret;
    use serde_json::json;

    use super::*;

    fn token(json: &serde_json::Value) -> Result<String, Malformed> {
        Question::token(json.to_string().as_bytes()).map(|token| token.expose_secret().to_owned())
    }

    #[test]
    fn reads_what_the_api_server_sends() {
        let question = json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "metadata": {"creationTimestamp": null},
            "spec": {"token": "t", "audiences": ["https://kubernetes.default.svc"]}, "status": {"user": {}}});
        assert_eq!(token(&question).unwrap(), "t");
        let empty = json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {}});
        assert_eq!(token(&empty).unwrap(), "");
    }

    #[test]
    fn refuses_other_versions_and_nonsense_without_quoting_it() {
        let old = json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1beta1", "spec": {"token": "t"}});
        assert!(matches!(token(&old), Err(Malformed::Version)));
        let wrong =
            json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {"token": ["hunter2"]}});
        let error = token(&wrong).unwrap_err();
        assert!(matches!(error, Malformed::Json) && !format!("{error} {error:?}").contains("hunter2"));
    }

    proptest! {
        #[test]
        fn any_body_has_an_answer(body: Vec<u8>) {
            let _ = Question::token(&body);
        }

        #[test]
        fn any_mutation_has_an_answer(at in 0_usize..100, byte: u8) {
            let mut body = json!({"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {"token": "gAAAAA"}})
                .to_string()
                .into_bytes();
            let at = at % body.len();
            body[at] = byte;
            let _ = Question::token(&body);
        }
    }
}
