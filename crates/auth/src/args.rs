//! Command line and environment.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use jiff::SignedDuration;
use stackube_daemon::LogFormat;
use stackube_openstack::AuthUrl;
use stackube_openstack::id::DomainId;

use crate::policy::Operator;

/// Tells the API server whose a Keystone token is.
#[derive(Debug, Clone, Parser)]
#[command(name = "stackube-auth", version, about)]
pub struct Args {
    /// Keystone's URL.
    #[arg(long, env = "STACKUBE_AUTH_URL")]
    pub auth_url: AuthUrl,

    /// PEM file with the CAs that sign Keystone's certificate, instead of the system's.
    #[arg(long, env = "STACKUBE_CA_FILE")]
    pub ca_file: Option<PathBuf>,

    /// Address and port of the webhook. The API server is on the same host; nobody else should reach it.
    #[arg(long, env = "STACKUBE_LISTEN", default_value = "127.0.0.1:10352")]
    pub listen: SocketAddr,

    /// Address and port of /metrics, /healthz and /readyz (plain HTTP; they hold no secrets).
    #[arg(long, env = "STACKUBE_STATUS_LISTEN", default_value = "127.0.0.1:10353")]
    pub status_listen: SocketAddr,

    /// Directory with server.crt, server.key and ca.crt, the authority that signed the API server's certificate.
    #[arg(
        long,
        env = "STACKUBE_CERTIFICATES",
        default_value = "/etc/kubernetes/pki/stackube-auth"
    )]
    pub certificates: PathBuf,

    /// Let anybody ask who reaches the port, not only the holder of a certificate signed by ca.crt.
    #[arg(long)]
    pub without_client_certificates: bool,

    /// Kubeconfig for running outside of the cluster. Default: the service account of the pod.
    #[arg(long, env = "KUBECONFIG")]
    pub kubeconfig: Option<PathBuf>,

    /// Address of the API server, where that of kubelet's environment does not answer before there are Services.
    #[arg(long, env = "STACKUBE_KUBERNETES_HOST")]
    pub kubernetes_host: Option<String>,

    /// Its port.
    #[arg(long, env = "STACKUBE_KUBERNETES_PORT", default_value_t = 6443)]
    pub kubernetes_port: u16,

    /// Who operates the cluster and so needs no tenant: <role ID>@project:<project ID> or <role ID>@domain:<domain ID>,
    /// several with commas between them. They get the group stackube:operators.
    #[arg(long = "operator", env = "STACKUBE_OPERATORS", value_delimiter = ',')]
    pub operators: Vec<Operator>,

    /// IDs of the domains whose users are let in, with commas between them. Default: all.
    #[arg(long = "user-domain", env = "STACKUBE_USER_DOMAINS", value_delimiter = ',')]
    pub user_domains: Vec<DomainId>,

    /// How long Keystone's answer is remembered, 1s to 5m. A revoked token works for as long as this, the API server's
    /// --authentication-token-webhook-cache-ttl and 10s more together: the API server remembers twice, once for a fixed time.
    #[arg(long, env = "STACKUBE_CACHE_TTL", default_value = "20s", value_parser = ttl)]
    pub cache_ttl: Duration,

    /// How long it is remembered that Keystone does not know a token, 1s to 5m.
    #[arg(long, env = "STACKUBE_REFUSAL_TTL", default_value = "10s", value_parser = ttl)]
    pub refusal_ttl: Duration,

    /// How many answers are remembered; each takes about 1 KiB.
    #[arg(long, env = "STACKUBE_CACHE_SIZE", default_value = "10000")]
    pub cache_size: NonZeroUsize,

    /// How many tokens Keystone is asked about at once, for those let in before and as many again for others.
    #[arg(long, env = "STACKUBE_MAX_REQUESTS", default_value = "4")]
    pub max_requests: NonZeroUsize,

    /// How log lines look.
    #[arg(long, env = "STACKUBE_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,

    /// What is logged, in the syntax of tracing's EnvFilter, for example `info,stackube_auth=debug`.
    #[arg(long, env = "STACKUBE_LOG", default_value = "info")]
    pub log: String,
}

fn ttl(text: &str) -> Result<Duration, String> {
    let duration: SignedDuration = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    let duration = Duration::try_from(duration).unwrap_or_default();
    let range = Duration::from_secs(1)..=Duration::from_secs(300);
    let fits = range.contains(&duration);
    fits.then_some(duration)
        .ok_or_else(|| "must be between 1s and 5m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(more: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from([&["stackube-auth", "--auth-url", "http://keystone:5000"], more].concat())
    }

    #[test]
    fn has_safe_defaults() {
        let args = parse(&[]).unwrap();
        assert!(args.listen.ip().is_loopback() && args.status_listen.ip().is_loopback());
        assert!(!args.without_client_certificates && args.operators.is_empty());
        assert_eq!(args.cache_ttl, crate::introspection::Limits::default().cache_ttl);
    }

    #[test]
    fn refuses_what_cannot_work() {
        for wrong in [
            &["--cache-ttl", "0s"][..],
            &["--cache-ttl", "1h"],
            &["--cache-ttl", "-5s"],
            &["--operator", "admin@project"],
            &["--user-domain", "a/b"],
            &["--cache-size", "0"],
        ] {
            assert!(parse(wrong).is_err(), "{wrong:?}");
        }
        assert_eq!(
            parse(&["--operator", "r@project:p,r@domain:d"])
                .unwrap()
                .operators
                .len(),
            2
        );
    }
}
