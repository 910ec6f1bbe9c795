//! Identifiers of OpenStack objects, one type per kind.
//!
//! An identifier is put into request paths, and some come from what a tenant wrote (`tenantID`, `networkID`). So every one
//! is checked when it is made, also when it is read from a response: 1 to 64 characters of `A-Z a-z 0-9 - _`. Keystone's
//! are 32 hexadecimal digits (64 for users and groups of an LDAP or federated domain, the word `default` for the first
//! domain), Neutron's are UUIDs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize};

/// The longest identifier that Keystone or Neutron store (`VARCHAR(64)` in Keystone, 36 in Neutron).
const MAX_LEN: usize = 64;

/// A text that cannot be the identifier of an OpenStack object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a {kind} ID: give the ID (1 to 64 letters, digits, '-' or '_'), not a name or URL")]
pub struct InvalidId {
    /// What the text was taken for, e.g. `project`.
    pub kind: &'static str,
    /// The text, cut to 64 characters.
    pub text: String,
}

fn check(kind: &'static str, text: String) -> Result<String, InvalidId> {
    let fits = (1..=MAX_LEN).contains(&text.len());
    if fits
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    {
        Ok(text)
    } else {
        Err(InvalidId {
            kind,
            text: text.chars().take(MAX_LEN).collect(),
        })
    }
}

macro_rules! ids {
    ($($name:ident: $kind:literal),+ $(,)?) => {$(
        #[doc = concat!("ID of a ", $kind, ".")]
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// # Errors
            /// [`InvalidId`] when the text has characters that no OpenStack identifier has.
            pub fn new(id: impl Into<String>) -> Result<Self, InvalidId> {
                check($kind, id.into()).map(Self)
            }

            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(id: String) -> Result<Self, InvalidId> {
                Self::new(id)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(id: &str) -> Result<Self, InvalidId> {
                Self::new(id)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )+};
}

ids! {
    ProjectId: "project",
    UserId: "user",
    GroupId: "group",
    RoleId: "role",
    DomainId: "domain",
    NetworkId: "network",
    SubnetId: "subnet",
    RouterId: "router",
    PortId: "port",
    SecurityGroupId: "security group",
    SecurityGroupRuleId: "security group rule",
    FloatingIpId: "floating IP",
    RbacPolicyId: "RBAC policy",
    AgentId: "agent",
}

/// Reads an identifier that the API leaves empty or null when there is none (Neutron does, e.g. the project of a router's
/// gateway port).
pub(crate) fn none_if_empty<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<String>,
    T::Error: fmt::Display,
{
    match Option::<String>::deserialize(deserializer)? {
        None => Ok(None),
        Some(text) if text.is_empty() => Ok(None),
        Some(text) => T::try_from(text).map(Some).map_err(serde::de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_keystone_and_neutron_issue() {
        for id in [
            "default",
            "0123456789abcdef0123456789abcdef",
            "d6a46dd3-7e3b-4be3-8df1-73ba0fbb1bd6",
            &"a".repeat(64),
        ] {
            assert_eq!(ProjectId::new(id).unwrap().as_str(), id);
        }
    }

    #[test]
    fn refuses_what_could_change_a_request_path() {
        for id in [
            "",
            "..",
            "../ports/x",
            "a/b",
            "a?b",
            "a#b",
            "a%2fb",
            "a b",
            "é",
            "a\n",
            &"a".repeat(65),
        ] {
            assert!(NetworkId::new(id).is_err(), "{id:?}");
            assert!(serde_json::from_value::<NetworkId>(id.into()).is_err(), "{id:?}");
        }
    }

    #[test]
    fn is_a_plain_string_in_json() {
        let id: PortId = serde_json::from_str("\"p-1\"").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"p-1\"");
    }

    #[test]
    fn an_error_names_the_kind_and_cuts_the_text() {
        let text = NetworkId::new("/".repeat(1000)).unwrap_err();
        assert_eq!(text.text.len(), 64);
        assert!(text.to_string().contains("is not a network ID"));
    }
}
