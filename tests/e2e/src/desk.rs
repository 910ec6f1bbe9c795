//! A user's own machine: a home with clouds.yaml and a kubeconfig, and the programs.

use std::path::PathBuf;
use std::process::{Output, Stdio};

use anyhow::{Context, Result, ensure};
use kube::ResourceExt;
use serde_json::{Value, json};
use stackube_api::Tenant;
use tokio::process::Command;

use crate::devbox::Devbox;

/// The desk of a tenant's first user.
#[derive(Debug)]
pub struct Desk {
    home: tempfile::TempDir,
    path: String,
}

/// The password that the first user of a test's tenant has ([`crate::tenant::create`]).
pub fn password(tenant: &Tenant) -> String {
    format!("initial-{}", tenant.name_any())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

impl Desk {
    /// Sets one up, as `stackube kubeconfig` leaves it: the token by which it has found the tenant is kept.
    ///
    /// # Errors
    /// When `stackube kubeconfig` fails.
    pub async fn of(devbox: &Devbox, tenant: &Tenant) -> Result<Self> {
        let (name, home) = (tenant.name_any(), tempfile::tempdir()?);
        let admin: Value = serde_saphyr::from_str(&std::fs::read_to_string(devbox.clouds())?)?;
        let cloud = &admin["clouds"]["devbox"];
        let clouds = json!({"clouds": {"mine": {"auth": {
            "auth_url": cloud["auth"]["auth_url"], "username": name, "password": password(tenant), "project_name": name,
            "user_domain_id": "default", "project_domain_id": "default",
        }, "region_name": cloud["region_name"]}}});
        std::fs::write(home.path().join("clouds.yaml"), clouds.to_string())?;
        let bin = devbox.clouds().with_file_name("bin").canonicalize()?;
        let path = format!("{}:{}", bin.display(), std::env::var("PATH")?);
        let desk = Self { home, path };
        let admin = devbox.clouds().with_file_name("kubeconfig");
        let from = admin.to_str().context("a path that is no text")?;
        let written = desk.run(&["stackube", "kubeconfig", "--from", from]).await?;
        ensure!(written.contains(&format!("namespace {name}")), "{written}");
        Ok(desk)
    }

    /// Runs a program; standard output on success.
    ///
    /// # Errors
    /// What it printed on standard error.
    pub async fn run(&self, command: &[&str]) -> Result<String> {
        let output = self.output(command, &[]).await?;
        ensure!(output.status.success(), "{}", text(&output.stderr));
        Ok(text(&output.stdout))
    }

    /// Runs `stackube doctor`, with changes to the environment; whether it found nothing wrong, and what it printed.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn doctor(&self, environment: &[(&str, &str)]) -> Result<(bool, String)> {
        let output = self.output(&["stackube", "doctor"], environment).await?;
        Ok((output.status.success(), text(&output.stdout) + &text(&output.stderr)))
    }

    async fn output(&self, command: &[&str], environment: &[(&str, &str)]) -> Result<Output> {
        let (program, arguments) = command.split_first().context("no command")?;
        let output = Command::new(program)
            .args(arguments)
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", self.home.path())
            .env("KUBECONFIG", self.home.path().join("kubeconfig"))
            .env("OS_CLIENT_CONFIG_FILE", self.home.path().join("clouds.yaml"))
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        Ok(output)
    }

    /// A copy of a file at home (`clouds.yaml`, `kubeconfig`) in which `from` is `to`; its path.
    ///
    /// # Errors
    /// When `from` is not in it.
    pub fn altered(&self, file: &str, from: &str, to: &str) -> Result<String> {
        let before = std::fs::read_to_string(self.home.path().join(file))?;
        ensure!(before.contains(from), "{file} does not contain {from}");
        let copy = self.home.path().join(format!("altered-{file}"));
        std::fs::write(&copy, before.replace(from, to))?;
        Ok(copy.to_str().context("a path that is no text")?.to_owned())
    }

    /// Runs `kubectl`, which logs in by `stackube`.
    ///
    /// # Errors
    /// What it printed on standard error.
    pub async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.run(&[&["kubectl"], arguments].concat()).await
    }

    /// Where `stackube` keeps tokens.
    pub fn tokens(&self) -> PathBuf {
        self.home.path().join(".cache/stackube/tokens")
    }

    /// The token that `stackube` keeps.
    ///
    /// # Errors
    /// When nobody has logged in.
    pub fn token(&self) -> Result<String> {
        let file = std::fs::read_dir(self.tokens())?.next().context("no token is kept")??;
        let kept: Value = serde_json::from_slice(&std::fs::read(file.path())?)?;
        Ok(kept["token"].as_str().context("no token in the file")?.to_owned())
    }
}
