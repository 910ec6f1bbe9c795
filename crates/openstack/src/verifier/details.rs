//! The contents of a token.

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::id::{DomainId, ProjectId, RoleId, UserId};

/// An identifier with the name that people know. Names are for display: only IDs say who is meant.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Named<T> {
    /// The identifier.
    pub id: T,
    /// The name; anything that its owner thought of.
    #[serde(default)]
    pub name: String,
}

/// What a token is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenScope {
    /// Nothing but asking for another token.
    Unscoped,
    /// The cloud as a whole.
    System,
    /// A domain.
    Domain(Named<DomainId>),
    /// A project, with its domain.
    Project(Named<ProjectId>, DomainId),
}

/// The application credential that a token was issued for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApplicationCredential {
    /// Its ID.
    pub id: String,
    /// Whether it is limited to certain requests of certain OpenStack services.
    pub has_access_rules: bool,
}

/// What Keystone says of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenDetails {
    /// Its user.
    pub user: Named<UserId>,
    /// The user's domain.
    pub user_domain: DomainId,
    /// What it is for.
    pub scope: TokenScope,
    /// The roles that it carries there.
    pub roles: Vec<Named<RoleId>>,
    /// The application credential that it was issued for.
    pub application_credential: Option<ApplicationCredential>,
    /// Whether somebody else than the user obtained it on the user's behalf: a trust or OAuth.
    pub delegated: bool,
    /// When it was issued, by Keystone's clock.
    pub issued_at: Timestamp,
    /// When it expires, by Keystone's clock.
    pub expires_at: Timestamp,
}

#[derive(Deserialize)]
struct Body {
    user: UserBody,
    project: Option<ProjectBody>,
    domain: Option<Named<DomainId>>,
    system: Option<Value>,
    #[serde(default)]
    roles: Vec<Named<RoleId>>,
    application_credential: Option<CredentialBody>,
    #[serde(rename = "OS-TRUST:trust")]
    trust: Option<Value>,
    #[serde(rename = "OS-OAUTH1")]
    oauth1: Option<Value>,
    #[serde(rename = "OS-OAUTH2")]
    oauth2: Option<Value>,
    issued_at: Timestamp,
    expires_at: Timestamp,
}

#[derive(Deserialize)]
struct UserBody {
    #[serde(flatten)]
    named: Named<UserId>,
    domain: Named<DomainId>,
}

#[derive(Deserialize)]
struct ProjectBody {
    #[serde(flatten)]
    named: Named<ProjectId>,
    domain: Named<DomainId>,
}

#[derive(Deserialize)]
struct CredentialBody {
    id: String,
    access_rules: Option<Value>,
}

impl<'de> Deserialize<'de> for TokenDetails {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let body = Body::deserialize(deserializer)?;
        let scope = match (body.project, body.domain, body.system) {
            (Some(project), None, None) => TokenScope::Project(project.named, project.domain.id),
            (None, Some(domain), None) => TokenScope::Domain(domain),
            (None, None, Some(_)) => TokenScope::System,
            (None, None, None) => TokenScope::Unscoped,
            _ => return Err(serde::de::Error::custom("a token with several scopes")),
        };
        Ok(Self {
            user: body.user.named,
            user_domain: body.user.domain.id,
            scope,
            roles: body.roles,
            application_credential: body.application_credential.map(|credential| ApplicationCredential {
                id: credential.id,
                has_access_rules: credential.access_rules.is_some(),
            }),
            delegated: body.trust.is_some() || body.oauth1.is_some() || body.oauth2.is_some(),
            issued_at: body.issued_at,
            expires_at: body.expires_at,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(more: &Value) -> Result<TokenDetails, serde_json::Error> {
        let mut token = json!({
            "methods": ["password"], "audit_ids": ["x"], "issued_at": "2026-11-22T07:25:06.000000Z",
            "expires_at": "2026-11-22T08:25:06.000000Z",
            "user": {"id": "u1", "name": "system:admin", "domain": {"id": "default", "name": "Default"}, "password_expires_at": null},
        });
        for (key, value) in more.as_object().unwrap() {
            token[key] = value.clone();
        }
        serde_json::from_value(token)
    }

    #[test]
    fn tells_scopes_apart() {
        let project = json!({"project": {"id": "p1", "name": "p", "domain": {"id": "d", "name": "D"}}});
        let expected = TokenScope::Project(
            Named {
                id: "p1".parse().unwrap(),
                name: "p".into(),
            },
            "d".parse().unwrap(),
        );
        assert_eq!(token(&project).unwrap().scope, expected);
        assert_eq!(token(&json!({})).unwrap().scope, TokenScope::Unscoped);
        assert_eq!(
            token(&json!({"system": {"all": true}})).unwrap().scope,
            TokenScope::System
        );
        let domain = token(&json!({"domain": {"id": "d", "name": "D"}})).unwrap().scope;
        assert!(matches!(domain, TokenScope::Domain(domain) if domain.id.as_str() == "d"));
        let mut both = project;
        both["system"] = json!({"all": true});
        assert!(token(&both).is_err());
    }

    #[test]
    fn sees_delegation_and_access_rules() {
        assert!(!token(&json!({})).unwrap().delegated);
        for key in ["OS-TRUST:trust", "OS-OAUTH1", "OS-OAUTH2"] {
            assert!(token(&json!({key: {"id": "t"}})).unwrap().delegated, "{key}");
        }
        for (rules, expected) in [
            (json!(null), false),
            (json!([]), true),
            (json!([{"service": "network"}]), true),
        ] {
            let credential =
                json!({"application_credential": {"id": "a", "name": "n", "restricted": true, "access_rules": rules}});
            let found = token(&credential).unwrap().application_credential.unwrap();
            assert_eq!(found.has_access_rules, expected);
        }
    }

    #[test]
    fn refuses_identifiers_that_keystone_never_gives() {
        assert!(token(&json!({"user": {"id": "a:b", "domain": {"id": "default"}}})).is_err());
        assert!(token(&json!({"roles": [{"id": "system:masters", "name": "x"}]})).is_err());
    }
}
