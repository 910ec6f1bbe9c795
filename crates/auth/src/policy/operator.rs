//! Who operates the cluster, as a role in one project or domain.

use std::str::FromStr;

use stackube_openstack::id::{DomainId, ProjectId, RoleId};
use stackube_openstack::{TokenDetails, TokenScope};

/// Holders of a role in one project or domain are operators. The role alone would not do: whoever administers some domain
/// can grant it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    role: RoleId,
    place: Place,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Place {
    Project(ProjectId),
    Domain(DomainId),
}

/// A text that names no role in a place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?}: write <role ID>@project:<project ID> or <role ID>@domain:<domain ID>, with IDs, not names")]
pub struct InvalidOperator(String);

impl FromStr for Operator {
    type Err = InvalidOperator;

    fn from_str(text: &str) -> Result<Self, InvalidOperator> {
        let parse = || {
            let (role, place) = text.trim().split_once('@')?;
            let place = match place.split_once(':')? {
                ("project", id) => Place::Project(id.parse().ok()?),
                ("domain", id) => Place::Domain(id.parse().ok()?),
                _ => return None,
            };
            let role = role.parse().ok()?;
            Some(Self { role, place })
        };
        parse().ok_or_else(|| InvalidOperator(text.to_owned()))
    }
}

impl Operator {
    pub(super) fn holds(&self, token: &TokenDetails) -> bool {
        let here = match (&self.place, &token.scope) {
            (Place::Project(wanted), TokenScope::Project(project, _)) => *wanted == project.id,
            (Place::Domain(wanted), TokenScope::Domain(domain)) => *wanted == domain.id,
            _ => false,
        };
        here && token.roles.iter().any(|role| role.id == self.role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_written_with_ids() {
        let operator: Operator = "r1@project:p1".parse().unwrap();
        assert_eq!(operator.place, Place::Project("p1".parse().unwrap()));
        assert!("r1@domain:default".parse::<Operator>().is_ok());
        for text in [
            "",
            "r1",
            "r1@p1",
            "r1@project:",
            "@project:p1",
            "r1@system:all",
            "r 1@project:p1",
            "a@b@project:p",
        ] {
            assert!(text.parse::<Operator>().is_err(), "{text}");
        }
    }
}
