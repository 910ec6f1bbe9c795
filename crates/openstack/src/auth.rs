//! Asking Keystone for tokens (API reference: identity v3, "Password authentication with scoped authorization" and on).

use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::catalog::Catalog;
use crate::config::{ApplicationCredentialRef, Credentials, DomainRef, ProjectRef, UserRef};
use crate::error::Error;
use crate::id::{DomainId, ProjectId, RoleId, UserId};
use crate::reply::Reply;
use crate::request::Request;
use crate::retry::Repeat;
use crate::service::Service;

/// What is shown to Keystone.
pub(crate) enum Proof<'a> {
    /// The configured credentials, for the scope they have by themselves or for another project.
    Credentials(&'a Credentials, Option<&'a ProjectId>),
    /// A token that is valid already, for another project.
    Token(&'a SecretString, &'a ProjectId),
}

/// The request for a token. It may be repeated: a second token does no harm.
pub(crate) fn request(proof: &Proof<'_>) -> Request {
    let (identity, scope, secret) = match proof {
        Proof::Credentials(
            Credentials::Password {
                user,
                password,
                project,
            },
            other,
        ) => {
            let mut user = user_ref(user);
            user["password"] = password.expose_secret().into();
            let scope = other.map_or_else(|| project_ref(project), |id| json!({"id": id}));
            (
                json!({"methods": ["password"], "password": {"user": user}}),
                Some(scope),
                password,
            )
        }
        Proof::Credentials(Credentials::ApplicationCredential { credential, secret }, _) => {
            let mut credential = match credential {
                ApplicationCredentialRef::Id(id) => json!({"id": id}),
                ApplicationCredentialRef::Name { name, user } => json!({"name": name, "user": user_ref(user)}),
            };
            credential["secret"] = secret.expose_secret().into();
            let method = "application_credential";
            (json!({"methods": [method], method: credential}), None, secret)
        }
        Proof::Token(token, project) => {
            let identity = json!({"methods": ["token"], "token": {"id": token.expose_secret()}});
            (identity, Some(json!({"id": project})), *token)
        }
    };
    let mut auth = json!({"identity": identity});
    if let Some(project) = scope {
        auth["scope"] = json!({"project": project});
    }
    Request::new(Service::Identity, Method::POST, "auth/tokens", &[])
        .about("token", "(new)")
        .repeat(Repeat::Safe)
        .secret_json(&json!({"auth": auth}), vec![secret.clone()])
}

fn domain_ref(domain: &DomainRef) -> Value {
    match domain {
        DomainRef::Id(id) => json!({"id": id}),
        DomainRef::Name(name) => json!({"name": name}),
    }
}

fn user_ref(user: &UserRef) -> Value {
    match user {
        UserRef::Id(id) => json!({"id": id}),
        UserRef::Name { name, domain } => json!({"name": name, "domain": domain_ref(domain)}),
    }
}

fn project_ref(project: &ProjectRef) -> Value {
    match project {
        ProjectRef::Id(id) => json!({"id": id}),
        ProjectRef::Name { name, domain } => json!({"name": name, "domain": domain_ref(domain)}),
    }
}

/// Who a token speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenInfo {
    /// The user.
    pub user_id: UserId,
    /// The user's domain.
    pub user_domain_id: DomainId,
    /// The project it is scoped to.
    pub project_id: ProjectId,
    /// The roles of the user in that project, as (ID, name).
    pub roles: Vec<(RoleId, String)>,
}

/// A new token as Keystone issued it.
pub(crate) struct Issued {
    pub(crate) secret: SecretString,
    pub(crate) info: TokenInfo,
    pub(crate) catalog: Catalog,
    /// By Keystone's own clock.
    pub(crate) issued_at: Timestamp,
    /// From issue to expiry by Keystone's own clock, so that ours need not agree with it.
    pub(crate) lifetime: Duration,
}

#[derive(Deserialize)]
struct TokenBody {
    issued_at: Timestamp,
    expires_at: Timestamp,
    user: UserBody,
    project: Option<Reference<ProjectId>>,
    #[serde(default)]
    roles: Vec<RoleBody>,
    #[serde(default)]
    catalog: Catalog,
}

#[derive(Deserialize)]
struct UserBody {
    id: UserId,
    domain: Reference<DomainId>,
}

#[derive(Deserialize)]
struct Reference<T> {
    id: T,
}

#[derive(Deserialize)]
struct RoleBody {
    id: RoleId,
    name: String,
}

/// Reads the answer to [`request`].
pub(crate) fn issued(reply: &Reply) -> Result<Issued, Error> {
    let secret = reply
        .headers()
        .get("x-subject-token")
        .and_then(|value| value.to_str().ok());
    let secret = secret
        .filter(|text| !text.is_empty())
        .ok_or_else(|| reply.nonsense("there is no X-Subject-Token"))?;
    let token: TokenBody = reply.decode_key("token")?;
    let project = token.project.ok_or(crate::config::ConfigError::Unscoped)?;
    let lifetime = Duration::try_from(token.expires_at.duration_since(token.issued_at));
    Ok(Issued {
        secret: secret.into(),
        info: TokenInfo {
            user_id: token.user.id,
            user_domain_id: token.user.domain.id,
            project_id: project.id,
            roles: token.roles.into_iter().map(|role| (role.id, role.name)).collect(),
        },
        catalog: token.catalog,
        issued_at: token.issued_at,
        lifetime: lifetime.map_err(|_| reply.nonsense("the token expires before it was issued"))?,
    })
}
