//! stackube-auth: tells the API server whose a Keystone token is (webhook token authentication, authentication.k8s.io/v1).
//!
//! # What it owns
//!
//! The answer to a TokenReview. A token vouches for itself at Keystone ([`introspection`]), so this process holds no
//! credential of OpenStack; what Keystone says becomes a Kubernetes user by [`policy`], which is pure; [`server`] speaks TLS
//! with the API server on the loopback interface of the same host.
//!
//! # What it may not do
//!
//! Decide what a user may do: that is RBAC's, by the groups that are answered here. Write anything to Kubernetes: it only
//! watches Tenants, to know which projects are tenants'. Send anything to Keystone that is not shaped like a Keystone token,
//! since tokens of service accounts pass by here too.

mod args;
mod certificates;
mod introspection;
mod metrics;
mod policy;
mod review;
mod run;
mod server;
mod tenants;
mod token;

pub use args::Args;
pub use certificates::{CertificateError, CertificateFiles};
pub use introspection::Limits;
pub use metrics::Metrics;
pub use policy::{Operator, Policy};
pub use run::{RunError, run};
pub use server::{Service, serve};
pub use tenants::Tenants;
