//! What must be true of OpenStack before anything is made in it, looked at again and again until it is.

use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use stackube_api::address::ReservedRange;
use stackube_openstack::id::{DomainId, NetworkId, ProjectId, UserId};
use stackube_openstack::network::{Agent, SubnetFilter};
use stackube_openstack::{Cloud, Error, Optional, Session};
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info, warn};

use crate::config::Config;
use crate::serve::Readiness;
use crate::tenant::{MEMBER, Unserved};

/// Between two looks while OpenStack does not answer.
const AWAY: Duration = Duration::from_secs(5);
/// Between two looks while a person has to change something. Long enough for Keystone not to lock the service user out.
const WRONG: Duration = Duration::from_secs(30);

/// How often Tenants are told why they wait.
const TELL: Duration = Duration::from_secs(2);

/// What was found out.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// The service user.
    pub(crate) user: UserId,
    /// Its own project.
    pub(crate) project: ProjectId,
    /// Domain of tenants' projects and users.
    pub(crate) tenant_domain: DomainId,
    /// Ranges of the external network: a tenant's router could not tell them from its own.
    pub(crate) external_ranges: Vec<ReservedRange>,
}

/// Why the controller cannot work with this OpenStack.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    #[error("OpenStack cannot be used")]
    OpenStack(#[from] Error),
    #[error(
        "the service user is not an administrator: it has the roles [{roles}] in its own project (tenant-name), but needs admin there"
    )]
    NotAdmin { roles: String },
    #[error("Keystone has no role member: run `keystone-manage bootstrap`, which makes it")]
    NoMemberRole,
    #[error("Keystone has no domain with the name or ID {0:?}: correct tenant-domain")]
    NoDomain(String),
    #[error("Neutron has no network {0}: correct ext-net-id (`openstack network list --external` shows what there is)")]
    NoExternalNetwork(NetworkId),
    #[error("the network {0} is not external (router:external is false): correct ext-net-id")]
    NotExternal(NetworkId),
    #[error("the external network {0} has no IPv4 subnet, so routers get no address in it: make one")]
    NoExternalSubnet(NetworkId),
    #[error("Neutron runs {0}, not OVN: Stackube needs the ML2 mechanism driver ovn")]
    OtherPlugin(String),
    #[error("Neutron knows no OVN chassis that is alive: check ovn-controller on the nodes")]
    NoChassis,
}

impl Problem {
    fn pause(&self) -> Duration {
        match self {
            Self::OpenStack(error) if error.is_transient() => AWAY,
            Self::NoChassis => AWAY,
            _ => WRONG,
        }
    }

    /// What is wrong, with its cause.
    pub(crate) fn sentence(&self) -> String {
        use std::error::Error as _;
        let cause = self.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("{self}{cause}")
    }
}

/// Waits until everything is as it must be; the reason why it is not is in the log, in `/readyz` and in the Tenants that wait.
pub(crate) async fn wait(cloud: &Cloud, config: &Config, readiness: &Readiness, unserved: &Unserved) -> Facts {
    loop {
        match check(cloud, config).await {
            Ok(facts) => {
                info!(user = %facts.user, project = %facts.project, domain = %facts.tenant_domain, "OpenStack is as it must be");
                return facts;
            }
            Err(problem) => {
                let (sentence, pause) = (problem.sentence(), problem.pause());
                if pause == AWAY {
                    warn!("{sentence}; looking again in {pause:?}");
                } else {
                    error!("{sentence}; looking again in {pause:?}");
                }
                readiness.blocked(sentence.clone());
                let again = Instant::now() + pause;
                // Also to Tenants that are made meanwhile.
                while Instant::now() < again {
                    let _ = timeout(AWAY, unserved.tell(&sentence)).await;
                    sleep(TELL.min(again.duration_since(Instant::now()))).await;
                }
            }
        }
    }
}

async fn check(cloud: &Cloud, config: &Config) -> Result<Facts, Problem> {
    let session = cloud.service();
    let who = session.token_info().await?;
    if !who.roles.iter().any(|(_, name)| name == "admin") {
        let roles: Vec<_> = who.roles.iter().map(|(_, name)| name.as_str()).collect();
        return Err(Problem::NotAdmin {
            roles: roles.join(", "),
        });
    }
    if session.find_role(MEMBER).await?.is_none() {
        return Err(Problem::NoMemberRole);
    }
    let tenant_domain = domain(&session, &config.tenant_domain).await?;
    session.require_extensions().await?;
    plugin(&session.list_agents().await?)?;
    let external_ranges = external(&session, &config.external_network).await?;
    Ok(Facts {
        user: who.user_id,
        project: who.project_id,
        tenant_domain,
        external_ranges,
    })
}

async fn domain(session: &Session, wanted: &str) -> Result<DomainId, Problem> {
    if let Some(domain) = session.find_domain(wanted).await? {
        return Ok(domain.id);
    }
    let unknown = || Problem::NoDomain(wanted.to_owned());
    let id = DomainId::new(wanted).map_err(|_| unknown())?;
    session
        .get_domain(&id)
        .await
        .optional()?
        .map(|domain| domain.id)
        .ok_or_else(unknown)
}

/// With OVN, Neutron's agents are the chassis. Agents of another layer 2 plugin mean that pods' ports would be bound by it.
fn plugin(agents: &[Agent]) -> Result<(), Problem> {
    if agents.iter().any(|agent| agent.is_ovn_chassis() && agent.alive) {
        return Ok(());
    }
    let other = agents.iter().find(|agent| {
        [
            "Open vSwitch agent",
            "Linux bridge agent",
            "NIC Switch agent",
            "Macvtap agent",
        ]
        .contains(&agent.agent_type.as_str())
    });
    match other {
        Some(agent) => Err(Problem::OtherPlugin(agent.agent_type.clone())),
        None => Err(Problem::NoChassis),
    }
}

/// The ranges of the external network.
///
/// # Errors
/// It is none, or has none; those of Neutron.
pub(crate) async fn external(session: &Session, id: &NetworkId) -> Result<Vec<ReservedRange>, Problem> {
    let network = session
        .get_network(id)
        .await
        .optional()?
        .ok_or_else(|| Problem::NoExternalNetwork(id.clone()))?;
    if !network.external {
        return Err(Problem::NotExternal(id.clone()));
    }
    let filter = SubnetFilter {
        network_id: Some(id.clone()),
        ..SubnetFilter::default()
    };
    let subnets = session.list_subnets_all_projects(&filter).await?;
    let ranges: Vec<_> = subnets
        .iter()
        .filter(|subnet| matches!(subnet.gateway_ip, None | Some(IpAddr::V4(_))))
        .filter_map(|subnet| match subnet.cidr {
            IpNet::V4(range) => Some(ReservedRange::new(range, "the external network")),
            IpNet::V6(_) => None,
        })
        .collect();
    if ranges.is_empty() {
        Err(Problem::NoExternalSubnet(id.clone()))
    } else {
        Ok(ranges)
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn agent(kind: &str, alive: bool) -> Agent {
        serde_json::from_value(json!({
            "id": "a1", "agent_type": kind, "host": "h", "alive": alive, "admin_state_up": true,
        }))
        .unwrap()
    }

    #[rstest]
    #[case(&[("OVN Controller agent", true)], "")]
    #[case(&[("OVN Controller Gateway agent", true), ("DHCP agent", true)], "")]
    #[case(&[("Open vSwitch agent", true), ("L3 agent", true)], "Neutron runs Open vSwitch agent, not OVN")]
    #[case(&[("OVN Controller agent", false)], "no OVN chassis that is alive")]
    #[case(&[], "no OVN chassis that is alive")]
    fn another_plugin_than_ovn_is_refused(#[case] agents: &[(&str, bool)], #[case] message: &str) {
        let agents: Vec<_> = agents.iter().map(|(kind, alive)| agent(kind, *alive)).collect();
        let problem = plugin(&agents)
            .err()
            .map(|problem| problem.sentence())
            .unwrap_or_default();
        assert!(
            problem.contains(message) && problem.is_empty() == message.is_empty(),
            "{problem}"
        );
    }
}
