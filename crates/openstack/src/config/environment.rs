//! Where openstacksdk and its command line clients look for a cloud: `OS_*` variables and `clouds.yaml` files.

use std::fmt;
use std::path::PathBuf;

use openstack_sdk_core::config::{Auth, CloudConfig as SdkCloud};

use super::clouds_yaml::{from_sdk, read};
use super::source::beside;
use super::{CloudConfig, CloudSource, ConfigError};

type Variable<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// The variables of a process and the directories that hold configuration.
pub struct Environment<'a> {
    variable: Box<Variable<'a>>,
    directories: Vec<PathBuf>,
}

impl fmt::Debug for Environment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("directories", &self.directories)
            .finish_non_exhaustive()
    }
}

impl<'a> Environment<'a> {
    /// `variable` gives the value of a variable, `directories` are searched for `clouds.yaml`, the first first.
    pub fn new(variable: impl Fn(&str) -> Option<String> + 'a, directories: Vec<PathBuf>) -> Self {
        Self {
            variable: Box::new(variable),
            directories,
        }
    }

    /// This process, with openstacksdk's directories: the present one, `~/.config/openstack`, `/etc/openstack`.
    #[must_use]
    pub fn of_process() -> Self {
        let variable = |name: &str| std::env::var(name).ok();
        let own = variable("XDG_CONFIG_HOME")
            .filter(|path| !path.is_empty())
            .map(PathBuf::from);
        let own = own.or_else(|| Some(PathBuf::from(variable("HOME")?).join(".config")));
        let mut directories = vec![PathBuf::from(".")];
        directories.extend(own.map(|path| path.join("openstack")));
        directories.push(PathBuf::from("/etc/openstack"));
        Self::new(variable, directories)
    }

    /// A variable that is set and not empty.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    /// The cloud of that name, else the one that `OS_CLOUD` names, in `clouds.yaml`; without either what the `OS_*` variables
    /// describe; else the only cloud of `clouds.yaml`.
    ///
    /// # Errors
    /// [`ConfigError`] with the file or variable that is missing or wrong.
    pub fn cloud(&self, name: Option<&str>) -> Result<CloudConfig, ConfigError> {
        match self.source(name)? {
            CloudSource::Variables => self.described_by_variables(),
            CloudSource::Files { cloud, clouds, secure } => read(&clouds, secure.as_deref())?.cloud(cloud.as_deref()),
        }
    }

    /// Where [`Environment::cloud`] reads. An empty name is none, as an empty variable is.
    ///
    /// # Errors
    /// [`ConfigError::Setting`] when there is no `clouds.yaml`, or a `secure.yaml` that may not be meant for it.
    pub fn source(&self, name: Option<&str>) -> Result<CloudSource, ConfigError> {
        let named = name.filter(|name| !name.is_empty()).map(str::to_owned);
        let named = named.or_else(|| self.variable("OS_CLOUD"));
        if named.is_none() && self.variable("OS_AUTH_URL").is_some() {
            return Ok(CloudSource::Variables);
        }
        let clouds = match self.variable("OS_CLIENT_CONFIG_FILE") {
            Some(path) => PathBuf::from(path),
            None => self.in_directories()?,
        };
        let secure = match self.variable("OS_CLIENT_SECURE_FILE") {
            Some(path) => Some(PathBuf::from(path)),
            None => beside(&clouds)?,
        };
        Ok(CloudSource::Files {
            cloud: named,
            clouds,
            secure,
        })
    }

    fn in_directories(&self) -> Result<PathBuf, ConfigError> {
        let mut candidates = self
            .directories
            .iter()
            .flat_map(|directory| ["clouds.yaml", "clouds.yml"].map(|name| directory.join(name)));
        candidates.find(|path| path.is_file()).ok_or_else(|| {
            let searched: Vec<String> = self.directories.iter().map(|path| path.display().to_string()).collect();
            ConfigError::setting(
                "clouds.yaml",
                format!(
                    "not found in {}: put it there, name it with OS_CLIENT_CONFIG_FILE, or set OS_AUTH_URL, OS_USERNAME, OS_PASSWORD, OS_PROJECT_NAME and the domains",
                    searched.join(", ")
                ),
            )
        })
    }

    fn described_by_variables(&self) -> Result<CloudConfig, ConfigError> {
        let get = |name: &str| self.variable(name);
        let default_domain = || get("OS_DEFAULT_DOMAIN");
        let auth = Auth {
            auth_url: get("OS_AUTH_URL"),
            username: get("OS_USERNAME"),
            user_id: get("OS_USER_ID"),
            user_domain_id: get("OS_USER_DOMAIN_ID"),
            user_domain_name: get("OS_USER_DOMAIN_NAME").or_else(default_domain),
            password: get("OS_PASSWORD").map(Into::into),
            token: get("OS_TOKEN").map(Into::into),
            passcode: get("OS_PASSCODE").map(Into::into),
            project_id: get("OS_PROJECT_ID").or_else(|| get("OS_TENANT_ID")),
            project_name: get("OS_PROJECT_NAME").or_else(|| get("OS_TENANT_NAME")),
            project_domain_id: get("OS_PROJECT_DOMAIN_ID"),
            project_domain_name: get("OS_PROJECT_DOMAIN_NAME").or_else(default_domain),
            application_credential_id: get("OS_APPLICATION_CREDENTIAL_ID"),
            application_credential_name: get("OS_APPLICATION_CREDENTIAL_NAME"),
            application_credential_secret: get("OS_APPLICATION_CREDENTIAL_SECRET").map(Into::into),
            ..Auth::default()
        };
        from_sdk(SdkCloud {
            auth: Some(auth),
            auth_type: get("OS_AUTH_TYPE"),
            region_name: get("OS_REGION_NAME"),
            cacert: get("OS_CACERT"),
            interface: get("OS_INTERFACE").or_else(|| get("OS_ENDPOINT_TYPE")),
            ..SdkCloud::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::config::{Credentials, DomainRef, ProjectRef, UserRef};

    fn cloud(
        variables: &[(&str, &str)],
        files: &[(&str, &str)],
        name: Option<&str>,
    ) -> Result<CloudConfig, ConfigError> {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let variables: HashMap<&str, &str> = variables.iter().copied().collect();
        let variable = |name: &str| variables.get(name).map(|value| (*value).to_owned());
        let missing = directory.path().join("missing");
        Environment::new(variable, vec![missing, directory.path().to_owned()]).cloud(name)
    }

    const OS: [(&str, &str); 5] = [
        ("OS_AUTH_URL", "http://keystone:5000"),
        ("OS_USERNAME", "u"),
        ("OS_PASSWORD", "0x10"),
        ("OS_PROJECT_NAME", "p"),
        ("OS_DEFAULT_DOMAIN", "Default"),
    ];
    const CLOUDS: &str = "clouds: {a: {auth: {auth_url: 'http://a', username: u, project_name: p, user_domain_id: default, project_domain_id: default}}}";
    const SECURE: &str = "clouds: {a: {auth: {password: hidden}}}";

    #[test]
    fn variables_describe_a_cloud() {
        let config = cloud(&OS, &[], None).unwrap();
        let domain = || DomainRef::Name("Default".to_owned());
        let Credentials::Password { user, project, .. } = config.credentials else {
            panic!("a password was given")
        };
        let (name, other) = ("u".to_owned(), "p".to_owned());
        assert_eq!(user, UserRef::Name { name, domain: domain() });
        assert_eq!(
            project,
            ProjectRef::Name {
                name: other,
                domain: domain()
            }
        );
    }

    #[test]
    fn application_credentials_need_no_project() {
        let variables = [
            ("OS_AUTH_URL", "http://keystone:5000"),
            ("OS_AUTH_TYPE", "v3applicationcredential"),
            ("OS_APPLICATION_CREDENTIAL_ID", "a1"),
            ("OS_APPLICATION_CREDENTIAL_SECRET", "s"),
        ];
        let config = cloud(&variables, &[], None).unwrap();
        assert!(matches!(config.credentials, Credentials::ApplicationCredential { .. }));
    }

    #[test]
    fn a_name_wins_over_variables_and_secure_yaml_adds_the_password() {
        let files = [("clouds.yaml", CLOUDS), ("secure.yaml", SECURE)];
        for (variables, name) in [(&OS[..], Some("a")), (&[("OS_CLOUD", "a")][..], None), (&[][..], None)] {
            let config = cloud(variables, &files, name).unwrap();
            assert_eq!(config.auth_url.as_url().host_str(), Some("a"), "{variables:?} {name:?}");
        }
    }

    #[test]
    fn says_what_is_missing() {
        for (variables, files, wanted) in [
            (&[][..], &[][..], "OS_CLIENT_CONFIG_FILE"),
            (
                &[("OS_CLOUD", "b")][..],
                &[("clouds.yaml", CLOUDS)][..],
                "has no cloud \"b\", only: a",
            ),
            (&[][..], &[("clouds.yaml", CLOUDS)][..], "password: is missing"),
            (&OS[..3], &[][..], "project_name: is missing"),
            (
                &[("OS_AUTH_URL", "http://k"), ("OS_AUTH_TYPE", "v3oidcpassword")][..],
                &[][..],
                "is not supported",
            ),
            (
                &[("OS_CLIENT_CONFIG_FILE", "/nowhere.yaml")][..],
                &[][..],
                "/nowhere.yaml: cannot be read",
            ),
        ] {
            let error = cloud(variables, files, None).unwrap_err().to_string();
            assert!(error.contains(wanted), "{error:?} should say {wanted:?}");
        }
    }
}
