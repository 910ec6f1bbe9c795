//! Doing what the plan says: everything that can be done now side by side, and anew whenever something is finished.

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use stackube_openstack::id::{NetworkId, SecurityGroupId, SecurityGroupRuleId, SubnetId};
use stackube_openstack::network::{
    CreateNetwork, CreateRouter, CreateSecurityGroup, CreateSecurityGroupRule, CreateSubnet, Direction,
    ExternalGateway, Network, Router, SecurityGroup, SecurityGroupRule, Subnet, Taggable, UpdateNetwork, UpdateRouter,
    UpdateSubnet,
};
use stackube_openstack::{Error, Session};

use super::marks::Marks;
use super::observed::Observed;
use super::plan::{Action, Rule, Wanted, plan};
use super::status::Record;
use crate::stop::Stop;

/// More rounds than any plan needs: Neutron and we disagree about something.
const MAX_ACTIONS: usize = 40;

/// What an action has changed.
enum Done {
    Network(Network),
    Subnet(Subnet),
    Router(Router),
    Connected(SubnetId),
    Group(SecurityGroup),
    Rule(SecurityGroupRule),
    NoRule(SecurityGroupRuleId),
    Tagged(Taggable, Vec<String>),
}

/// The work on one Network.
pub(super) struct Work<'a> {
    /// The service user in the Network's project.
    pub(super) session: &'a Session,
    /// The service user in its own project.
    pub(super) service: &'a Session,
    pub(super) marks: &'a Marks,
    pub(super) wanted: &'a Wanted,
}

impl Work<'_> {
    /// Works until everything is as wanted; `done` is told of each action. The status has every ID before a call that depends
    /// on it.
    ///
    /// # Errors
    /// The first error. Calls that were under way then are finished first, so that what they made is in the status.
    pub(super) async fn apply(
        &self,
        observed: &mut Observed,
        record: &mut Record<'_>,
        mut done: impl FnMut(&Action),
    ) -> Result<(), Stop> {
        let mut running = FuturesUnordered::new();
        let mut under_way: Vec<Action> = Vec::new();
        let mut first_error: Option<Stop> = None;
        let mut started = 0;
        loop {
            if first_error.is_none() {
                for action in plan(self.wanted, observed) {
                    if under_way.contains(&action) {
                        continue;
                    }
                    started += 1;
                    if started > MAX_ACTIONS {
                        let message = format!("Neutron does not keep what is set: {action:?}");
                        first_error = Some(Stop::refused("NotSettling", message));
                        break;
                    }
                    under_way.push(action.clone());
                    running.push(self.perform(action));
                }
            }
            let Some((action, result)) = running.next().await else {
                break;
            };
            under_way.retain(|other| *other != action);
            match result {
                Ok(change) => {
                    done(&action);
                    merge(observed, change);
                    if let Err(error) = record.known(observed).await {
                        first_error.get_or_insert_with(|| error.into());
                    }
                }
                Err(error) => {
                    first_error.get_or_insert_with(|| error.into());
                }
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// One action, with its result.
    async fn perform(&self, action: Action) -> (Action, Result<Done, Error>) {
        let Self {
            session,
            service,
            marks,
            wanted,
        } = self;
        let result = match &action {
            Action::CreateNetwork => session.create_network(&new_network(marks)).await.map(Done::Network),
            Action::MendNetwork(id) => session.update_network(id, &sound_network()).await.map(Done::Network),
            Action::CreateSubnet(network) => session
                .create_subnet(&new_subnet(marks, wanted, network))
                .await
                .map(Done::Subnet),
            Action::MendSubnet(id) => session.update_subnet(id, &sound_subnet(wanted)).await.map(Done::Subnet),
            Action::CreateRouter => session
                .create_router(&new_router(marks, wanted))
                .await
                .map(Done::Router),
            Action::MendRouter(id) => session.update_router(id, &sound_router(wanted)).await.map(Done::Router),
            Action::Connect(router, subnet) => session
                .add_router_interface(router, subnet)
                .await
                .map(|leg| Done::Connected(leg.subnet_id)),
            Action::CreateGroup => session.create_security_group(&new_group(marks)).await.map(Done::Group),
            Action::AddRule(group, rule) => session
                .create_security_group_rule(&new_rule(marks, *rule, group))
                .await
                .map(Done::Rule),
            // The rule is in our group, but an administrator of the cloud may have made it in another project, where the
            // tenant's session cannot see it: Neutron would answer "not found", and it would stay.
            Action::DeleteRule(id) => service
                .delete_security_group_rule(id)
                .await
                .map(|()| Done::NoRule(id.clone())),
            Action::Tag(object) => {
                let tagged = || Done::Tagged(object.clone(), wanted.tags.clone());
                session.replace_tags(object, &wanted.tags).await.map(|()| tagged())
            }
        };
        (action, result)
    }
}

fn sound_network() -> UpdateNetwork {
    UpdateNetwork {
        admin_state_up: Some(true),
        port_security_enabled: Some(true),
        ..UpdateNetwork::default()
    }
}

fn sound_subnet(wanted: &Wanted) -> UpdateSubnet {
    let gateway_ip = Some(wanted.range.gateway().into());
    UpdateSubnet {
        gateway_ip,
        enable_dhcp: Some(false),
        ..UpdateSubnet::default()
    }
}

fn sound_router(wanted: &Wanted) -> UpdateRouter {
    let external_gateway_info = Some(Some(ExternalGateway::new(wanted.external.clone())));
    UpdateRouter {
        admin_state_up: Some(true),
        external_gateway_info,
        ..UpdateRouter::default()
    }
}

fn new_network(marks: &Marks) -> CreateNetwork {
    let Marks {
        project,
        name,
        description,
        ..
    } = marks.clone();
    CreateNetwork {
        project_id: project,
        name,
        description,
        tags: vec![],
        mtu: None,
    }
}

fn new_subnet(marks: &Marks, wanted: &Wanted, network: &NetworkId) -> CreateSubnet {
    let Marks {
        project,
        name,
        description,
        ..
    } = marks.clone();
    let (cidr, gateway) = (wanted.range.range(), wanted.range.gateway());
    let mut subnet = CreateSubnet::new(project, network.clone(), name, cidr, gateway);
    subnet.description = description;
    subnet
}

fn new_router(marks: &Marks, wanted: &Wanted) -> CreateRouter {
    let Marks {
        project,
        name,
        description,
        ..
    } = marks.clone();
    let external_gateway_info = Some(ExternalGateway::new(wanted.external.clone()));
    CreateRouter {
        project_id: project,
        name,
        description,
        tags: vec![],
        external_gateway_info,
    }
}

fn new_group(marks: &Marks) -> CreateSecurityGroup {
    let Marks {
        project,
        name,
        description,
        ..
    } = marks.clone();
    CreateSecurityGroup {
        project_id: project,
        name,
        description,
        tags: vec![],
    }
}

fn new_rule(marks: &Marks, rule: Rule, group: &SecurityGroupId) -> CreateSecurityGroupRule {
    let any = |direction| CreateSecurityGroupRule::any_ipv4(marks.project.clone(), group.clone(), direction);
    match rule {
        Rule::Egress => any(Direction::Egress),
        Rule::IngressFromGroup => CreateSecurityGroupRule {
            remote_group_id: Some(group.clone()),
            ..any(Direction::Ingress)
        },
    }
}

fn merge(observed: &mut Observed, done: Done) {
    match done {
        Done::Network(network) => observed.network = Some(network),
        Done::Subnet(subnet) => observed.subnet = Some(subnet),
        Done::Router(router) => observed.router = Some(router),
        Done::Connected(subnet) => observed.legs.push(subnet),
        Done::Group(group) => observed.group = Some(group),
        Done::Rule(rule) => {
            if let Some(group) = &mut observed.group {
                group.security_group_rules.push(rule);
            }
        }
        Done::Tagged(object, tags) => tag(observed, &object, tags),
        Done::NoRule(id) => {
            if let Some(group) = &mut observed.group {
                group.security_group_rules.retain(|rule| rule.id != id);
            }
        }
    }
}

fn tag(observed: &mut Observed, object: &Taggable, tags: Vec<String>) {
    let place = match object {
        Taggable::Network(_) => observed.network.as_mut().map(|network| &mut network.tags),
        Taggable::Subnet(_) => observed.subnet.as_mut().map(|subnet| &mut subnet.tags),
        Taggable::Router(_) => observed.router.as_mut().map(|router| &mut router.tags),
        Taggable::SecurityGroup(_) => observed.group.as_mut().map(|group| &mut group.tags),
        Taggable::Port(_) => None,
    };
    if let Some(place) = place {
        *place = tags;
    }
}

#[cfg(test)]
mod tests;
