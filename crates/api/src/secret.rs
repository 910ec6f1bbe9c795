use std::fmt;

use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A password as a person writes it into a Tenant.
///
/// It never shows in `Debug` output. It does serialize, since the API server has to store what was applied until the
/// controller has moved it into a Secret.
#[derive(Clone, Default)]
pub struct PlainPassword(SecretString);

impl PlainPassword {
    /// The password for the one call that needs it.
    pub fn secret(&self) -> &SecretString {
        &self.0
    }

    /// True when nothing is left to move (absent and empty mean the same).
    pub fn is_empty(&self) -> bool {
        self.0.expose_secret().is_empty()
    }
}

impl From<&str> for PlainPassword {
    fn from(value: &str) -> Self {
        Self(SecretString::from(value))
    }
}

impl fmt::Debug for PlainPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[REDACTED]")
    }
}

impl PartialEq for PlainPassword {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl Serialize for PlainPassword {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose_secret())
    }
}

impl<'de> Deserialize<'de> for PlainPassword {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(SecretString::from(text)))
    }
}

impl JsonSchema for PlainPassword {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PlainPassword".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "maxLength": 255 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_hides_the_password() {
        let text = format!("{:?}", PlainPassword::from("hunter2"));
        assert!(!text.contains("hunter2"), "{text}");
    }
}
