//! The tenant's user, who has which role, and what the project may have in Neutron.

use std::collections::BTreeMap;

use futures::future::join_all;
use kube::ResourceExt;
use secrecy::SecretString;
use stackube_api::conditions::{QUOTA_READY, ROLES_READY, USER_READY};
use stackube_openstack::id::{ProjectId, RoleId, UserId};
use stackube_openstack::identity::{Actor, CreateUser, UpdateUser};

use super::{Stopped, Work, at, role};
use crate::stop::Stop;
use crate::tenant::plan::{Grant, Grantee, OWN_ROLES, UserStep};
use crate::tenant::{marks, password};

impl Work<'_> {
    /// The user with its roles, and the project's quota. With a role of OpenStack the user can call Neutron, and only the quota keeps
    /// it from sharing its network: so that role comes last. Nothing else waits for Neutron, least of all what is taken away.
    pub(super) async fn people(&self, project: &ProjectId, roles: &BTreeMap<String, RoleId>) -> Result<(), Stopped> {
        let (own, openstack): (Vec<_>, Vec<_>) = self
            .plan
            .grants
            .iter()
            .partition(|grant| OWN_ROLES.contains(&grant.role));
        let (revoked, user, quota) = tokio::join!(
            self.revoke(project),
            self.user_with_roles(project, &own, roles),
            self.quota(project)
        );
        let user = user?;
        at(ROLES_READY, revoked)?;
        if quota.is_ok() || openstack.is_empty() {
            at(ROLES_READY, self.give(project, &user, &openstack, roles).await)?;
            self.record.met(ROLES_READY, "Assigned").await;
        }
        at(QUOTA_READY, quota)
    }

    async fn user_with_roles(
        &self,
        project: &ProjectId,
        own: &[&Grant],
        roles: &BTreeMap<String, RoleId>,
    ) -> Result<UserId, Stopped> {
        let user = at(USER_READY, self.user(project).await)?;
        if self.valid.password_missing.is_none() {
            self.record.met(USER_READY, "Created").await;
        }
        at(ROLES_READY, self.give(project, &user, own, roles).await)?;
        Ok(user)
    }

    async fn user(&self, project: &ProjectId) -> Result<UserId, Stop> {
        let id = match &self.plan.user {
            UserStep::Keep(id) => id.clone(),
            UserStep::Create => self.create_user(project).await?,
            UserStep::Change { id, password, enable } => {
                let change = UpdateUser {
                    password: self
                        .valid
                        .password
                        .as_ref()
                        .filter(|_| *password)
                        .map(|wanted| wanted.password.clone()),
                    enabled: enable.then_some(true),
                    ..UpdateUser::default()
                };
                self.keystone.update_user(id, &change).await?;
                let (reason, note) = if *password {
                    ("PasswordChanged", "the user has its new password")
                } else {
                    ("UserEnabled", "the user had been disabled and is enabled again")
                };
                self.context.events.normal(self.tenant, "Update", reason, note).await;
                id.clone()
            }
        };
        self.record.user(id.as_str()).await?;
        self.remember_applied().await?;
        Ok(id)
    }

    async fn create_user(&self, project: &ProjectId) -> Result<UserId, Stop> {
        let password = self.valid.password.as_ref().map(|wanted| wanted.password.clone());
        let password = password.ok_or_else(|| Stop::refused("PasswordMissing", "the user has no password"))?;
        let identity = &self.context.identity;
        let uid = self.tenant.uid().unwrap_or_default();
        let new = CreateUser {
            name: self.tenant.spec.username.clone(),
            domain_id: self.valid.domain.clone(),
            password,
            default_project_id: Some(project.clone()),
            description: marks::user_description(&identity.cluster, &self.tenant.name_any(), &uid),
            enabled: true,
        };
        let made = self.keystone.create_user(&new).await?;
        self.record.user(made.id.as_str()).await?;
        let note = format!("made user {} in Keystone", made.id);
        self.context
            .events
            .normal(self.tenant, "Create", "UserCreated", note)
            .await;
        Ok(made.id)
    }

    /// Keystone knows the password now: it is not set again, so that the user may change it there.
    async fn remember_applied(&self) -> Result<(), Stop> {
        let Some(wanted) = self.valid.password.as_ref() else {
            return Ok(());
        };
        let created = self.plan.user == UserStep::Create;
        if wanted.applied && !created {
            return Ok(());
        }
        let elsewhere = self.tenant.spec.password_secret_ref.is_some();
        let kept: Option<&SecretString> = (!elsewhere).then_some(&wanted.password);
        Ok(self
            .keep(&password::secret(self.tenant, kept, Some(&wanted.digest)))
            .await?)
    }

    /// Only our own roles, and OpenStack's of the tenant's own user, are ever given or taken.
    async fn revoke(&self, project: &ProjectId) -> Result<(), Stop> {
        let revoked = join_all(
            self.plan
                .revocations
                .iter()
                .map(|held| self.keystone.revoke_role(project, &held.actor, &held.role)),
        );
        Ok(revoked.await.into_iter().collect::<Result<(), _>>()?)
    }

    async fn give(
        &self,
        project: &ProjectId,
        user: &UserId,
        grants: &[&Grant],
        roles: &BTreeMap<String, RoleId>,
    ) -> Result<(), Stop> {
        let given = join_all(grants.iter().map(|grant| self.grant(project, user, grant, roles))).await;
        given.into_iter().collect()
    }

    async fn grant(
        &self,
        project: &ProjectId,
        user: &UserId,
        grant: &Grant,
        roles: &BTreeMap<String, RoleId>,
    ) -> Result<(), Stop> {
        let actor = match &grant.to {
            Grantee::TenantUser => Actor::User(user.clone()),
            Grantee::Member(actor) => actor.clone(),
        };
        match self
            .keystone
            .grant_role(project, &actor, role(roles, grant.role)?)
            .await
        {
            Err(error) if error.is_not_found() && matches!(grant.to, Grantee::Member(_)) => {
                let (kind, id) = match &actor {
                    Actor::User(id) => ("user", id.as_str()),
                    Actor::Group(id) => ("group", id.as_str()),
                };
                let message = format!("spec.members: Keystone has no {kind} with the ID {id}: correct or remove it");
                Err(Stop::refused("MemberNotFound", message))
            }
            granted => Ok(granted?),
        }
    }
}
