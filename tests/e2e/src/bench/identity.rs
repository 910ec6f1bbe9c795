//! What it takes to be let in: a TokenReview beside Keystone's own validation, kubectl with `stackube` beside kubectl alone.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use kube::api::PostParams;
use kube::{Api, ResourceExt};
use secrecy::ExposeSecret;
use serde_json::json;
use stackube_api::Tenant;
use stackube_openstack::CloudConfig;

use super::Samples;
use crate::{
    desk::{Desk, password},
    devbox::Devbox,
};

/// Tokens that are new to everybody.
const NEW: usize = 30;
/// Questions about one that is known. One connection serves them, as it serves the API server.
const KNOWN: usize = 300;
/// Logins by kubectl, and calls after them.
const CALLS: usize = 10;
/// Folder of the API server's certificate for `stackube-auth`, and its configuration.
const FOLDER: &str = "/etc/kubernetes/pki/stackube-auth";

/// What was measured.
#[derive(Debug, Default)]
pub struct Identity {
    /// Keystone validates a token (GET /v3/auth/tokens), one connection.
    pub keystone: Samples,
    /// The API server reviews a token that nobody has seen: itself, stackube-auth, Keystone.
    pub new: Samples,
    /// stackube-auth answers for a token that it remembers, asked as the API server asks it.
    pub known: Samples,
    /// `kubectl get pods` with a login.
    pub first: Samples,
    /// The next ones, with the token that is kept.
    pub next: Samples,
    /// The same by the administrator's certificate, without `stackube`.
    pub plain: Samples,
}

/// Measures, as the first user of `tenant`.
///
/// # Errors
/// What somebody refuses.
pub async fn identity(devbox: &Devbox, tenant: &Tenant) -> Result<Identity> {
    let name = tenant.name_any();
    let mut seen = Identity::default();
    let mut tokens = vec![];
    for _ in 0..NEW {
        let token = devbox.log_in(&name, &name, &password(tenant)).await?;
        tokens.push(token.secret.expose_secret().to_owned());
    }
    keystone(devbox, &tokens, &mut seen.keystone).await?;
    for token in &tokens {
        seen.new.add(review(devbox, token).await?);
    }
    seen.known = known(devbox, &tokens[0]).await?;

    let desk = Desk::of(devbox, tenant).await?;
    for _ in 0..CALLS {
        let _ = std::fs::remove_dir_all(desk.tokens());
        for samples in [&mut seen.first, &mut seen.next] {
            let start = Instant::now();
            desk.kubectl(&["get", "pods"]).await?;
            samples.add(start.elapsed());
        }
        let start = Instant::now();
        devbox.kubectl(&["-n", &name, "get", "pods"], "").await?;
        seen.plain.add(start.elapsed());
    }
    Ok(seen)
}

async fn keystone(devbox: &Devbox, tokens: &[String], samples: &mut Samples) -> Result<()> {
    let http = reqwest::Client::new();
    let url = CloudConfig::from_clouds_yaml(devbox.clouds(), "devbox")?.auth_url;
    let url = url.as_url().join("auth/tokens")?;
    for token in tokens {
        let start = Instant::now();
        let request = http.get(url.clone()).header("x-auth-token", token);
        let answer = request
            .header("x-subject-token", token)
            .send()
            .await?
            .error_for_status()?;
        answer.bytes().await?;
        samples.add(start.elapsed());
    }
    Ok(())
}

async fn review(devbox: &Devbox, token: &str) -> Result<Duration> {
    let review = TokenReview {
        spec: TokenReviewSpec {
            token: token.to_owned(),
            audiences: None,
        },
        ..TokenReview::default()
    };
    let start = Instant::now();
    let answer = Api::all(devbox.kube.clone())
        .create(&PostParams::default(), &review)
        .await?;
    let time = start.elapsed();
    let status = answer.status.unwrap_or_default();
    ensure!(status.authenticated == Some(true), "{:?}", status.error);
    Ok(time)
}

async fn known(devbox: &Devbox, token: &str) -> Result<Samples> {
    let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}});
    let script = format!(
        "cd {FOLDER} && url=$(sed -n 's/^ *server: //p' webhook.kubeconfig) && \
         curl -sS --fail --cacert ca.crt --cert client.crt --key client.key -H 'content-type: application/json' \
         -d '{review}' -o /dev/null -w '%{{time_total}}\\n' \"$url?[1-{KNOWN}]\""
    );
    let mut samples = Samples::default();
    // The first has the handshake in it.
    for line in devbox.host(&script).await?.lines().skip(1) {
        let seconds: f64 = line.trim().parse().with_context(|| format!("{line:?} is no time"))?;
        samples.add(Duration::from_secs_f64(seconds));
    }
    Ok(samples)
}
