//! Requests as values.
//!
//! The shape is that of `openstack_sdk_core`: a request is a [`RestEndpoint`], which names its method, path, query and body
//! and knows nothing of sessions. [`Request`] adds what that trait has no place for: the route (for metrics), whether it may
//! be repeated, what it is about (for errors) and which strings in it are secret.

use std::borrow::Cow;
use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use openstack_sdk_core::api::{BodyError, QueryParams, RestEndpoint};
use openstack_sdk_core::types::ServiceType;
use secrecy::SecretString;
use serde::Serialize;

use crate::retry::Repeat;
use crate::service::Service;

/// One request of one service, before it is given a token and an endpoint.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) service: Service,
    /// The path with `{}` in the place of identifiers.
    pub(crate) route: &'static str,
    pub(crate) repeat: Repeat,
    pub(crate) about: About,
    method: Method,
    path: String,
    query: Vec<(&'static str, String)>,
    headers: HeaderMap,
    body: Option<Body>,
}

/// What a request is about, for [`crate::Error::NotFound`].
#[derive(Debug, Clone)]
pub(crate) struct About {
    pub(crate) what: &'static str,
    pub(crate) id: String,
}

/// A body that may hold secrets.
struct Body {
    /// Serialized, or why it could not be.
    json: Result<Vec<u8>, String>,
    secrets: Vec<SecretString>,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Body(…)")
    }
}

/// What can be sent as a body.
pub(crate) trait Payload: Serialize {
    /// Strings in it that must not appear in an error, although the service may quote them in a refusal.
    fn secrets(&self) -> Vec<SecretString> {
        Vec::new()
    }
}

impl Request {
    /// `route` is relative to the endpoint's version; each `{}` in it is replaced by the next of `ids`, which must be
    /// checked identifiers (they go into the path as they are).
    pub(crate) fn new(service: Service, method: Method, route: &'static str, ids: &[&str]) -> Self {
        let repeat = if method == Method::POST {
            Repeat::OnlyUnexecuted
        } else {
            Repeat::Safe
        };
        let mut path = String::with_capacity(route.len() + 64);
        let mut next = ids.iter();
        for (index, piece) in route.split("{}").enumerate() {
            if index > 0 {
                path.push_str(next.next().copied().unwrap_or_default());
            }
            path.push_str(piece);
        }
        let about = About {
            what: "resource",
            id: ids.last().copied().unwrap_or(route).to_owned(),
        };
        Self {
            service,
            route,
            repeat,
            about,
            method,
            path,
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: None,
        }
    }

    pub(crate) fn about(mut self, what: &'static str, id: impl Into<String>) -> Self {
        self.about = About { what, id: id.into() };
        self
    }

    pub(crate) fn repeat(mut self, repeat: Repeat) -> Self {
        self.repeat = repeat;
        self
    }

    pub(crate) fn query(mut self, query: impl IntoIterator<Item = (&'static str, String)>) -> Self {
        self.query.extend(query);
        self
    }

    pub(crate) fn header(mut self, name: HeaderName, value: Option<HeaderValue>) -> Self {
        if let Some(value) = value {
            self.headers.insert(name, value);
        }
        self
    }

    /// Sets the body to `{"<key>": <payload>}`.
    pub(crate) fn keyed(self, key: &str, payload: &impl Payload) -> Self {
        let secrets = payload.secrets();
        self.with_body(&std::collections::BTreeMap::from([(key, payload)]), secrets)
    }

    /// Sets the body to `json`.
    pub(crate) fn json(self, json: &serde_json::Value) -> Self {
        self.with_body(json, Vec::new())
    }

    /// Sets the body to `json`, which holds `secrets`.
    pub(crate) fn secret_json(self, json: &serde_json::Value, secrets: Vec<SecretString>) -> Self {
        self.with_body(json, secrets)
    }

    fn with_body(mut self, body: &impl Serialize, secrets: Vec<SecretString>) -> Self {
        self.body = Some(Body {
            json: serde_json::to_vec(body).map_err(|error| error.to_string()),
            secrets,
        });
        self
    }

    /// The strings in the body that must not appear in an error.
    pub(crate) fn secrets(&self) -> &[SecretString] {
        self.body.as_ref().map_or(&[], |body| &body.secrets)
    }
}

impl RestEndpoint for Request {
    fn method(&self) -> Method {
        self.method.clone()
    }

    fn endpoint(&self) -> Cow<'static, str> {
        Cow::Owned(self.path.clone())
    }

    fn service_type(&self) -> ServiceType {
        self.service.sdk_type()
    }

    fn parameters(&self) -> QueryParams<'_> {
        let mut parameters = QueryParams::default();
        for (name, value) in &self.query {
            parameters.push(*name, value.as_str());
        }
        parameters
    }

    fn body(&self) -> Result<Option<(&'static str, Vec<u8>)>, BodyError> {
        match &self.body {
            None => Ok(None),
            Some(Body { json: Ok(json), .. }) => Ok(Some(("application/json", json.clone()))),
            Some(Body { json: Err(reason), .. }) => Err(BodyError::Serialize {
                source: serde::ser::Error::custom(reason),
            }),
        }
    }

    fn request_headers(&self) -> Option<&HeaderMap> {
        Some(&self.headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_identifiers_into_the_route() {
        let route = "projects/{}/users/{}/roles/{}";
        let request = Request::new(Service::Identity, Method::PUT, route, &["p", "u", "r"]);
        assert_eq!(request.endpoint(), "projects/p/users/u/roles/r");
        assert_eq!((request.route, request.about.id.as_str()), (route, "r"));
        assert_eq!(
            Request::new(Service::Network, Method::GET, "ports", &[]).endpoint(),
            "ports"
        );
    }

    #[test]
    fn only_a_post_is_not_safe_to_repeat() {
        for (method, repeat) in [
            (Method::GET, Repeat::Safe),
            (Method::HEAD, Repeat::Safe),
            (Method::PUT, Repeat::Safe),
            (Method::PATCH, Repeat::Safe),
            (Method::DELETE, Repeat::Safe),
            (Method::POST, Repeat::OnlyUnexecuted),
        ] {
            assert_eq!(Request::new(Service::Network, method, "x", &[]).repeat, repeat);
        }
    }

    #[test]
    fn debug_shows_no_body() {
        let json = serde_json::json!({"password": "hunter2"});
        let request = Request::new(Service::Identity, Method::POST, "users", &[]).json(&json);
        assert!(!format!("{request:?}").contains("hunter2"));
    }
}
