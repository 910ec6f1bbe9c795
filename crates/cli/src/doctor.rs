//! `stackube doctor`: looks at everything between this machine and a pod that runs, and says what to do.

use std::process::ExitCode;

use crate::args::ClusterOptions;
use crate::output;

mod cloud;
mod cluster;
mod isolation;
mod tenants;

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// As it should be.
    Good(String),
    /// Works, but may not be what is wanted.
    Doubtful(String),
    /// Wrong, with what to do.
    Bad(String),
    /// Could not be looked at, with the reason.
    Unknown(String),
}

/// Findings in the order in which they were made.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<(&'static str, Finding)>);

impl Report {
    pub(crate) fn add(&mut self, what: &'static str, finding: Finding) {
        self.0.push((what, finding));
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let row = |(what, finding): &(&'static str, Finding)| {
            let (mark, text) = match finding {
                Finding::Good(text) => ("ok", text),
                Finding::Doubtful(text) => ("warning", text),
                Finding::Bad(text) => ("FAILED", text),
                Finding::Unknown(text) => ("skipped", text),
            };
            vec![mark.to_owned(), (*what).to_owned(), text.clone()]
        };
        self.0.iter().map(row).collect()
    }

    fn is_bad(&self) -> bool {
        self.0.iter().any(|(_, finding)| matches!(finding, Finding::Bad(_)))
    }
}

/// One line with all causes.
pub(crate) fn sentence(error: impl Into<anyhow::Error>) -> String {
    format!("{:#}", error.into())
}

pub(crate) async fn run(cloud: Option<&str>, options: &ClusterOptions) -> anyhow::Result<ExitCode> {
    let mut report = Report::default();
    let login = cloud::check(cloud, &mut report).await;
    let administrator = cluster::check(options, login.as_ref(), &mut report).await;
    if let Some(login) = &login {
        report.add("Neutron", cloud::neutron(&login.neutron, administrator));
    }
    output::table(&report.rows())?;
    Ok(if report.is_bad() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_bad_makes_the_command_fail() {
        let mut report = Report::default();
        report.add("a", Finding::Good("x".into()));
        report.add("b", Finding::Doubtful("x".into()));
        report.add("c", Finding::Unknown("x".into()));
        assert!(!report.is_bad());
        report.add("d", Finding::Bad("do this".into()));
        assert!(report.is_bad());
        assert_eq!(report.rows()[3], ["FAILED", "d", "do this"]);
    }
}
