use std::collections::BTreeSet;

use http::Method;
use serde::Deserialize;

use crate::error::Error;
use crate::request::Request;
use crate::service::Service;
use crate::session::Session;

/// Aliases of the Neutron API extensions that Stackube does not work without. All come with ML2/OVN as it is. The extension
/// driver for tags in a port's POST is not among them: ML2/OVN hides its alias (see `tags.rs`).
pub const REQUIRED_EXTENSIONS: [&str; 11] = [
    "binding",
    "external-net",
    "ext-gw-mode",
    "port-security",
    "quotas",
    "rbac-policies",
    "revision-if-match",
    "router",
    "security-group",
    "standard-attr-description",
    "standard-attr-tag",
];

#[derive(Deserialize)]
struct Extension {
    alias: String,
}

impl Session {
    /// The aliases of the API extensions of this Neutron.
    ///
    /// # Errors
    /// As for any request.
    pub async fn list_extensions(&self) -> Result<BTreeSet<String>, Error> {
        let request = Request::new(Service::Network, Method::GET, "extensions", &[]).about("extension", "list");
        let extensions: Vec<Extension> = self.send(request).await?.decode_key("extensions")?;
        Ok(extensions.into_iter().map(|extension| extension.alias).collect())
    }

    /// To be called at start, so that an old Neutron is an error then and not a stray object later.
    ///
    /// # Errors
    /// [`Error::Unsupported`] naming what of [`REQUIRED_EXTENSIONS`] is missing; else as for any request.
    pub async fn require_extensions(&self) -> Result<(), Error> {
        let present = self.list_extensions().await?;
        let missing: Vec<String> = REQUIRED_EXTENSIONS
            .iter()
            .filter(|alias| !present.contains(**alias))
            .map(|&alias| alias.to_owned())
            .collect();
        if missing.is_empty() {
            Ok(())
        } else {
            Err(Error::Unsupported { missing })
        }
    }
}
