//! From texts to a checked configuration. Every key is looked at, also after the first problem.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::Ipv4Net;
use jiff::SignedDuration;
use secrecy::SecretString;
use stackube_api::address::{AddressRules, ReservedRange, Subnet};
use stackube_openstack::id::NetworkId;
use stackube_openstack::{AuthUrl, CloudConfig, Credentials, DomainRef, Interface, ProjectRef, UserRef};

use crate::cluster::SERVICES;

use super::keys::{APPLICATION_CREDENTIAL, KNOWN};
use super::{Admission, ApiServer, Config, ConfigProblems, Loaded, admission, quota};

/// Keystone's first domain, under the name that `keystone-manage bootstrap` gives it.
const DEFAULT_DOMAIN: &str = "Default";
const DEFAULT_USER_CIDR: &str = "10.244.0.0/16";
const DEFAULT_SYSTEM_CIDR: &str = "10.240.0.0/16";
/// kubeadm's default range of Services.
const DEFAULT_SERVICE_CIDR: &str = "10.96.0.0/12";
const DEFAULT_DRIFT_INTERVAL: Duration = Duration::from_secs(600);
const DEFAULT_POOL_SIZE: u16 = 2;
const DEFAULT_SWEEP_INTERVAL: Duration = Duration::from_secs(600);
const DEFAULT_SWEEP_GRACE: Duration = Duration::from_secs(3600);

pub(super) type Values = BTreeMap<String, String>;

pub(super) fn parse(settings: &Values, credentials: &Values) -> Result<Loaded, ConfigProblems> {
    let mut keys = Keys {
        settings,
        problems: vec![],
        warnings: vec![],
    };
    keys.unknown();
    keys.misplaced(credentials);
    let cloud = keys.cloud(credentials);
    let external_network = keys.external_network();
    let mut rules = keys.address_rules();
    let system = keys.subnet("system-cidr", "system-gateway", DEFAULT_SYSTEM_CIDR, &rules);
    if let Some(system) = &system {
        rules
            .reserved
            .push(ReservedRange::new(system.range(), "the system network"));
    }
    let user = keys.subnet("user-cidr", "user-gateway", DEFAULT_USER_CIDR, &rules);
    let api_server = keys.api_server();
    let drift_interval = keys.time("drift-interval", DEFAULT_DRIFT_INTERVAL);
    let sweep_interval = keys.time("sweep-interval", DEFAULT_SWEEP_INTERVAL);
    let sweep_grace = keys.time("sweep-grace", DEFAULT_SWEEP_GRACE);
    let sweep_delete = keys.parsed("sweep-delete", switch).unwrap_or(false);
    let pool_size = keys.parsed("pool-size", pool_size).unwrap_or(DEFAULT_POOL_SIZE);
    let defaults = keys
        .parsed("default-quota", quota::parse)
        .unwrap_or_else(quota::built_in);
    let admission = keys.admission();
    let tenant_domain = keys.text("tenant-domain").unwrap_or(DEFAULT_DOMAIN).to_owned();
    match (keys.problems.is_empty(), cloud, external_network, system, user) {
        (true, Some(cloud), Some(external_network), Some(system_subnet), Some(user_subnet)) => Ok(Loaded {
            config: Config {
                cloud,
                external_network,
                tenant_domain,
                api_server,
                user_subnet,
                system_subnet,
                address_rules: rules,
                drift_interval,
                pool_size,
                sweep_interval,
                sweep_delete,
                sweep_grace,
                defaults,
                admission,
            },
            warnings: keys.warnings,
        }),
        _ => Err(ConfigProblems {
            problems: keys.problems,
        }),
    }
}

struct Keys<'a> {
    settings: &'a Values,
    problems: Vec<String>,
    warnings: Vec<String>,
}

impl<'a> Keys<'a> {
    /// The value of a key; an empty one counts as absent.
    fn text(&self, key: &str) -> Option<&'a str> {
        self.settings
            .get(key)
            .map(String::as_str)
            .filter(|text| !text.is_empty())
    }

    fn problem(&mut self, key: &str, what: impl std::fmt::Display) {
        self.problems.push(format!("{key}: {what}"));
    }

    fn required(&mut self, key: &str, what: &str) -> Option<&'a str> {
        let text = self.text(key);
        if text.is_none() {
            self.problem(key, format_args!("is missing: set it to {what}"));
        }
        text
    }

    /// The parsed value of a key that may be absent; a bad value is a problem and counts as absent.
    fn parsed<T, E: std::fmt::Display>(&mut self, key: &str, parse: impl Fn(&str) -> Result<T, E>) -> Option<T> {
        let parsed = parse(self.text(key)?);
        parsed.map_err(|error| self.problem(key, error)).ok()
    }

    fn unknown(&mut self) {
        for key in self.settings.keys().filter(|key| !KNOWN.contains(&key.as_str())) {
            if APPLICATION_CREDENTIAL.contains(&key.as_str()) {
                continue;
            }
            self.problems
                .push(format!("{key}: no such key; remove it or correct its name"));
        }
    }

    /// Keys that stood in the ConfigMap of the original Stackube and no longer belong there.
    fn misplaced(&mut self, credentials: &Values) {
        for key in ["username", "password"] {
            if self.text(key).is_some() {
                self.problem(
                    key,
                    "does not belong into a ConfigMap: move it to the Secret stackube-credentials",
                );
            }
        }
        for key in APPLICATION_CREDENTIAL {
            if self.settings.contains_key(key) || credentials.contains_key(key) {
                self.problem(
                    key,
                    "an application credential is bound to one project, but the controller has to act in every \
                     tenant's: give username and password of the service user",
                );
            }
        }
        if self.text("keyring").is_some() {
            self.warnings.push(
                "keyring: not used, and a secret in a ConfigMap: remove it; volumes are attached with keys made for each of \
                 them"
                    .to_owned(),
            );
        }
        if self.text("plugin-name").is_some_and(|name| name != "ovn") {
            let name = self.text("plugin-name").unwrap_or_default();
            self.problem(
                "plugin-name",
                format_args!("{name:?} is not supported: Neutron has to run ML2 with OVN (ovn)"),
            );
        }
        if self.text("integration-bridge").is_some_and(|name| name.len() > 15) {
            self.problem(
                "integration-bridge",
                "is longer than 15 characters, so it cannot be the name of a bridge",
            );
        }
    }

    fn cloud(&mut self, credentials: &Values) -> Option<CloudConfig> {
        let auth_url = self.required(
            "auth-url",
            "Keystone's URL, for example https://keystone.example.org:5000",
        );
        let auth_url = auth_url.and_then(|_| self.parsed("auth-url", AuthUrl::from_str));
        let project = self.required("tenant-name", "the name of the service user's own project");
        let mut secret = |key: &str| {
            let value = credentials.get(key).filter(|text| !text.is_empty()).cloned();
            if value.is_none() {
                self.problems
                    .push(format!("{key}: is missing in the Secret with OpenStack's credentials"));
            }
            value
        };
        let (username, password) = (secret("username"), secret("password"));
        let interface = self.parsed("interface", Interface::from_str);
        let domain = |key| DomainRef::Name(self.text(key).unwrap_or(DEFAULT_DOMAIN).to_owned());
        let credentials = Credentials::Password {
            user: UserRef::Name {
                name: username?,
                domain: domain("user-domain-name"),
            },
            password: SecretString::from(password?),
            project: ProjectRef::Name {
                name: project?.to_owned(),
                domain: domain("project-domain-name"),
            },
        };
        let mut cloud = CloudConfig::new(auth_url?, credentials);
        cloud.region = self.text("region").map(str::to_owned);
        cloud.interface = interface.unwrap_or_default();
        cloud.ca_file = self.text("ca-file").map(PathBuf::from);
        Some(cloud)
    }

    fn external_network(&mut self) -> Option<NetworkId> {
        self.required("ext-net-id", "the ID (not the name) of the external Neutron network")?;
        self.parsed("ext-net-id", |text| NetworkId::new(text))
    }

    fn address_rules(&mut self) -> AddressRules {
        let mut rules = AddressRules::default();
        let prefix = self.parsed("longest-prefix", |text| match text.parse::<u8>() {
            Ok(length @ 8..=28) => Ok(length),
            _ => Err(format!("{text:?} is not a number from 8 to 28")),
        });
        rules.longest_prefix = prefix.unwrap_or(rules.longest_prefix);
        let services = self.parsed("service-cidr", range);
        let services = services.or_else(|| range(DEFAULT_SERVICE_CIDR).ok());
        rules
            .reserved
            .extend(services.map(|range| ReservedRange::new(range, SERVICES)));
        rules
            .reserved
            .extend(self.parsed("reserved-cidrs", reserved).unwrap_or_default());
        rules
    }

    fn subnet(&mut self, cidr: &str, gateway: &str, default: &str, rules: &AddressRules) -> Option<Subnet> {
        let subnet = Subnet::new(self.text(cidr).unwrap_or(default), self.text(gateway), rules);
        subnet.map_err(|error| self.problem(cidr, error)).ok()
    }

    fn api_server(&mut self) -> Option<ApiServer> {
        let port = self.parsed("kubernetes-port", |text| match text.parse::<u16>() {
            Ok(port) if port > 0 => Ok(port),
            _ => Err(format!("{text:?} is not a port number")),
        });
        let Some(host) = self.text("kubernetes-host") else {
            if self.text("kubernetes-port").is_some() {
                self.problem("kubernetes-port", "has no effect without kubernetes-host");
            }
            return None;
        };
        if host.contains(['/', ' ', '@']) {
            self.problem(
                "kubernetes-host",
                format_args!("{host:?} is not a host name or address"),
            );
        }
        Some(ApiServer {
            host: host.to_owned(),
            port: port.unwrap_or(6443),
        })
    }

    fn admission(&mut self) -> Admission {
        let mut words = |key, default| {
            let found = self.parsed(key, admission::words);
            found.unwrap_or_else(|| admission::words(default).unwrap_or_default())
        };
        Admission {
            reserved_names: words("reserved-names", admission::RESERVED_NAMES),
            priority_classes: words("priority-classes", ""),
            toleration_keys: words("toleration-keys", ""),
            image_registries: self
                .parsed("image-registries", admission::registries)
                .unwrap_or_default(),
            cluster_dns: self.parsed("cluster-dns", |text| {
                let address = text.parse::<Ipv4Addr>();
                address.map_err(|_| format!("{text:?} is not an IPv4 address like 10.96.0.10"))
            }),
            default_runtime: self
                .parsed("default-runtime-class", admission::runtime)
                .unwrap_or_default(),
        }
    }

    fn time(&mut self, key: &str, default: Duration) -> Duration {
        let time = self.parsed(key, |text| {
            let length = text
                .parse::<SignedDuration>()
                .ok()
                .and_then(|length| Duration::try_from(length).ok());
            length
                .filter(|length| (5..=86_400).contains(&length.as_secs()))
                .ok_or_else(|| format!("{text:?} is not a time from 5s to 24h, like 10m"))
        });
        time.unwrap_or(default)
    }
}

fn switch(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("{text:?} is neither true nor false"))
}

fn pool_size(text: &str) -> Result<u16, String> {
    let size = text.parse().ok().filter(|size| *size <= 16);
    size.ok_or_else(|| format!("{text:?} is not a number from 0 (no pool) to 16"))
}

fn range(text: &str) -> Result<Ipv4Net, String> {
    let range: Ipv4Net = text
        .parse()
        .map_err(|_| format!("{text:?} is not an IPv4 range like 172.16.0.0/12"))?;
    if range == range.trunc() {
        Ok(range)
    } else {
        Err(format!("{text:?} has host bits set: write {}", range.trunc()))
    }
}

/// One range a line, with its purpose after it: `172.16.0.0/12 office network`.
fn reserved(text: &str) -> Result<Vec<ReservedRange>, String> {
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (cidr, purpose) = line
                .split_once(char::is_whitespace)
                .unwrap_or((line, "reserved by the operator"));
            range(cidr).map(|range| ReservedRange::new(range, purpose.trim()))
        })
        .collect()
}
