//! Which of the objects that are marked as ours belong to nothing. Pure.

use std::collections::{HashMap, HashSet};
use std::fmt;

/// Kinds of objects that are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    Port,
    Router,
    Subnet,
    Network,
    SecurityGroup,
    User,
    Project,
}

impl Kind {
    /// In the order in which they can be deleted.
    pub(super) const ALL: [Self; 7] = [
        Self::Port,
        Self::Router,
        Self::Subnet,
        Self::Network,
        Self::SecurityGroup,
        Self::User,
        Self::Project,
    ];

    /// The label in metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Port => "port",
            Self::Router => "router",
            Self::Subnet => "subnet",
            Self::Network => "network",
            Self::SecurityGroup => "security_group",
            Self::User => "user",
            Self::Project => "project",
        }
    }
}

/// An object in OpenStack that says it is of this cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) kind: Kind,
    pub(super) id: String,
    pub(super) name: String,
    /// The project that owns it; of a project, itself. `None` for users, which belong to none.
    pub(super) project: Option<String>,
    /// UID of the Kubernetes object it was made for.
    pub(super) owner: Option<String>,
    /// The network of a port.
    pub(super) network: Option<String>,
    /// A port of the pool.
    pub(super) is_spare: bool,
}

/// What exists in Kubernetes.
#[derive(Clone, Debug, Default)]
pub(super) struct Live {
    /// UIDs of pods that have a Port, with its Neutron port if it has one.
    pub(super) pods: HashMap<String, Option<String>>,
    /// UIDs of Networks, with the IDs of their objects, as far as they are made.
    pub(super) networks: HashMap<String, HashMap<Kind, String>>,
    /// UIDs of Tenants.
    pub(super) tenants: HashSet<String>,
    /// Users of Tenants.
    pub(super) users: HashSet<String>,
    /// Projects and Neutron networks that Networks use.
    pub(super) used: HashSet<(String, String)>,
    /// Projects of Tenants and Networks, and the service's own.
    pub(super) projects: HashSet<String>,
}

/// An object that belongs to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Stray {
    pub(super) kind: Kind,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) project: Option<String>,
    /// It is in a project that no tenant can have made up.
    pub(super) is_provably_ours: bool,
}

impl fmt::Display for Stray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} ({:?})",
            self.kind.as_str().replace('_', " "),
            self.id,
            self.name
        )?;
        match &self.project {
            Some(project) if self.kind != Kind::Project => write!(f, " of project {project}"),
            _ => Ok(()),
        }
    }
}

/// The strays among `found`.
pub(super) fn strays(found: &[Found], live: &Live) -> Vec<Stray> {
    // Keystone lets only administrators write tags and descriptions: what is tagged there was made by us.
    let tagged: HashSet<&str> = found
        .iter()
        .filter(|object| object.kind == Kind::Project)
        .map(|object| object.id.as_str())
        .collect();
    let is_ours = |object: &Found| match (&object.project, object.kind) {
        (_, Kind::User | Kind::Project) => true,
        (Some(project), _) => live.projects.contains(project) || tagged.contains(project.as_str()),
        (None, _) => false,
    };
    let strays = found
        .iter()
        .filter(|object| !belongs(object, live))
        .map(|object| Stray {
            kind: object.kind,
            id: object.id.clone(),
            name: object.name.clone(),
            project: object.project.clone(),
            is_provably_ours: is_ours(object),
        });
    strays.collect()
}

/// Whether it was made for something that exists, or something that exists has it: what a Tenant or Network has taken over still says
/// that it is of the one before.
fn belongs(object: &Found, live: &Live) -> bool {
    let owner = object.owner.as_deref().unwrap_or_default();
    match object.kind {
        Kind::Port if object.is_spare && object.owner.is_none() => {
            // The pool itself looks after these.
            object
                .project
                .clone()
                .zip(object.network.clone())
                .is_some_and(|at| live.used.contains(&at))
        }
        Kind::Port => match live.pods.get(owner) {
            // Not written yet: it may be this one.
            Some(None) => true,
            Some(Some(id)) => *id == object.id,
            None => false,
        },
        Kind::Network | Kind::Subnet | Kind::Router | Kind::SecurityGroup => {
            let of_network = live.networks.get(owner).is_some_and(|made| {
                // Not written yet: it may be this one.
                made.get(&object.kind).is_none_or(|id| *id == object.id)
            });
            of_network || live.tenants.contains(owner) || is_in_use(object, live)
        }
        Kind::User => live.tenants.contains(owner) || live.users.contains(&object.id),
        Kind::Project => live.tenants.contains(owner) || live.projects.contains(&object.id),
    }
}

/// Whether a Network has it, whatever it says itself.
fn is_in_use(object: &Found, live: &Live) -> bool {
    let mut all = live.networks.values();
    all.any(|made| made.get(&object.kind) == Some(&object.id))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn live() -> Live {
        Live {
            pods: HashMap::from([("pod-new".into(), None), ("pod".into(), Some("port".into()))]),
            networks: HashMap::from([
                ("network".into(), HashMap::from([(Kind::Router, "router".into())])),
                ("adopting".into(), adopted()),
            ]),
            tenants: HashSet::from(["tenant".into()]),
            users: HashSet::from(["user".into()]),
            used: HashSet::from([("project".into(), "net-id".into())]),
            projects: HashSet::from(["project".into()]),
        }
    }

    /// What a Network uses that was made for another.
    fn adopted() -> HashMap<Kind, String> {
        let ids = [
            (Kind::Network, "old-network"),
            (Kind::Subnet, "old-subnet"),
            (Kind::Router, "old-router"),
            (Kind::SecurityGroup, "old-group"),
        ];
        ids.map(|(kind, id)| (kind, id.to_owned())).into()
    }

    fn found(kind: Kind, id: &str, owner: Option<&str>) -> Found {
        Found {
            kind,
            id: id.into(),
            name: "n".into(),
            project: Some("project".into()),
            owner: owner.map(Into::into),
            network: Some("net-id".into()),
            is_spare: false,
        }
    }

    fn spare(network: &str, owner: Option<&str>) -> Found {
        Found {
            is_spare: true,
            network: Some(network.into()),
            ..found(Kind::Port, "port", owner)
        }
    }

    #[rstest]
    #[case::port_in_use(found(Kind::Port, "port", Some("pod")), false)]
    #[case::second_port_of_a_pod(found(Kind::Port, "other", Some("pod")), true)]
    #[case::port_being_made(found(Kind::Port, "other", Some("pod-new")), false)]
    #[case::port_of_no_pod(found(Kind::Port, "port", Some("gone")), true)]
    #[case::port_without_owner(found(Kind::Port, "port", None), true)]
    #[case::pool_port(spare("net-id", None), false)]
    #[case::pool_port_of_no_network(spare("else", None), true)]
    #[case::claimed_pool_port(spare("net-id", Some("pod")), false)]
    #[case::claimed_pool_port_of_no_pod(spare("net-id", Some("gone")), true)]
    #[case::network(found(Kind::Network, "x", Some("network")), false)]
    #[case::router_in_use(found(Kind::Router, "router", Some("network")), false)]
    #[case::second_router_of_a_network(found(Kind::Router, "x", Some("network")), true)]
    #[case::network_of_nothing(found(Kind::Network, "x", Some("gone")), true)]
    #[case::subnet_of_nothing(found(Kind::Subnet, "x", Some("gone")), true)]
    #[case::router_of_a_tenant(found(Kind::Router, "x", Some("tenant")), false)]
    #[case::network_that_another_has(found(Kind::Network, "old-network", Some("gone")), false)]
    #[case::subnet_that_another_has(found(Kind::Subnet, "old-subnet", Some("gone")), false)]
    #[case::router_that_another_has(found(Kind::Router, "old-router", Some("gone")), false)]
    #[case::group_that_another_has(found(Kind::SecurityGroup, "old-group", Some("gone")), false)]
    #[case::id_of_another_kind(found(Kind::Subnet, "old-router", Some("gone")), true)]
    #[case::group_without_owner(found(Kind::SecurityGroup, "x", None), true)]
    #[case::project(found(Kind::Project, "x", Some("tenant")), false)]
    #[case::project_of_a_network_uid(found(Kind::Project, "x", Some("network")), true)]
    #[case::project_that_another_has(found(Kind::Project, "project", Some("gone")), false)]
    #[case::user(found(Kind::User, "x", Some("tenant")), false)]
    #[case::user_that_another_has(found(Kind::User, "user", Some("gone")), false)]
    #[case::user_of_nothing(found(Kind::User, "x", Some("gone")), true)]
    fn tells_strays(#[case] object: Found, #[case] is_stray: bool) {
        let strays = strays(&[object], &live());
        assert_eq!(!strays.is_empty(), is_stray);
        assert!(strays.iter().all(|stray| stray.is_provably_ours));
    }

    #[rstest]
    #[case::foreign_project(Some("foreign"), false)]
    #[case::no_project(None, false)]
    #[case::project_of_a_deleted_tenant(Some("dead"), true)]
    fn only_what_is_in_our_projects_is_ours(#[case] project: Option<&str>, #[case] ours: bool) {
        let port = Found {
            project: project.map(Into::into),
            ..found(Kind::Port, "x", Some("gone"))
        };
        let dead = Found {
            project: Some("dead".into()),
            ..found(Kind::Project, "dead", Some("gone"))
        };
        let strays = strays(&[port, dead], &live());
        assert_eq!(
            strays
                .iter()
                .find(|stray| stray.kind == Kind::Port)
                .unwrap()
                .is_provably_ours,
            ours
        );
    }
}
