//! What can be done now so that a Network's objects become as wanted. Pure: called again whenever something was done, until
//! there is nothing left to do.

use stackube_api::address::Subnet as Range;
use stackube_openstack::id::{NetworkId, RouterId, SecurityGroupId, SecurityGroupRuleId, SubnetId};
use stackube_openstack::network::{Direction, EtherType, SecurityGroup, SecurityGroupRule, Taggable};

use super::observed::{Observed, v4};

/// What a Network asks for.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// The pods' range and the router's address.
    pub(crate) range: Range,
    /// The external network of the router's gateway.
    pub(crate) external: NetworkId,
    /// Tags that every object of ours carries, so that one list finds them all.
    pub(crate) tags: Vec<String>,
    /// Network, subnet and router are somebody else's: only the security group is ours.
    pub(crate) adopted: bool,
}

/// Something that can be done now, with all that it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    CreateNetwork,
    /// Switch port security and the network itself on again.
    MendNetwork(NetworkId),
    CreateSubnet(NetworkId),
    /// Set the gateway's address, switch DHCP off.
    MendSubnet(SubnetId),
    CreateRouter,
    /// Set the external gateway, switch the router on.
    MendRouter(RouterId),
    /// Give the router a leg in the subnet.
    Connect(RouterId, SubnetId),
    CreateGroup,
    AddRule(SecurityGroupId, Rule),
    DeleteRule(SecurityGroupRuleId),
    /// Put our tags on.
    Tag(Taggable),
}

impl Action {
    /// The kind of object, for metrics and logs.
    pub(crate) fn object(&self) -> &'static str {
        match self {
            Self::CreateNetwork | Self::MendNetwork(_) => "network",
            Self::CreateSubnet(_) | Self::MendSubnet(_) => "subnet",
            Self::CreateRouter | Self::MendRouter(_) => "router",
            Self::Connect(..) => "router_interface",
            Self::CreateGroup => "security_group",
            Self::AddRule(..) | Self::DeleteRule(_) => "security_group_rule",
            Self::Tag(_) => "tags",
        }
    }
}

/// The rules of the pods' security group: everything out, and in only from pods of the same network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// IPv4 to anywhere.
    Egress,
    /// IPv4 from ports of the same group.
    IngressFromGroup,
}

pub(crate) fn plan(wanted: &Wanted, observed: &Observed) -> Vec<Action> {
    let mut actions = Vec::new();
    if !wanted.adopted {
        actions.extend(network(observed));
        actions.extend(subnet(wanted, observed));
        actions.extend(router(wanted, observed));
        actions.extend(connection(observed));
    }
    match &observed.group {
        None => actions.push(Action::CreateGroup),
        Some(group) => actions.extend(rules(group)),
    }
    actions.extend(untagged(wanted, observed));
    actions
}

/// Neutron takes tags only after an object is made; also, somebody may have removed them.
fn untagged(wanted: &Wanted, observed: &Observed) -> Vec<Action> {
    let lacks = |tags: &[String]| !wanted.tags.iter().all(|tag| tags.contains(tag));
    let ours = !wanted.adopted;
    let network = observed.network.as_ref().filter(|network| ours && lacks(&network.tags));
    let subnet = observed.subnet.as_ref().filter(|subnet| ours && lacks(&subnet.tags));
    let router = observed.router.as_ref().filter(|router| ours && lacks(&router.tags));
    let group = observed.group.as_ref().filter(|group| lacks(&group.tags));
    let found = [
        network.map(|network| Taggable::Network(network.id.clone())),
        subnet.map(|subnet| Taggable::Subnet(subnet.id.clone())),
        router.map(|router| Taggable::Router(router.id.clone())),
        group.map(|group| Taggable::SecurityGroup(group.id.clone())),
    ];
    found.into_iter().flatten().map(Action::Tag).collect()
}

fn network(observed: &Observed) -> Option<Action> {
    match &observed.network {
        None => Some(Action::CreateNetwork),
        Some(network) => {
            let sound = network.admin_state_up && network.port_security_enabled != Some(false);
            (!sound).then(|| Action::MendNetwork(network.id.clone()))
        }
    }
}

fn subnet(wanted: &Wanted, observed: &Observed) -> Option<Action> {
    let network = observed.network.as_ref()?;
    match &observed.subnet {
        None => Some(Action::CreateSubnet(network.id.clone())),
        Some(subnet) => {
            let sound = v4(subnet.gateway_ip) == Some(wanted.range.gateway()) && !subnet.enable_dhcp;
            (!sound).then(|| Action::MendSubnet(subnet.id.clone()))
        }
    }
}

fn router(wanted: &Wanted, observed: &Observed) -> Option<Action> {
    match &observed.router {
        None => Some(Action::CreateRouter),
        Some(router) => {
            let gateway = router.external_gateway_info.as_ref().map(|gateway| &gateway.network_id);
            let sound = router.admin_state_up && gateway == Some(&wanted.external);
            (!sound).then(|| Action::MendRouter(router.id.clone()))
        }
    }
}

fn connection(observed: &Observed) -> Option<Action> {
    let (router, subnet) = (observed.router.as_ref()?, observed.subnet.as_ref()?);
    (!observed.is_connected()).then(|| Action::Connect(router.id.clone(), subnet.id.clone()))
}

/// Exactly our rules: whatever else is in the group would open the pods to somebody.
fn rules(group: &SecurityGroup) -> Vec<Action> {
    let all = [Rule::Egress, Rule::IngressFromGroup];
    let mut missing = all.to_vec();
    let mut actions = Vec::new();
    for found in &group.security_group_rules {
        match all
            .into_iter()
            .find(|rule| is(found, *rule, group))
            .filter(|rule| missing.contains(rule))
        {
            Some(rule) => missing.retain(|other| *other != rule),
            None => actions.push(Action::DeleteRule(found.id.clone())),
        }
    }
    actions.extend(missing.into_iter().map(|rule| Action::AddRule(group.id.clone(), rule)));
    actions
}

fn is(found: &SecurityGroupRule, rule: Rule, group: &SecurityGroup) -> bool {
    let anything = found.ethertype == EtherType::IPv4
        && found.protocol.is_none()
        && found.port_range_min.is_none()
        && found.port_range_max.is_none()
        && found
            .remote_ip_prefix
            .is_none_or(|prefix| prefix.prefix_len() == 0 && prefix.addr().is_ipv4());
    anything
        && match rule {
            Rule::Egress => found.direction == Direction::Egress && found.remote_group_id.is_none(),
            Rule::IngressFromGroup => {
                found.direction == Direction::Ingress && found.remote_group_id.as_ref() == Some(&group.id)
            }
        }
}

#[cfg(test)]
mod tests;
