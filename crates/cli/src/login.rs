//! A token that works, from the cache or from Keystone.

use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use stackube_openstack::{Error, TokenScope};

use crate::cache::{Cache, Kept};
use crate::clock;
use crate::cloud::Login;
use crate::output;

/// A kept token that Keystone has not been asked about for so long may have been revoked. kubectl asks again after a refusal,
/// and must then not get the same token for ever.
const CHECK_AFTER: Duration = Duration::from_secs(30);

impl Login {
    /// A token of the configured project. Keystone being down is no reason not to try one that is kept: others may know it.
    pub(crate) async fn token(&self, cache: &Cache) -> Result<Kept, Error> {
        let now = Timestamp::now();
        if let Some(mut kept) = cache.read(&self.key).filter(|kept| kept.is_fresh(now)) {
            if now.duration_since(kept.checked_at).unsigned_abs() < CHECK_AFTER {
                return Ok(kept);
            }
            match self.verifier.verify(&kept.token).await {
                Ok(Some(_)) => {
                    kept.checked_at = now;
                    self.keep(cache, &kept);
                    return Ok(kept);
                }
                Err(error) if error.is_transient() => return Ok(kept),
                Ok(None) | Err(_) => {}
            }
        }
        self.new_token(cache).await
    }

    /// A new token, which is kept. It tells about the clock too: whoever runs kubectl learns that nowhere else.
    pub(crate) async fn new_token(&self, cache: &Cache) -> Result<Kept, Error> {
        let issued = self.cloud.service().bearer_token().await?;
        let now = Timestamp::now();
        if let Some(complaint) = clock::complaint(issued.issued_at, now) {
            let _ = output::remark(format_args!("warning: {complaint}"));
        }
        let kept = Kept::new(issued.secret, issued.remaining, now);
        self.keep(cache, &kept);
        Ok(kept)
    }

    /// Not being able to is no failure: the next call logs in again.
    fn keep(&self, cache: &Cache, kept: &Kept) {
        if let Err(error) = cache.write(&self.key, kept) {
            let _ = output::remark(format_args!("warning: the token cannot be kept: {error}"));
        }
    }
}

/// `stackube login`.
pub(crate) async fn run(cloud: Option<&str>) -> anyhow::Result<()> {
    let (login, cache) = (Login::find(cloud)?, Cache::of_user()?);
    let kept = login.new_token(&cache).await?;
    let details = login.verifier.verify(&kept.token).await?;
    let details = details
        .context("Keystone does not know the token that it just issued: check that its hosts share their keys")?;
    let TokenScope::Project(project, _) = &details.scope else {
        anyhow::bail!("the token is not one of a project: name a project in clouds.yaml");
    };
    let roles: Vec<&str> = details.roles.iter().map(|role| role.name.as_str()).collect();
    output::line(format_args!(
        "Logged in to {} as {} ({}), project {} ({}), roles {}, until {}.",
        login.auth_url,
        details.user.name,
        details.user.id,
        project.name,
        project.id,
        roles.join(", "),
        kept.expires_at.strftime("%H:%M UTC"),
    ))?;
    Ok(())
}

/// `stackube logout`.
pub(crate) fn forget(cloud: Option<&str>) -> anyhow::Result<()> {
    Cache::of_user()?.remove(&Login::find(cloud)?.key)?;
    Ok(())
}
