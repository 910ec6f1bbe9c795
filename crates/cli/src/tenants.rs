//! `stackube tenants`: every project of the user, and the tenant that it is.

use std::io;

use anyhow::Context;
use stackube_openstack::{Credentials, Error, Session};

use crate::args::ClusterOptions;
use crate::cloud::Login;
use crate::{cluster, output};

pub(crate) async fn run(cloud: Option<&str>, options: &ClusterOptions) -> anyhow::Result<()> {
    let login = Login::find(cloud)?;
    let config = cluster::config(options).await?;
    let (mut rows, mut refused) = (vec![], 0);
    let sessions = sessions(&login).await?;
    let all = sessions.len();
    for session in sessions {
        // A project without a role in it is not worth a word. All else is: the list would be short.
        let token = match session.bearer_token().await {
            Ok(token) => token,
            Err(Error::Unauthorized { .. } | Error::Forbidden { .. }) => continue,
            Err(error) => return Err(error).context("Keystone gives no token for one of your projects"),
        };
        let Some(user) = cluster::identify(&config, &token.secret).await? else {
            refused += 1;
            continue;
        };
        let roles: Vec<&str> = token.info.roles.iter().map(|(_, name)| name.as_str()).collect();
        for tenant in cluster::tenants(&user) {
            rows.push(vec![tenant, token.info.project_id.to_string(), roles.join(",")]);
        }
    }
    print(rows)?;
    if refused > 0 {
        output::remark(format_args!(
            "{refused} of {all} projects were not accepted: they are no tenants, or stackube-auth cannot answer."
        ))?;
    }
    Ok(())
}

fn print(mut rows: Vec<Vec<String>>) -> io::Result<()> {
    if rows.is_empty() {
        return output::remark("No tenant accepts you. `stackube doctor` says whether something is wrong.");
    }
    rows.sort();
    rows.insert(0, ["TENANT", "PROJECT", "ROLES"].map(str::to_owned).to_vec());
    output::table(&rows)
}

/// One for each project; an application credential has only its own.
async fn sessions(login: &Login) -> anyhow::Result<Vec<Session>> {
    let own = login.cloud.service();
    if matches!(login.config.credentials, Credentials::ApplicationCredential { .. }) {
        // That this one is refused says nothing of projects.
        own.bearer_token().await?;
        return Ok(vec![own]);
    }
    let projects = own
        .list_own_projects()
        .await
        .context("Keystone does not list your projects")?;
    let sessions = projects
        .iter()
        .filter(|project| project.enabled)
        .map(|project| login.cloud.project(&project.id));
    Ok(sessions.collect::<Result<_, _>>()?)
}
