//! Configuration: `clouds.yaml`, and settings that cannot work.

use std::io::Write;

use stackube_openstack::{
    AuthUrl, Cloud, CloudConfig, ConfigError, Credentials, DomainRef, Interface, ProjectRef, UserRef,
};

use crate::support::config;

fn clouds_yaml(text: &str) -> Result<CloudConfig, ConfigError> {
    let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    CloudConfig::from_clouds_yaml(file.path(), "DevBox")
}

const CLOUDS: &str = "
clouds:
  other: {auth: {auth_url: 'http://other:5000'}}
  DevBox:
    auth:
      auth_url: http://10.77.0.11:5000/v3
      username: Stackube
      password: '0123'
      user_domain_name: Default
      project_name: stackube
      project_domain_id: default
    region_name: RegionOne
    interface: internal
    cacert: /etc/ca.pem
";

#[test]
fn reads_clouds_yaml() {
    let config = clouds_yaml(CLOUDS).unwrap();
    assert_eq!(config.auth_url, AuthUrl::parse("http://10.77.0.11:5000").unwrap());
    assert_eq!(
        (config.region.as_deref(), config.interface),
        (Some("RegionOne"), Interface::Internal)
    );
    assert_eq!(config.ca_file.unwrap().to_str(), Some("/etc/ca.pem"));
    let Credentials::Password {
        user,
        password,
        project,
    } = config.credentials
    else {
        panic!("{:?}", config.credentials)
    };
    let default = || DomainRef::Name("Default".to_owned());
    assert_eq!(
        user,
        UserRef::Name {
            name: "Stackube".to_owned(),
            domain: default()
        }
    );
    assert_eq!(secrecy::ExposeSecret::expose_secret(&password), "0123");
    let domain = DomainRef::Id("default".parse().unwrap());
    assert_eq!(
        project,
        ProjectRef::Name {
            name: "stackube".to_owned(),
            domain
        }
    );
}

#[test]
fn reads_application_credentials_from_clouds_yaml() {
    let config = clouds_yaml(
        "clouds: {DevBox: {auth_type: v3applicationcredential, auth: {auth_url: 'http://k:5000',
          application_credential_id: ac, application_credential_secret: s}}}",
    )
    .unwrap();
    assert!(matches!(config.credentials, Credentials::ApplicationCredential { .. }));
    assert_eq!(config.interface, Interface::Public);
}

#[test]
fn what_is_wrong_in_clouds_yaml_is_named_and_never_quoted() {
    for (text, expected) in [
        ("clouds: {Other: {}}", "no cloud \"DevBox\", only: Other"),
        ("clouds: [hunter2]", "is not a clouds.yaml"),
        ("clouds: {DevBox: {auth: hunter2}}", "is not a clouds.yaml"),
        ("clouds: {DevBox: {}}", "auth: is missing"),
        ("clouds: {DevBox: {auth: {}}}", "auth_url: is missing"),
        (
            "clouds: {DevBox: {auth: {auth_url: 'http://k'}}}",
            "password: is missing",
        ),
        (
            "clouds: {DevBox: {auth: {auth_url: 'http://k', password: hunter2}}}",
            "project_name: is missing",
        ),
        (
            "clouds: {DevBox: {auth: {auth_url: 'http://k', password: hunter2, project_name: p}}}",
            "project_domain_name: is missing",
        ),
        (
            "clouds: {DevBox: {auth_type: v3oidcpassword, auth: {auth_url: 'http://k'}}}",
            "is not supported",
        ),
        (
            "clouds: {DevBox: {verify: false, auth: {auth_url: 'http://k'}}}",
            "certificates are always verified",
        ),
        (
            "clouds: {DevBox: {profile: x, auth: {auth_url: 'http://k'}}}",
            "profiles are not followed",
        ),
    ] {
        let error = clouds_yaml(text).unwrap_err().to_string();
        assert!(
            error.contains(expected) && !error.contains("hunter2"),
            "{text}: {error}"
        );
    }
    let error = CloudConfig::from_clouds_yaml("/nonexistent/clouds.yaml", "x")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("/nonexistent/clouds.yaml") && error.contains("No such file"),
        "{error}"
    );
}

#[test]
fn settings_that_cannot_work_are_refused_by_name() {
    let change = |change: fn(&mut CloudConfig)| {
        let mut config = config("http://k:5000");
        change(&mut config);
        Cloud::new(config).unwrap_err().to_string()
    };
    assert!(change(|c| c.region = Some(" ".to_owned())).contains("region_name"));
    assert!(change(|c| c.request_timeout = std::time::Duration::ZERO).contains("request timeout"));
    assert!(change(|c| c.retry.max_attempts = 0).contains("attempts"));
    assert!(change(|c| c.ca_file = Some("/nonexistent/ca.pem".into())).contains("/nonexistent/ca.pem"));
    let no_password = |c: &mut CloudConfig| {
        let Credentials::Password { password, .. } = &mut c.credentials else {
            return;
        };
        *password = "".into();
    };
    assert!(change(no_password).contains("password: is empty"));
}
