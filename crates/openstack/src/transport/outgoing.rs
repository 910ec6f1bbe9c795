//! A request with its endpoint and token, ready to be sent any number of times.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use openstack_sdk_core::api::RestEndpoint;
use openstack_sdk_core::catalog::ServiceEndpoint;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::request_id;
use crate::config::ConfigError;
use crate::error::{Call, Error};
use crate::request::Request;
use crate::service::Service;

pub(super) const AUTH_TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

pub(super) struct Outgoing {
    service: Service,
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Option<Vec<u8>>,
    /// What must not appear in an error.
    pub(super) secrets: Vec<SecretString>,
}

impl Outgoing {
    pub(super) fn new(request: &Request, base: &ServiceEndpoint, token: Option<&SecretString>) -> Result<Self, Error> {
        let unusable = |reason: String| ConfigError::setting("request", reason);
        let mut url = base
            .build_request_url(&request.endpoint())
            .map_err(|error| unusable(error.to_string()))?;
        request.parameters().add_to_url(&mut url);
        let mut headers = request.request_headers().cloned().unwrap_or_default();
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let body = request
            .body()
            .map_err(|error| unusable(error.to_string()))?
            .map(|(mime, body)| {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(mime));
                body
            });
        let mut secrets = request.secrets().to_vec();
        if let Some(token) = token {
            let mut value = HeaderValue::try_from(token.expose_secret())
                .map_err(|_| unusable("the token has characters that no header can carry".to_owned()))?;
            value.set_sensitive(true);
            headers.insert(AUTH_TOKEN, value);
            secrets.push(token.clone());
        }
        Ok(Self {
            service: request.service,
            method: request.method(),
            url,
            headers,
            body,
            secrets,
        })
    }

    pub(super) fn to_http(&self) -> Result<reqwest::Request, reqwest::Error> {
        let mut request = reqwest::Request::new(self.method.clone(), self.url.clone());
        *request.headers_mut() = self.headers.clone();
        *request.body_mut() = self.body.clone().map(reqwest::Body::from);
        Ok(request)
    }

    /// Whether the request can change something.
    pub(super) fn can_write(&self) -> bool {
        ![Method::GET, Method::HEAD].contains(&self.method)
    }

    /// How this request appears in errors and logs: without its query.
    pub(super) fn call(&self, answered: Option<&HeaderMap>) -> Call {
        let mut url = self.url.clone();
        url.set_query(None);
        Call {
            service: self.service,
            method: self.method.clone(),
            url: url.into(),
            request_id: answered.and_then(request_id),
        }
    }
}
