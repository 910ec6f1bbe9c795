use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::id::{ProjectId, SecurityGroupId, SecurityGroupRuleId, none_if_empty};
use crate::request::Payload;
use crate::resource::{Owned, Resource};
use crate::service::Service;
use crate::session::Session;

/// As seen from the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// To the port.
    Ingress,
    /// From the port.
    Egress,
}

/// The IP version of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EtherType {
    /// IPv4.
    IPv4,
    /// IPv6.
    IPv6,
}

/// Something that a security group lets through.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SecurityGroupRule {
    /// Its ID.
    pub id: SecurityGroupRuleId,
    /// The owner.
    #[serde(default, deserialize_with = "none_if_empty")]
    pub project_id: Option<ProjectId>,
    /// The group it is part of.
    pub security_group_id: SecurityGroupId,
    /// To or from the port.
    pub direction: Direction,
    /// IPv4 or IPv6.
    pub ethertype: EtherType,
    /// `tcp`, `udp`, `icmp`, a number, …; `None` for all.
    #[serde(default)]
    pub protocol: Option<String>,
    /// The lowest port (or ICMP type); `None` for all.
    #[serde(default)]
    pub port_range_min: Option<u16>,
    /// The highest port (or ICMP code); `None` for all.
    #[serde(default)]
    pub port_range_max: Option<u16>,
    /// The other side's addresses; `None` for all.
    #[serde(default)]
    pub remote_ip_prefix: Option<IpNet>,
    /// The group that the other side's port must have; `None` for all.
    #[serde(default, deserialize_with = "none_if_empty")]
    pub remote_group_id: Option<SecurityGroupId>,
    /// Free text.
    #[serde(default)]
    pub description: Option<String>,
}

/// A rule to be made.
#[derive(Debug, Clone, Serialize)]
pub struct CreateSecurityGroupRule {
    /// The owner, the same as the group's.
    pub project_id: ProjectId,
    /// The group.
    pub security_group_id: SecurityGroupId,
    /// To or from the port.
    pub direction: Direction,
    /// IPv4 or IPv6.
    pub ethertype: EtherType,
    /// `None` for all protocols.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The lowest port; needs a protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_range_min: Option<u16>,
    /// The highest port; needs a protocol.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_range_max: Option<u16>,
    /// The other side's addresses; not together with `remote_group_id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_ip_prefix: Option<IpNet>,
    /// The group that the other side's port must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_group_id: Option<SecurityGroupId>,
    /// Free text.
    pub description: String,
}

impl CreateSecurityGroupRule {
    /// A rule for all protocols, ports and peers of IPv4.
    #[must_use]
    pub fn any_ipv4(project_id: ProjectId, security_group_id: SecurityGroupId, direction: Direction) -> Self {
        Self {
            project_id,
            security_group_id,
            direction,
            ethertype: EtherType::IPv4,
            protocol: None,
            port_range_min: None,
            port_range_max: None,
            remote_ip_prefix: None,
            remote_group_id: None,
            description: String::new(),
        }
    }
}

impl Payload for CreateSecurityGroupRule {}

impl Resource for SecurityGroupRule {
    const SERVICE: Service = Service::Network;
    const WHAT: &'static str = "security group rule";
    const COLLECTION: &'static str = "security-group-rules";
    const MEMBER: &'static str = "security-group-rules/{}";
    const KEY: &'static str = "security_group_rule";
    const KEYS: &'static str = "security_group_rules";

    fn id(&self) -> &str {
        self.id.as_str()
    }
}

impl Owned for SecurityGroupRule {
    /// Neutron answers a list by project with a new `default` group if the project has none, even if the project is gone.
    const LISTED_BY_PROJECT: bool = false;

    fn project(&self) -> Option<&ProjectId> {
        self.project_id.as_ref()
    }
}

impl Session {
    /// # Errors
    /// [`Error::Conflict`] (`SecurityGroupRuleExists`) if the group has it already, [`Error::QuotaExceeded`]; else as for any
    /// request.
    pub async fn create_security_group_rule(&self, new: &CreateSecurityGroupRule) -> Result<SecurityGroupRule, Error> {
        self.create(new).await
    }

    /// The rules that the project owns, of one group if given.
    ///
    /// # Errors
    /// As for any request.
    pub async fn list_security_group_rules(
        &self,
        project: &ProjectId,
        group: Option<&SecurityGroupId>,
    ) -> Result<Vec<SecurityGroupRule>, Error> {
        self.list_owned(
            project,
            group
                .map(|id| ("security_group_id", id.to_string()))
                .into_iter()
                .collect(),
        )
        .await
    }

    /// Absence is success.
    ///
    /// # Errors
    /// As for any request.
    pub async fn delete_security_group_rule(&self, id: &SecurityGroupRuleId) -> Result<(), Error> {
        self.delete::<SecurityGroupRule>(id.as_str()).await
    }
}
