//! `stackube credential`: an exec credential plugin of client.authentication.k8s.io/v1
//! (<https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins>).

use jiff::Timestamp;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::cache::{Cache, Kept};
use crate::cloud::Login;
use crate::output;

pub(crate) const API_VERSION: &str = "client.authentication.k8s.io/v1";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecInfo {
    api_version: String,
}

/// Prints a token for whoever started it.
pub(crate) async fn run(cloud: Option<&str>) -> anyhow::Result<()> {
    check(std::env::var("KUBERNETES_EXEC_INFO").ok().as_deref())?;
    let kept = Login::find(cloud)?.token(&Cache::of_user()?).await?;
    output::line(answer(&kept))?;
    Ok(())
}

/// Whether the version that is asked for is the one that is answered.
fn check(info: Option<&str>) -> anyhow::Result<()> {
    let Some(info) = info else { return Ok(()) };
    let info: ExecInfo =
        serde_json::from_str(info).map_err(|_| anyhow::anyhow!("KUBERNETES_EXEC_INFO is no ExecCredential in JSON"))?;
    anyhow::ensure!(
        info.api_version == API_VERSION,
        "the kubeconfig asks for {}: write {API_VERSION} into the user's exec section, or run `stackube kubeconfig` again",
        info.api_version
    );
    Ok(())
}

/// kubectl keeps the token until that time, so that one that runs for long asks for the next in time.
fn answer(kept: &Kept) -> Value {
    let until = Timestamp::from_second(kept.renew_at.as_second()).unwrap_or(kept.renew_at);
    json!({
        "apiVersion": API_VERSION,
        "kind": "ExecCredential",
        "status": {"token": kept.token.expose_secret(), "expirationTimestamp": until.to_string()},
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn answers_in_the_form_that_kubectl_reads() {
        let now: Timestamp = "2026-11-22T07:00:00.123Z".parse().unwrap();
        let kept = Kept::new("gAAAAA".into(), Duration::from_secs(3600), now);
        let expected = json!({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential",
            "status": {"token": "gAAAAA", "expirationTimestamp": "2026-11-22T07:55:00Z"}});
        assert_eq!(answer(&kept), expected);
    }

    #[test]
    fn refuses_other_versions() {
        assert!(check(None).is_ok());
        assert!(check(Some(r#"{"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "spec": {"interactive": true}}"#)).is_ok());
        let old = check(Some(r#"{"apiVersion": "client.authentication.k8s.io/v1beta1"}"#)).unwrap_err();
        assert!(old.to_string().contains("v1beta1"));
        assert!(check(Some("{")).is_err());
    }
}
