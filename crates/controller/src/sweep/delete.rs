//! Deleting strays.

use stackube_openstack::id::InvalidId;
use stackube_openstack::network::SecurityGroupFilter;
use stackube_openstack::{Error, Session};

use super::compare::{Kind, Stray};

/// A stray that stays.
#[derive(Debug, thiserror::Error)]
pub(super) enum DeleteError {
    /// OpenStack refused.
    #[error(transparent)]
    OpenStack(#[from] Error),
    /// It would be the second line of defence that fails: identifiers were checked when they were read.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// Keystone would delete the project and leave what it owns.
    #[error("the project still owns something in Neutron: it is deleted after that")]
    NotEmpty,
}

/// What depends on others first.
pub(super) fn in_order(mut strays: Vec<Stray>) -> Vec<Stray> {
    let rank = |kind| Kind::ALL.iter().position(|other| *other == kind);
    strays.sort_by_key(|stray| rank(stray.kind));
    strays
}

/// Deletes one. Absence is success.
///
/// # Errors
/// [`DeleteError`]; it is tried again in the next round.
pub(super) async fn delete(session: &Session, stray: &Stray) -> Result<(), DeleteError> {
    match stray.kind {
        Kind::Port => session.delete_port(&stray.id.parse()?).await?,
        Kind::Router => router(session, stray).await?,
        Kind::Subnet => session.delete_subnet(&stray.id.parse()?).await?,
        Kind::Network => session.delete_network(&stray.id.parse()?).await?,
        Kind::SecurityGroup => session.delete_security_group(&stray.id.parse()?).await?,
        Kind::User => session.delete_user(&stray.id.parse()?).await?,
        Kind::Project => project(session, stray).await?,
    }
    Ok(())
}

async fn router(session: &Session, stray: &Stray) -> Result<(), DeleteError> {
    let id = stray.id.parse()?;
    for interface in session.router_interfaces(&id).await? {
        session.remove_router_interface(&id, &interface.subnet_id).await?;
    }
    Ok(session.delete_router(&id).await?)
}

async fn project(session: &Session, stray: &Stray) -> Result<(), DeleteError> {
    let id = stray.id.parse()?;
    let owns_something = !session.list_ports(&id, &Default::default()).await?.is_empty()
        || !session.list_networks(&id, &Default::default()).await?.is_empty()
        || !session.list_routers(&id, &Default::default()).await?.is_empty();
    if owns_something {
        return Err(DeleteError::NotEmpty);
    }
    // Neutron makes this group with the first object of a project, and never deletes it.
    let default = SecurityGroupFilter {
        name: Some("default".to_owned()),
        ..SecurityGroupFilter::default()
    };
    for group in session.list_security_groups(&id, &default).await? {
        session.delete_security_group(&group.id).await?;
    }
    session.delete_quota(&id).await?;
    Ok(session.delete_project(&id).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_go_before_their_project_and_ports_before_everything() {
        let stray = |kind| Stray {
            kind,
            id: String::new(),
            name: String::new(),
            project: None,
            is_provably_ours: true,
        };
        let order = in_order(vec![
            stray(Kind::Project),
            stray(Kind::Network),
            stray(Kind::User),
            stray(Kind::Port),
        ]);
        let kinds: Vec<_> = order.iter().map(|stray| stray.kind).collect();
        assert_eq!(kinds, [Kind::Port, Kind::Network, Kind::User, Kind::Project]);
    }
}
