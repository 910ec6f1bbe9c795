//! `clouds.yaml`, read with the SDK's own types.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use openstack_sdk_core::config::{Auth, CloudConfig as SdkCloud, ConfigFile};

use super::auth_type::{Proof, proof};
use super::{ApplicationCredentialRef, AuthUrl, CloudConfig, ConfigError, Credentials, DomainRef, ProjectRef, UserRef};

impl CloudConfig {
    /// Reads one cloud of a `clouds.yaml` (openstacksdk's format). Vendor profiles are not followed.
    ///
    /// # Errors
    /// [`ConfigError::CloudsYaml`] when the file cannot be read or has no such cloud, and what is wrong with its settings.
    pub fn from_clouds_yaml(path: impl AsRef<Path>, cloud: &str) -> Result<Self, ConfigError> {
        read(path.as_ref(), None)?.cloud(Some(cloud))
    }
}

/// A `clouds.yaml`, perhaps with the `secure.yaml` beside it.
pub(super) struct Clouds {
    path: PathBuf,
    clouds: HashMap<String, SdkCloud>,
}

impl Clouds {
    /// The cloud of that name; without a name the only one.
    pub(super) fn cloud(mut self, name: Option<&str>) -> Result<CloudConfig, ConfigError> {
        let mut names: Vec<String> = self.clouds.keys().cloned().collect();
        names.sort();
        let names = names.join(", ");
        match name {
            Some(name) => match self.clouds.remove(name) {
                Some(found) => from_sdk(found),
                None => Err(self.refuse(format!("has no cloud {name:?}, only: {names}"))),
            },
            None if self.clouds.len() > 1 => Err(self.refuse(format!("has several clouds, choose one: {names}"))),
            None => {
                let only = self.clouds.drain().next();
                only.map_or_else(
                    || Err(self.refuse("has no clouds".to_owned())),
                    |(_, found)| from_sdk(found),
                )
            }
        }
    }

    fn refuse(&self, reason: String) -> ConfigError {
        refuse(&self.path, reason)
    }
}

/// What stands in `secure` is added to what stands in `path`.
pub(super) fn read(path: &Path, secure: Option<&Path>) -> Result<Clouds, ConfigError> {
    let mut builder = ConfigFile::builder();
    for path in std::iter::once(path).chain(secure) {
        // The parser's errors may quote the file, which holds passwords; so they are not passed on.
        std::fs::File::open(path).map_err(|error| refuse(path, format!("cannot be read: {error}")))?;
        builder = builder.add_source(path).map_err(|_| not_clouds(path))?;
    }
    let file = builder.build().map_err(|_| not_clouds(path))?;
    Ok(Clouds {
        path: path.to_owned(),
        clouds: file.clouds.unwrap_or_default(),
    })
}

fn not_clouds(path: &Path) -> ConfigError {
    refuse(
        path,
        "is not a clouds.yaml: expected `clouds:` with one mapping per cloud".to_owned(),
    )
}

fn refuse(path: &Path, reason: String) -> ConfigError {
    ConfigError::CloudsYaml {
        path: path.to_owned(),
        reason,
    }
}

pub(super) fn from_sdk(cloud: SdkCloud) -> Result<CloudConfig, ConfigError> {
    if cloud.verify == Some(false) {
        return Err(ConfigError::setting(
            "verify",
            "certificates are always verified: name the CA with `cacert`",
        ));
    }
    if cloud.profile.is_some() {
        return Err(ConfigError::setting(
            "profile",
            "vendor profiles are not followed: write the settings out",
        ));
    }
    let auth = cloud.auth.ok_or_else(|| ConfigError::setting("auth", "is missing"))?;
    let auth_url = AuthUrl::parse(&required("auth_url", auth.auth_url.clone())?)?;
    let mut config = CloudConfig::new(auth_url, credentials(cloud.auth_type.as_deref(), auth)?);
    config.region = cloud.region_name;
    config.ca_file = cloud.cacert.map(Into::into);
    if let Some(interface) = cloud.interface {
        config.interface = interface.parse()?;
    }
    Ok(config)
}

fn credentials(auth_type: Option<&str>, auth: Auth) -> Result<Credentials, ConfigError> {
    match proof(auth_type, &auth)? {
        Proof::ApplicationCredential => application_credential(auth),
        Proof::Password => password(auth),
    }
}

fn application_credential(auth: Auth) -> Result<Credentials, ConfigError> {
    let secret = auth.application_credential_secret.clone();
    let secret = secret.ok_or_else(|| ConfigError::setting("application_credential_secret", "is missing"))?;
    let credential = match (&auth.application_credential_id, &auth.application_credential_name) {
        (Some(id), _) => ApplicationCredentialRef::Id(id.clone()),
        (None, Some(name)) => ApplicationCredentialRef::Name {
            name: name.clone(),
            user: user(&auth)?,
        },
        (None, None) => return Err(ConfigError::setting("application_credential_id", "is missing")),
    };
    Ok(Credentials::ApplicationCredential { credential, secret })
}

fn password(auth: Auth) -> Result<Credentials, ConfigError> {
    let password = auth
        .password
        .clone()
        .ok_or_else(|| ConfigError::setting("password", "is missing"))?;
    let project = match auth.project_id.clone() {
        Some(id) => ProjectRef::Id(id_setting("project_id", id)?),
        None => ProjectRef::Name {
            name: required("project_name", auth.project_name.clone())?,
            domain: domain(
                "project_domain_name",
                &auth.project_domain_id,
                &auth.project_domain_name,
            )?,
        },
    };
    Ok(Credentials::Password {
        user: user(&auth)?,
        password,
        project,
    })
}

fn user(auth: &Auth) -> Result<UserRef, ConfigError> {
    match auth.user_id.clone() {
        Some(id) => Ok(UserRef::Id(id_setting("user_id", id)?)),
        None => Ok(UserRef::Name {
            name: required("username", auth.username.clone())?,
            domain: domain("user_domain_name", &auth.user_domain_id, &auth.user_domain_name)?,
        }),
    }
}

fn domain(setting: &'static str, id: &Option<String>, name: &Option<String>) -> Result<DomainRef, ConfigError> {
    match (id, name) {
        (Some(id), _) => id_setting(setting, id.clone()).map(DomainRef::Id),
        (None, Some(name)) => Ok(DomainRef::Name(name.clone())),
        (None, None) => Err(ConfigError::setting(
            setting,
            "is missing: name the domain, often Default",
        )),
    }
}

fn required(setting: &'static str, value: Option<String>) -> Result<String, ConfigError> {
    value.ok_or_else(|| ConfigError::setting(setting, "is missing"))
}

fn id_setting<T>(setting: &'static str, value: String) -> Result<T, ConfigError>
where
    T: TryFrom<String, Error = crate::id::InvalidId>,
{
    T::try_from(value).map_err(|error| ConfigError::setting(setting, error.to_string()))
}
