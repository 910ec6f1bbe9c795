//! What the operator configures: the ConfigMap `stackube-config` and the Secret with OpenStack's credentials, both mounted as
//! directories with one file for each key. docs/operator/configuration.md describes the keys.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use stackube_api::NetworkQuota;
use stackube_api::address::{AddressRules, Subnet};
use stackube_openstack::CloudConfig;
use stackube_openstack::id::NetworkId;

mod admission;
mod files;
mod keys;
mod parse;
mod quota;

use files::ReadError;
#[cfg(test)]
pub(crate) use quota::built_in as built_in_defaults;

/// The whole configuration, checked as far as that is possible without asking anybody.
#[derive(Debug, Clone)]
pub struct Config {
    /// OpenStack's address and the service user.
    pub cloud: CloudConfig,
    /// Neutron network that tenants' routers have as external gateway.
    pub external_network: NetworkId,
    /// Keystone domain of tenants' projects and users, by name or ID.
    pub tenant_domain: String,
    /// Address of the API server; `None` uses what kubelet puts into the pod's environment.
    pub api_server: Option<ApiServer>,
    /// Range of tenants that name none.
    pub user_subnet: Subnet,
    /// Range of the system network.
    pub system_subnet: Subnet,
    /// What ranges tenants may have. The ranges of services and of the external network are added when they are known.
    pub address_rules: AddressRules,
    /// How often everything in OpenStack is compared with what was made.
    pub drift_interval: Duration,
    /// Ports made ahead of need for each network on each node where it has pods, 0 to 16. Default: 2, which covers a pod
    /// that is replaced (old and new side by side) and costs a tenant little of its quota.
    pub pool_size: u16,
    /// How often it is looked for things in OpenStack that belong to nothing.
    pub sweep_interval: Duration,
    /// Whether such things are deleted, instead of only reported.
    pub sweep_delete: bool,
    /// For how long they must have been seen before they are deleted.
    pub sweep_grace: Duration,
    /// Quotas of tenants that name none.
    pub defaults: Defaults,
    /// What admission policies are told, beside addresses.
    pub admission: Admission,
}

/// What tenants may name in their objects, as far as it is the operator's choice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admission {
    /// What pods of tenants run on that name no RuntimeClass.
    pub default_runtime: DefaultRuntime,
    /// Names that no Tenant may have, beside those of Kubernetes and Stackube.
    pub reserved_names: Vec<String>,
    /// PriorityClasses that tenants' pods may have.
    pub priority_classes: Vec<String>,
    /// Keys of taints that tenants' pods may tolerate, beside those by which Kubernetes itself marks nodes.
    pub toleration_keys: Vec<String>,
    /// Registries (`host` or `host:port`) that tenants' images may come from; empty for any with a full name.
    pub image_registries: Vec<String>,
    /// Address of the cluster's DNS, which no tenant's Service may have; `None` is the tenth of each range of Services, as kubeadm
    /// has it.
    pub cluster_dns: Option<Ipv4Addr>,
}

/// `default-runtime-class`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum DefaultRuntime {
    /// Not set: the sandbox, and no new pods where it is missing.
    #[default]
    Sandbox,
    /// `none`: the nodes' own default, whatever stands between pods and nodes there.
    OfNodes,
    /// This RuntimeClass.
    Class(String),
}

/// Where the API server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiServer {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

/// Quotas and limits that a tenant gets without asking.
#[derive(Debug, Clone, PartialEq)]
pub struct Defaults {
    /// `hard` of the ResourceQuota.
    pub kubernetes: BTreeMap<String, Quantity>,
    /// Neutron quota of the project.
    pub network: NetworkQuota,
    /// Requests of a container that names none (LimitRange), so that a plain `kubectl run` fits under the quota.
    pub container_requests: BTreeMap<String, Quantity>,
    /// Limits of a container that names none.
    pub container_limits: BTreeMap<String, Quantity>,
}

/// A configuration that cannot be used: every problem at once.
#[derive(Debug, thiserror::Error)]
#[error("the configuration cannot be used:\n  - {}", problems.join("\n  - "))]
pub struct ConfigProblems {
    /// One sentence for each problem, with the key it is about.
    pub problems: Vec<String>,
}

/// A configuration and what is odd about it.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Keys that have no effect, with the reason.
    pub warnings: Vec<String>,
}

impl Config {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// [`ConfigProblems`] with every problem found, not only the first.
    pub fn load(config_dir: &Path, credentials_dir: &Path) -> Result<Loaded, ConfigProblems> {
        let mut problems = Vec::new();
        let mut read = |dir| {
            files::read(dir).unwrap_or_else(|error: ReadError| {
                problems.push(error.to_string());
                BTreeMap::new()
            })
        };
        let (settings, credentials) = (read(config_dir), read(credentials_dir));
        if !problems.is_empty() {
            return Err(ConfigProblems { problems });
        }
        parse::parse(&settings, &credentials)
    }
}

#[cfg(test)]
pub(crate) mod tests;
