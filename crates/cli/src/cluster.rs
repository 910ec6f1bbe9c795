//! The API server, as seen with a kubeconfig or with a token of Keystone.

use anyhow::Context;
use k8s_openapi::api::authentication::v1::{SelfSubjectReview, UserInfo};
use kube::api::PostParams;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use secrecy::SecretString;

use crate::args::ClusterOptions;

/// Where the API server is, with the user of the kubeconfig.
pub(crate) async fn config(options: &ClusterOptions) -> anyhow::Result<Config> {
    let kubeconfig = Kubeconfig::read()
        .context("no kubeconfig can be read: set KUBECONFIG, or write one with `stackube kubeconfig`")?;
    with(kubeconfig, options.context.clone()).await
}

pub(crate) async fn with(kubeconfig: Kubeconfig, context: Option<String>) -> anyhow::Result<Config> {
    let options = KubeConfigOptions {
        context,
        ..KubeConfigOptions::default()
    };
    Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .context("the kubeconfig cannot be used")
}

/// Who the API server takes the holder of a token for. `None`: it accepts the token for nobody (401). A 403 is another matter: it
/// knows whose the token is and does not say.
pub(crate) async fn identify(config: &Config, token: &SecretString) -> anyhow::Result<Option<UserInfo>> {
    let mut config = config.clone();
    config.auth_info = AuthInfo {
        token: Some(token.clone()),
        ..AuthInfo::default()
    };
    let reviews: Api<SelfSubjectReview> = Api::all(Client::try_from(config)?);
    let review = reviews
        .create(&PostParams::default(), &SelfSubjectReview::default())
        .await;
    let status = match review {
        Ok(review) => review.status,
        Err(kube::Error::Api(status)) if status.code == 401 => return Ok(None),
        Err(error) => return Err(error).context("the API server cannot be asked who you are"),
    };
    status
        .and_then(|status| status.user_info)
        .context("the API server does not say who you are")
        .map(Some)
}

/// As [`identify`], where not being accepted is a failure.
pub(crate) async fn whoami(config: &Config, token: &SecretString) -> anyhow::Result<UserInfo> {
    identify(config, token).await?.context(
        "the API server does not accept the token: your project is no tenant of this cluster, or stackube-auth does not run beside the API server or cannot reach Keystone (its log says which)",
    )
}

/// The tenants that stackube-auth named for a user.
pub(crate) fn tenants(user: &UserInfo) -> Vec<String> {
    let extra = user.extra.as_ref();
    extra
        .and_then(|extra| extra.get("stackube.kubernetes.io/tenant"))
        .cloned()
        .unwrap_or_default()
}
