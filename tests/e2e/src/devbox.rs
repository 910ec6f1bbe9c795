//! The running devbox: its API server, its OpenStack, its host.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, bail, ensure};
use kube::client::Body;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use stackube_openstack::{BearerToken, Cloud, CloudConfig, Credentials, DomainRef, ProjectRef, UserRef};
use tokio::process::Command;

/// Handles to the devbox that `make devbox` started.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "a client has nothing to show")]
pub struct Devbox {
    /// Cluster administrator.
    pub kube: Client,
    /// Cloud administrator.
    pub cloud: Cloud,
    state: PathBuf,
}

impl Devbox {
    /// Connects to the devbox named by `STACKUBE_DEVBOX` (its state folder), or the one of this checkout.
    ///
    /// # Panics
    /// When there is none: run `make devbox`.
    pub async fn connect() -> Self {
        // Two calls are fine: the second finds the provider in place.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let state = std::env::var_os("STACKUBE_DEVBOX").map_or_else(
            || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../.devbox"),
            PathBuf::from,
        );
        let state = state.canonicalize().expect("no devbox is running: run `make devbox`");
        let kubeconfig =
            Kubeconfig::read_from(state.join("kubeconfig")).expect("no devbox is running: run `make devbox`");
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .expect(".devbox/kubeconfig should be usable");
        let kube = Client::try_from(config).expect(".devbox/kubeconfig should be usable");
        Self {
            kube,
            cloud: crate::cloud::cloud(&state.join("clouds.yaml"), "devbox"),
            state,
        }
    }

    /// Path of a static program of Kubernetes that the devbox was made with, such as `kubectl`.
    ///
    /// # Errors
    /// When the devbox has none of that name.
    pub fn program(&self, name: &str) -> Result<PathBuf> {
        // The folder's own kubectl is a script; the programs stand beside each other.
        let beside = self.state.join("bin/agnhost").canonicalize()?;
        let path = beside.with_file_name(name);
        ensure!(path.is_file(), "{} does not exist", path.display());
        Ok(path)
    }

    /// `.devbox/clouds.yaml`.
    pub fn clouds(&self) -> PathBuf {
        self.state.join("clouds.yaml")
    }

    /// Runs `kubectl` with `stdin`; standard output on success.
    ///
    /// # Errors
    /// What kubectl printed on standard error.
    pub async fn kubectl(&self, arguments: &[&str], stdin: &str) -> Result<String> {
        run(&mut self.kubectl_command(arguments), stdin).await
    }

    /// Runs `kubectl` as the bearer of a token, with nothing else to show; standard output on success.
    ///
    /// # Errors
    /// What kubectl printed on standard error.
    pub async fn kubectl_with(&self, token: &str, arguments: &[&str]) -> Result<String> {
        self.kubectl_with_input(token, arguments, "").await
    }

    /// As [`Self::kubectl_with`], with `stdin`.
    ///
    /// # Errors
    /// What kubectl printed on standard error.
    pub async fn kubectl_with_input(&self, token: &str, arguments: &[&str], stdin: &str) -> Result<String> {
        let kubeconfig = self.kubeconfig_of(token)?;
        let mut command = self.kubectl_command(arguments);
        run(command.env("KUBECONFIG", kubeconfig.path()), stdin).await
    }

    /// A kubeconfig of the bearer of a token, who has nothing else to show.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn kubeconfig_of(&self, token: &str) -> Result<tempfile::NamedTempFile> {
        let text = std::fs::read_to_string(self.state.join("kubeconfig"))?;
        let mut config: serde_json::Value = serde_saphyr::from_str(&text)?;
        config["users"][0]["user"] = serde_json::json!({ "token": token });
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), config.to_string())?;
        Ok(file)
    }

    /// HTTP status of a GET by somebody who shows only this header `Authorization`.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn get_with(&self, path: &str, authorization: &str) -> Result<u16> {
        let request = http::Request::get(path).body(Body::empty())?;
        let answer = self.showing(authorization).await?.send(request).await?;
        Ok(answer.status().as_u16())
    }

    /// A client of the API server that is the bearer of a token and shows nothing else.
    ///
    /// # Errors
    /// When the token is no header, or the kubeconfig is not usable.
    pub async fn client_with(&self, token: &str) -> Result<Client> {
        self.showing(&format!("Bearer {token}")).await
    }

    async fn showing(&self, authorization: &str) -> Result<Client> {
        let kubeconfig = Kubeconfig::read_from(self.state.join("kubeconfig"))?;
        let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        config.auth_info = AuthInfo::default();
        config.headers = vec![(http::header::AUTHORIZATION, authorization.parse()?)];
        Ok(Client::try_from(config)?)
    }

    /// `kubectl` that is not started yet.
    pub fn kubectl_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.state.join("bin/kubectl"));
        command.args(arguments).env("KUBECONFIG", self.state.join("kubeconfig"));
        command
    }

    /// Runs the `openstack` command as the cloud's administrator; standard output on success.
    ///
    /// # Errors
    /// What it printed on standard error.
    pub async fn openstack(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(self.state.join("bin/openstack"));
        run(command.args(arguments), "").await
    }

    /// Logs in to Keystone as a user of a project, both of domain Default; a new token.
    ///
    /// # Errors
    /// Why Keystone gave none.
    pub async fn log_in(&self, user: &str, project: &str, password: &str) -> Result<BearerToken> {
        let admin = CloudConfig::from_clouds_yaml(self.state.join("clouds.yaml"), "devbox")?;
        let domain = || DomainRef::Name("Default".into());
        let credentials = Credentials::Password {
            user: UserRef::Name {
                name: user.into(),
                domain: domain(),
            },
            password: password.into(),
            project: ProjectRef::Name {
                name: project.into(),
                domain: domain(),
            },
        };
        let mut config = CloudConfig::new(admin.auth_url, credentials);
        config.region = admin.region;
        Ok(Cloud::new(config)?.service().bearer_token().await?)
    }

    /// Merges `data` into the controller's configuration (null removes a key) and starts the controller with it.
    ///
    /// # Errors
    /// What the API server refuses, or a controller that is not ready within five minutes.
    pub async fn configure(&self, data: &serde_json::Value) -> Result<()> {
        let patch = serde_json::json!({ "data": data }).to_string();
        let patch = ["patch", "configmap", "stackube-config", "--type=merge", "-p", &patch];
        let restart = ["rollout", "restart", "deployment/stackube-controller"];
        let ready = ["rollout", "status", "deployment/stackube-controller", "--timeout=300s"];
        for call in [&patch[..], &restart, &ready] {
            self.kubectl(&[&["-n", "stackube-system"], call].concat(), "").await?;
        }
        Ok(())
    }

    /// Runs a shell command as root on the test host.
    ///
    /// # Errors
    /// What it printed on standard error.
    pub async fn host(&self, script: &str) -> Result<String> {
        self.on("devbox-1", script).await
    }

    /// Runs a shell command as root on one of the test hosts.
    ///
    /// # Errors
    /// What it printed on standard error.
    pub async fn on(&self, host: &str, script: &str) -> Result<String> {
        let ssh = self.state.join("ssh/config");
        run(Command::new("ssh").arg("-F").arg(ssh).args([host, script]), "").await
    }

    /// Copies a file of this machine to the test host, with its permissions.
    ///
    /// # Errors
    /// What `scp` printed on standard error.
    pub async fn put(&self, file: &Path, path: &str) -> Result<()> {
        let mut copy = Command::new("scp");
        copy.args(["-q", "-p", "-F"]).arg(self.state.join("ssh/config"));
        run(copy.arg(file).arg(format!("devbox-1:{path}")), "").await.map(drop)
    }
}

async fn run(command: &mut Command, stdin: &str) -> Result<String> {
    use tokio::io::AsyncWriteExt;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("starting {command:?}"))?;
    let mut input = child.stdin.take().context("no standard input")?;
    input.write_all(stdin.as_bytes()).await?;
    drop(input);
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        bail!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
