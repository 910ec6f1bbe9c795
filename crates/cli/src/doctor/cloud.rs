//! The user's side: clouds.yaml, Keystone, the login, the clock.

use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use stackube_openstack::{BearerToken, Error, TokenDetails, TokenScope};

use super::{Finding, Report, sentence};
use crate::clock;
use crate::cloud::Login;

/// A token should live for so long at least.
const LIFETIME: Duration = Duration::from_secs(600);

/// A login that works.
#[derive(Debug)]
pub(crate) struct LoggedIn {
    pub(crate) auth_url: String,
    pub(crate) token: SecretString,
    /// Whether Neutron answers, or why not.
    pub(crate) neutron: Result<(), Error>,
}

pub(super) async fn check(cloud: Option<&str>, report: &mut Report) -> Option<LoggedIn> {
    let login = match Login::find(cloud) {
        Ok(login) => login,
        Err(error) => {
            report.add("credentials", Finding::Bad(sentence(error)));
            return None;
        }
    };
    report.add("credentials", Finding::Good(format!("for {}", login.auth_url)));
    // A new token, not one that is kept: whether the password still is right is what is asked here.
    let issued = match login.cloud.service().bearer_token().await {
        Ok(issued) => issued,
        Err(error) => {
            report.add("Keystone", Finding::Bad(sentence(error)));
            return None;
        }
    };
    report.add("Keystone", Finding::Good("accepts the credentials".to_owned()));
    match login.verifier.verify(&issued.secret).await {
        Ok(Some(details)) => {
            report.add("clock", clock(&details, Timestamp::now()));
            report.add("project", project(&details));
        }
        Ok(None) => report.add(
            "token",
            Finding::Bad("Keystone does not know the token that it just issued: its hosts must share their Fernet keys and clocks".to_owned()),
        ),
        Err(error) => report.add("token", Finding::Bad(sentence(error))),
    }
    report.add("token lifetime", lifetime(&issued));
    let neutron = login.cloud.service().list_extensions().await;
    Some(LoggedIn {
        auth_url: login.auth_url,
        token: issued.secret,
        neutron: neutron.map(drop),
    })
}

/// A tenant's user may do without Neutron; no pod gets a network without it, which is the administrator's business. That it cannot
/// be reached from this machine says nothing of the controller, which is elsewhere.
pub(super) fn neutron(answer: &Result<(), Error>, administrator: bool) -> Finding {
    match answer {
        Ok(()) => Finding::Good("answers".to_owned()),
        Err(error @ (Error::Unreachable { .. } | Error::Timeout { .. })) => Finding::Doubtful(format!(
            "does not answer from here, which stackube-controller may not mind: {}",
            sentence(error.clone())
        )),
        Err(error) if administrator => Finding::Bad(sentence(error.clone())),
        Err(error) => Finding::Doubtful(sentence(error.clone())),
    }
}

fn clock(details: &TokenDetails, now: Timestamp) -> Finding {
    clock::complaint(details.issued_at, now)
        .map_or_else(|| Finding::Good("agrees with Keystone's".to_owned()), Finding::Bad)
}

fn project(details: &TokenDetails) -> Finding {
    let TokenScope::Project(project, _) = &details.scope else {
        return Finding::Bad("the token is not one of a project: name a project in clouds.yaml".to_owned());
    };
    let ours: Vec<&str> = details
        .roles
        .iter()
        .map(|role| role.name.as_str())
        .filter(|name| name.starts_with("stackube-"))
        .collect();
    if ours.is_empty() {
        return Finding::Doubtful(format!(
            "{} ({}) gives you none of the roles stackube-admin, stackube-edit, stackube-view: ask the tenant's administrator",
            project.name, project.id
        ));
    }
    Finding::Good(format!("{} ({}), {}", project.name, project.id, ours.join(", ")))
}

fn lifetime(issued: &BearerToken) -> Finding {
    let minutes = issued.remaining.as_secs() / 60;
    if issued.remaining < LIFETIME {
        return Finding::Doubtful(format!("tokens live for {minutes} min only; each end costs a login"));
    }
    Finding::Good(format!("{minutes} min"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stackube_openstack::{Call, Service};

    use super::*;

    fn details(roles: &serde_json::Value) -> TokenDetails {
        serde_json::from_value(json!({
            "issued_at": "2026-11-22T07:00:00Z", "expires_at": "2026-11-22T08:00:00Z", "roles": roles,
            "user": {"id": "u", "name": "u", "domain": {"id": "d", "name": "d"}},
            "project": {"id": "p", "name": "acme", "domain": {"id": "d", "name": "d"}},
        }))
        .unwrap()
    }

    #[test]
    fn neutron_is_the_administrators_business() {
        let failed = Err(Error::Server {
            call: call(),
            status: 503,
            message: String::new(),
            retry_after: None,
        });
        assert!(matches!(neutron(&failed, true), Finding::Bad(text) if text.contains("503")));
        assert!(matches!(neutron(&failed, false), Finding::Doubtful(text) if text.contains("503")));
        assert!(matches!(neutron(&Ok(()), true), Finding::Good(_)));
    }

    #[test]
    fn a_neutron_that_is_away_from_here_may_be_there_for_the_cluster() {
        let after = Duration::from_secs(1);
        let call = call();
        let away = Err(Error::Timeout {
            call,
            sent: false,
            after,
        });
        for administrator in [true, false] {
            let finding = neutron(&away, administrator);
            assert!(
                matches!(&finding, Finding::Doubtful(text) if text.contains("from here")),
                "{finding:?}"
            );
        }
    }

    fn call() -> Box<Call> {
        Box::new(Call {
            service: Service::Network,
            method: "GET".parse().unwrap(),
            url: "http://neutron/v2.0/extensions".to_owned(),
            request_id: None,
        })
    }

    #[test]
    fn misses_our_roles() {
        assert!(matches!(
            project(&details(&json!([{"id": "r", "name": "member"}]))),
            Finding::Doubtful(_)
        ));
        let good = project(&details(
            &json!([{"id": "r", "name": "stackube-edit"}, {"id": "s", "name": "reader"}]),
        ));
        assert_eq!(good, Finding::Good("acme (p), stackube-edit".to_owned()));
    }
}
