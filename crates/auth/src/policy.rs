//! Who a Keystone token makes somebody in Kubernetes, and whom it lets in. Pure: no I/O, no clock.
//!
//! Only identifiers count. Names of users, projects, domains and roles are anything that somebody typed, `system:masters`
//! included; they appear in the extra fields, where nothing is decided by them.

use std::collections::BTreeMap;

use stackube_api::names::{OPERATORS_GROUP, project_group, project_user_group};
use stackube_openstack::id::{DomainId, ProjectId};
use stackube_openstack::{TokenDetails, TokenScope};

use crate::review::User;
use crate::tenants::Tenants;

mod operator;

pub use operator::Operator;

/// Whom to let in.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// Who is an operator.
    pub operators: Vec<Operator>,
    /// Domains whose users may come in; empty: of all domains. Rights come from roles in projects in any case.
    pub user_domains: Vec<DomainId>,
}

/// Why a token that Keystone knows is not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    /// Obtained by a trust or by OAuth.
    #[error("the token was delegated (trust or OAuth): use a token of your own or an application credential")]
    Delegated,
    /// An application credential that may only make certain requests of OpenStack.
    #[error(
        "the application credential has access rules, which say nothing about Kubernetes: make one without access rules"
    )]
    AccessRules,
    /// A user of another domain.
    #[error("users of domain {0} are not let in")]
    Domain(DomainId),
    /// No project.
    #[error("the token is {0}: ask Keystone for one of a project")]
    Scope(&'static str),
    /// No roles, which Keystone never issues.
    #[error("the token carries no role")]
    NoRoles,
    /// A project that Stackube does not know. May change at any time.
    #[error("project {0} is no tenant of this cluster")]
    NoTenant(ProjectId),
    /// It is not known yet which projects are tenants.
    #[error("the list of tenants has not been read yet")]
    NotReady,
}

impl Refusal {
    /// Whether the same token may be let in a moment later.
    pub(crate) fn is_temporary(&self) -> bool {
        matches!(self, Self::NoTenant(_) | Self::NotReady)
    }
}

impl Policy {
    /// The user whose token it is.
    ///
    /// # Errors
    /// Why it is not let in.
    pub(crate) fn judge(&self, token: &TokenDetails, tenants: &Tenants) -> Result<User, Refusal> {
        if token.delegated {
            return Err(Refusal::Delegated);
        }
        let credential = token.application_credential.as_ref();
        if credential.is_some_and(|credential| credential.has_access_rules) {
            return Err(Refusal::AccessRules);
        }
        if !self.user_domains.is_empty() && !self.user_domains.contains(&token.user_domain) {
            return Err(Refusal::Domain(token.user_domain.clone()));
        }
        if token.roles.is_empty() && token.scope != TokenScope::Unscoped {
            return Err(Refusal::NoRoles);
        }
        let operator = self.operators.iter().any(|operator| operator.holds(token));
        let names = match &token.scope {
            TokenScope::Unscoped => return Err(Refusal::Scope("unscoped")),
            TokenScope::Project(project, _) => names(tenants, &project.id, operator)?,
            TokenScope::Domain(_) if operator => vec![],
            TokenScope::Domain(_) => return Err(Refusal::Scope("scoped to a domain")),
            TokenScope::System => return Err(Refusal::Scope("scoped to the system")),
        };
        Ok(user(token, names, operator))
    }
}

/// The Tenants of a project. Operators need none.
fn names(tenants: &Tenants, project: &ProjectId, operator: bool) -> Result<Vec<String>, Refusal> {
    match tenants.of(project) {
        Some(names) if operator || !names.is_empty() => Ok(names),
        Some(_) => Err(Refusal::NoTenant(project.clone())),
        None if operator => Ok(vec![]),
        None => Err(Refusal::NotReady),
    }
}

fn user(token: &TokenDetails, tenants: Vec<String>, operator: bool) -> User {
    let mut groups = vec![];
    let mut extra = BTreeMap::new();
    let mut say = |key: &'static str, values: Vec<String>| {
        let values: Vec<String> = values.into_iter().filter(|value| !value.is_empty()).collect();
        if !values.is_empty() {
            extra.insert(key, values);
        }
    };
    if let TokenScope::Project(project, domain) = &token.scope {
        groups.extend(
            token
                .roles
                .iter()
                .map(|role| project_group(project.id.as_str(), role.id.as_str())),
        );
        // An application credential has the roles that it was given, and no more.
        if token.application_credential.is_none() {
            groups.push(project_user_group(project.id.as_str(), token.user.id.as_str()));
        }
        say("stackube.kubernetes.io/project-id", vec![project.id.to_string()]);
        say("stackube.kubernetes.io/project-name", vec![project.name.clone()]);
        say("stackube.kubernetes.io/project-domain-id", vec![domain.to_string()]);
    }
    if operator {
        groups.push(OPERATORS_GROUP.to_owned());
    }
    say("stackube.kubernetes.io/tenant", tenants);
    say("stackube.kubernetes.io/user-name", vec![token.user.name.clone()]);
    say(
        "stackube.kubernetes.io/user-domain-id",
        vec![token.user_domain.to_string()],
    );
    let roles = token.roles.iter().map(|role| role.name.clone()).collect();
    say("stackube.kubernetes.io/roles", roles);
    if let Some(credential) = &token.application_credential {
        let key = "stackube.kubernetes.io/application-credential-id";
        say(key, vec![credential.id.clone()]);
    }
    User {
        username: format!("keystone:user:{}", token.user.id),
        uid: token.user.id.to_string(),
        groups,
        extra,
    }
}

#[cfg(test)]
mod tests;
