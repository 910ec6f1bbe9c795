//! The Kubernetes API of Stackube: group `stackube.kubernetes.io`, version `v1`.
//!
//! This crate owns the custom resources ([`Tenant`], [`Network`], [`Port`]), the names, labels, finalizers and
//! OpenStack tags that all parts agree on ([`names`]), condition types and reasons ([`conditions`]), and the rules
//! about addresses ([`address`]). Everything here is pure.
//!
//! It may not touch: any client (Kubernetes or OpenStack), the clock, the file system, an async runtime.

#![expect(unreachable_pub, reason = "KubeSchema derives a public struct inside a function")]

pub mod address;
pub mod conditions;
pub mod names;
pub mod network;
pub mod port;
mod secret;
pub mod tenant;

pub use network::{Network, NetworkSpec, NetworkState, NetworkStatus};
pub use port::{Port, PortHolder, PortSpec, PortStatus};
pub use secret::PlainPassword;
pub use tenant::{
    Member, MemberRole, NetworkQuota, OpenStackAccess, PodSecurity, ResourceUsage, SecretReference, Tenant,
    TenantNetwork, TenantQuota, TenantSpec, TenantState, TenantStatus,
};

/// API group of every Stackube resource.
pub const GROUP: &str = "stackube.kubernetes.io";
/// The only served version.
pub const VERSION: &str = "v1";
