use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

use crate::error::Error;
use crate::id::{DomainId, ProjectId, UserId, none_if_empty};
use crate::request::Payload;
use crate::resource::{Resource, at_most_one};
use crate::service::Service;
use crate::session::Session;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct User {
    /// Its ID.
    pub id: UserId,
    /// Its name, unique in its domain.
    pub name: String,
    /// The domain that owns it.
    pub domain_id: DomainId,
    /// A disabled user gets no token.
    pub enabled: bool,
    /// The project of a token that was asked for without a scope.
    #[serde(default, deserialize_with = "none_if_empty")]
    pub default_project_id: Option<ProjectId>,
    /// Free text.
    #[serde(default)]
    pub description: Option<String>,
}

/// A user to be made.
#[derive(Debug, Clone, Serialize)]
pub struct CreateUser {
    /// 1 to 255 characters, unique in the domain.
    pub name: String,
    /// The domain that will own it.
    pub domain_id: DomainId,
    /// Its password; the cloud may have rules for it.
    #[serde(serialize_with = "exposed")]
    pub password: SecretString,
    /// The project of a token that is asked for without a scope.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_project_id: Option<ProjectId>,
    /// Free text.
    pub description: String,
    /// Whether it can log in.
    pub enabled: bool,
}

/// Changes of a user; `None` leaves as it is. A new password ends all tokens of the user.
#[derive(Debug, Clone, Default, Serialize)]
pub struct UpdateUser {
    /// New password.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "exposed_if_any")]
    pub password: Option<SecretString>,
    /// Whether it can log in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// New default project.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_project_id: Option<ProjectId>,
    /// New description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

fn exposed<S: Serializer>(secret: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose_secret())
}

fn exposed_if_any<S: Serializer>(secret: &Option<SecretString>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(ExposeSecret::expose_secret).serialize(serializer)
}

impl Payload for CreateUser {
    fn secrets(&self) -> Vec<SecretString> {
        vec![self.password.clone()]
    }
}

impl Payload for UpdateUser {
    fn secrets(&self) -> Vec<SecretString> {
        self.password.iter().cloned().collect()
    }
}

impl Resource for User {
    const SERVICE: Service = Service::Identity;
    const WHAT: &'static str = "user";
    const COLLECTION: &'static str = "users";
    const MEMBER: &'static str = "users/{}";
    const KEY: &'static str = "user";
    const KEYS: &'static str = "users";

    fn id(&self) -> &str {
        self.id.as_str()
    }
}

impl Session {
    /// # Errors
    /// [`Error::Conflict`] if the name is taken in the domain, [`Error::BadRequest`] if the cloud's rules refuse the
    /// password; else as for any request.
    pub async fn create_user(&self, new: &CreateUser) -> Result<User, Error> {
        self.create(new).await
    }

    /// # Errors
    /// [`Error::NotFound`] if there is none; else as for any request.
    pub async fn get_user(&self, id: &UserId) -> Result<User, Error> {
        self.get(id.as_str()).await
    }

    /// All users of a domain.
    ///
    /// # Errors
    /// As for any request.
    pub async fn list_users(&self, domain: &DomainId) -> Result<Vec<User>, Error> {
        let mut found: Vec<User> = self.list(vec![("domain_id", domain.to_string())]).await?;
        found.retain(|user| &user.domain_id == domain);
        Ok(found)
    }

    /// # Errors
    /// As for any request.
    pub async fn find_user(&self, domain: &DomainId, name: &str) -> Result<Option<User>, Error> {
        let mut found: Vec<User> = self
            .list(vec![("domain_id", domain.to_string()), ("name", name.to_owned())])
            .await?;
        found.retain(|user| &user.domain_id == domain);
        at_most_one(User::WHAT, format!("name {name:?} in domain {domain}"), found)
    }

    /// # Errors
    /// [`Error::NotFound`] if there is none; else as for any request.
    pub async fn update_user(&self, id: &UserId, change: &UpdateUser) -> Result<User, Error> {
        self.patch(id.as_str(), change).await
    }

    /// Deletes it with its role assignments and application credentials; absence is success.
    ///
    /// # Errors
    /// As for any request.
    pub async fn delete_user(&self, id: &UserId) -> Result<(), Error> {
        self.delete::<User>(id.as_str()).await
    }
}
