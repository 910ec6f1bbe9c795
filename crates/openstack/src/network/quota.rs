use http::Method;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::id::ProjectId;
use crate::request::{Payload, Request};
use crate::resource::absent_is_done;
use crate::service::Service;
use crate::session::Session;

/// How many objects of each kind a project may have; -1 is without limit.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Quota {
    /// Networks.
    pub network: i32,
    /// Subnets.
    pub subnet: i32,
    /// Ports.
    pub port: i32,
    /// Routers.
    pub router: i32,
    /// Floating IPs.
    pub floatingip: i32,
    /// Security groups.
    pub security_group: i32,
    /// Rules of all security groups.
    pub security_group_rule: i32,
    /// RBAC policies.
    pub rbac_policy: i32,
}

/// What a project has of each kind of object, beside what it may have.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct QuotaUsage {
    /// Ports.
    pub port: Used,
    /// Floating IPs.
    pub floatingip: Used,
    /// Security groups.
    pub security_group: Used,
    /// Rules of all security groups.
    pub security_group_rule: Used,
}

/// One kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Used {
    /// How many there are.
    pub used: i64,
    /// How many there may be; -1 is without limit.
    pub limit: i64,
}

/// New limits; `None` leaves as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct QuotaChange {
    /// Networks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<i32>,
    /// Subnets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet: Option<i32>,
    /// Ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
    /// Routers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub router: Option<i32>,
    /// Floating IPs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub floatingip: Option<i32>,
    /// Security groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_group: Option<i32>,
    /// Rules of all security groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_group_rule: Option<i32>,
    /// RBAC policies: 0 keeps a project from sharing anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rbac_policy: Option<i32>,
}

impl Payload for QuotaChange {}

impl Session {
    /// The limits that hold for a project.
    ///
    /// # Errors
    /// As for any request; only administrators may ask about other projects.
    pub async fn get_quota(&self, project: &ProjectId) -> Result<Quota, Error> {
        self.send(quota(Method::GET, "quotas/{}", project))
            .await?
            .decode_key("quota")
    }

    /// What a project uses of its limits (extension `quota_details`).
    ///
    /// # Errors
    /// As for any request; [`Error::NotFound`] from a Neutron without the extension.
    pub async fn get_quota_usage(&self, project: &ProjectId) -> Result<QuotaUsage, Error> {
        self.send(quota(Method::GET, "quotas/{}/details", project))
            .await?
            .decode_key("quota")
    }

    /// The limits that would hold for the project if it had none of its own.
    ///
    /// # Errors
    /// As for any request.
    pub async fn get_default_quota(&self, project: &ProjectId) -> Result<Quota, Error> {
        self.send(quota(Method::GET, "quotas/{}/default", project))
            .await?
            .decode_key("quota")
    }

    /// Sets limits. Neutron keeps them until they are deleted, whether or not the project exists.
    ///
    /// # Errors
    /// As for any request; only administrators may.
    pub async fn set_quota(&self, project: &ProjectId, change: &QuotaChange) -> Result<Quota, Error> {
        self.send(quota(Method::PUT, "quotas/{}", project).keyed("quota", change))
            .await?
            .decode_key("quota")
    }

    /// Goes back to the default limits; absence of own ones is success.
    ///
    /// # Errors
    /// As for any request; only administrators may.
    pub async fn delete_quota(&self, project: &ProjectId) -> Result<(), Error> {
        absent_is_done(self.send(quota(Method::DELETE, "quotas/{}", project)).await.map(drop))
    }
}

fn quota(method: Method, route: &'static str, project: &ProjectId) -> Request {
    Request::new(Service::Network, method, route, &[project.as_str()]).about("quota of project", project.as_str())
}
