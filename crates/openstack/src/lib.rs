//! The OpenStack client of Stackube: Keystone and Neutron, for one service user and any number of tenants' projects.
//!
//! # What this crate owns
//!
//! Configuration ([`CloudConfig`]), tokens ([`Cloud`]), the calls ([`Session`]), their types ([`identity`], [`network`]), and
//! what can go wrong ([`Error`]). It decides when a request is repeated, how many are under way at once, and what is logged.
//!
//! # What it may not touch
//!
//! It knows nothing of Kubernetes and holds no policy: what is created for whom, what a drifted object should be, which roles
//! may be granted, is the controller's. It keeps no state but tokens, on disk none at all.
//!
//! # Whose token
//!
//! [`Cloud::service`] is the service user in its own project, where it is admin: for Keystone, quotas, and ports that are bound
//! to hosts. [`Cloud::project`] is the same user in a tenant's project, with only the role it was given there: for what the
//! tenant owns, and for every look-up of an ID that a tenant supplied, so that an ID of somebody else's is just "not found".
//!
//! [`TokenVerifier`] has no token of its own: it asks Keystone about somebody else's, on the strength of that one alone.
//!
//! # What it shares with `openstack_sdk_core`
//!
//! Requests are its `RestEndpoint`s, URLs are built by its `ServiceEndpoint`, `clouds.yaml` is read by its `ConfigFile`. Three
//! parts of it do not fit and have small ones of the same shape here:
//!
//! * `AsyncClient` is handed an `http::request::Builder` and bytes: it cannot know what may be repeated, what is secret in the
//!   body, or the route for metrics; and `ApiError` prints bodies, forgets `Retry-After` and tells quota from conflict only by
//!   text. `Session::send` takes the place of its `QueryAsync`.
//! * `Catalog` falls back to another interface when the configured one is missing and holds the table of all service types per
//!   copy, of which there would be one per tenant.
//! * The session and its authentication cache write tokens to disk and have one connection pool each.

mod auth;
mod catalog;
mod cloud;
mod config;
mod error;
mod observer;
mod reply;
mod request;
mod resource;
mod retry;
mod service;
mod session;
mod token;
mod transport;
mod verifier;

pub mod id;
pub mod identity;
pub mod network;

pub use auth::TokenInfo;
pub use cloud::Cloud;
pub use config::{
    ApplicationCredentialRef, AuthUrl, CloudConfig, CloudSource, ConfigError, Credentials, DomainRef, Environment,
    Interface, ProjectRef, UserRef,
};
pub use error::{Call, Error, Optional};
pub use observer::{NoObserver, RequestEvent, RequestObserver};
pub use retry::RetryPolicy;
pub use service::Service;
pub use session::{BearerToken, Session};
pub use verifier::{ApplicationCredential, Named, TokenDetails, TokenScope, TokenVerifier, VerifierConfig};
