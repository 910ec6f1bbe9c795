//! The services that are spoken to, and how each is found in the catalog.

use std::fmt;

use openstack_sdk_core::types::{ApiVersion, ServiceType};

/// An OpenStack service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// Keystone.
    Identity,
    /// Neutron.
    Network,
}

impl Service {
    /// Every service.
    pub const ALL: [Self; 2] = [Self::Identity, Self::Network];

    /// The catalog's word, also the label in metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Network => "network",
        }
    }

    /// The one version of the API that is spoken, as it stands in paths.
    pub(crate) fn version_segment(self) -> &'static str {
        match self {
            Self::Identity => "v3",
            Self::Network => "v2.0",
        }
    }

    pub(crate) fn api_version(self) -> ApiVersion {
        match self {
            Self::Identity => ApiVersion::new(3, 0),
            Self::Network => ApiVersion::new(2, 0),
        }
    }

    pub(crate) fn index(self) -> usize {
        match self {
            Self::Identity => 0,
            Self::Network => 1,
        }
    }

    pub(crate) fn sdk_type(self) -> ServiceType {
        ServiceType::from(self.as_str())
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Identity => "Keystone",
            Self::Network => "Neutron",
        })
    }
}
