//! Where a cloud is described, and which `secure.yaml` belongs to a `clouds.yaml`.

use std::path::{Path, PathBuf};

use super::ConfigError;

/// What a cloud's settings are read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloudSource {
    /// The `OS_*` variables.
    Variables,
    /// `clouds.yaml`.
    Files {
        /// Name of the cloud; `None` means the only one.
        cloud: Option<String>,
        /// The `clouds.yaml`, perhaps relative to the present directory.
        clouds: PathBuf,
        /// What is added to it: the file that `OS_CLIENT_SECURE_FILE` names, else the `secure.yaml` beside it.
        secure: Option<PathBuf>,
    },
}

/// The `secure.yaml` in the directory of a `clouds.yaml`. openstacksdk takes the first of all directories
/// (<https://docs.openstack.org/openstacksdk/latest/user/config/configuration.html>): a stranger's `clouds.yaml` in the present
/// one would get the user's own password and say where to send it.
///
/// # Errors
/// [`ConfigError::Setting`] when the two are in different directories once links are followed: a stranger can make links too.
pub(super) fn beside(clouds: &Path) -> Result<Option<PathBuf>, ConfigError> {
    let candidates = ["secure.yaml", "secure.yml"].map(|name| clouds.with_file_name(name));
    let Some(secure) = candidates.into_iter().find(|path| path.is_file()) else {
        return Ok(None);
    };
    if directory(&secure) == directory(clouds) {
        return Ok(Some(secure));
    }
    Err(ConfigError::setting(
        "secure.yaml",
        format!(
            "{} and {} are links to different directories, so one may be a stranger's: if both are yours, name them with OS_CLIENT_CONFIG_FILE and OS_CLIENT_SECURE_FILE",
            clouds.display(),
            secure.display()
        ),
    ))
}

/// The one that really holds the file.
fn directory(file: &Path) -> Option<PathBuf> {
    Some(file.canonicalize().ok()?.parent()?.to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir, write};
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::config::{Credentials, Environment};

    const CLOUDS: &str = "clouds: {a: {auth: {auth_url: 'http://a', username: u, project_name: p, user_domain_id: default, project_domain_id: default}}}";
    const SECURE: &str = "clouds: {a: {auth: {password: hidden}}}";

    /// The directories `here`, which is searched first, and `own`, with both files in `own`.
    fn directories() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let (here, own) = (root.path().join("here"), root.path().join("own"));
        create_dir(&here).unwrap();
        create_dir(&own).unwrap();
        write(own.join("clouds.yaml"), CLOUDS).unwrap();
        write(own.join("secure.yaml"), SECURE).unwrap();
        (root, here, own)
    }

    fn environment<'a>(variables: &'a [(&str, PathBuf)], directories: [&Path; 2]) -> Environment<'a> {
        let variable = move |wanted: &str| {
            let (_, path) = variables.iter().find(|(name, _)| *name == wanted)?;
            path.to_str().map(str::to_owned)
        };
        Environment::new(variable, directories.map(Path::to_owned).to_vec())
    }

    #[test]
    fn a_strangers_clouds_yaml_gets_no_password() {
        let (_root, here, own) = directories();
        write(here.join("clouds.yaml"), CLOUDS.replace("//a", "//evil")).unwrap();
        let variables = [];
        let environment = environment(&variables, [&here, &own]);
        let error = environment.cloud(Some("a")).unwrap_err().to_string();
        assert!(error.contains("password: is missing"), "{error}");
    }

    #[test]
    fn a_password_comes_from_beside_or_from_the_file_that_is_named() {
        let (_root, here, own) = directories();
        let file = |name: &str| own.join(name);
        write(here.join("clouds.yml"), CLOUDS).unwrap();
        for variables in [
            &[("OS_CLIENT_SECURE_FILE", file("secure.yaml"))][..],
            &[("OS_CLIENT_CONFIG_FILE", file("clouds.yaml"))][..],
            &[
                ("OS_CLIENT_CONFIG_FILE", file("clouds.yaml")),
                ("OS_CLIENT_SECURE_FILE", PathBuf::new()),
            ][..],
        ] {
            let environment = environment(variables, [&here, &own]);
            let config = environment.cloud(None).unwrap();
            assert!(matches!(config.credentials, Credentials::Password { .. }));
            let CloudSource::Files { secure, .. } = environment.source(None).unwrap() else {
                panic!("there are files")
            };
            assert_eq!(secure, Some(file("secure.yaml")), "{variables:?}");
        }
    }

    #[test]
    fn links_may_lead_elsewhere_only_together() {
        for (linked, allowed) in [
            (&["clouds.yaml", "secure.yaml"][..], true),
            // Would get the user's password.
            (&["secure.yaml"][..], false),
            // Has the user's password, perhaps; what stands in secure.yaml wins, so that it could say where to send it.
            (&["clouds.yaml"][..], false),
        ] {
            let (_root, here, own) = directories();
            for name in ["clouds.yaml", "secure.yaml"] {
                if linked.contains(&name) {
                    symlink(own.join(name), here.join(name)).unwrap();
                } else {
                    write(here.join(name), CLOUDS).unwrap();
                }
            }
            let variables = [];
            let found = environment(&variables, [&here, &own]).cloud(None);
            assert_eq!(found.is_ok(), allowed, "{linked:?}");
            if let Err(error) = found {
                let text = error.to_string();
                assert!(
                    text.contains("OS_CLIENT_SECURE_FILE") && !text.contains("hidden"),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn an_empty_name_is_none() {
        let (_root, here, own) = directories();
        let empty = || ("OS_CLOUD", PathBuf::new());
        let url = || ("OS_AUTH_URL", PathBuf::from("http://k"));
        let files = |cloud: Option<&str>| CloudSource::Files {
            cloud: cloud.map(str::to_owned),
            clouds: own.join("clouds.yaml"),
            secure: Some(own.join("secure.yaml")),
        };
        for (variables, name, expected) in [
            (&[empty(), url()][..], None, CloudSource::Variables),
            (&[empty(), url()][..], Some(""), CloudSource::Variables),
            (&[empty()][..], Some(""), files(None)),
            (&[("OS_CLOUD", "a".into()), url()][..], Some(""), files(Some("a"))),
            (&[empty(), url()][..], Some("a"), files(Some("a"))),
        ] {
            let source = environment(variables, [&here, &own]).source(name).unwrap();
            assert_eq!(source, expected, "{variables:?} {name:?}");
        }
    }
}
