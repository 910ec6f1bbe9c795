//! Keystone users in kubectl: the real kubectl, the real `stackube`, tokens of the real Keystone.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Result, ensure};
use kube::ResourceExt;
use secrecy::ExposeSecret;
use stackube_api::Tenant;
use stackube_e2e::{devbox::Devbox, tenant, wait};
use tokio::process::Command;

use crate::shared;

/// A user's own machine: a home with clouds.yaml, and the programs.
struct Desk {
    home: tempfile::TempDir,
    path: String,
}

impl Desk {
    /// The desk of a tenant's first user.
    async fn of(devbox: &Devbox, name: &str, password: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let admin =
            serde_saphyr::from_str::<serde_json::Value>(&std::fs::read_to_string(devbox.clouds()).unwrap()).unwrap();
        let auth = &admin["clouds"]["devbox"]["auth"];
        let clouds = serde_json::json!({"clouds": {"mine": {"auth": {
            "auth_url": auth["auth_url"], "username": name, "password": password, "project_name": name,
            "user_domain_id": "default", "project_domain_id": "default",
        }, "region_name": admin["clouds"]["devbox"]["region_name"]}}});
        std::fs::write(home.path().join("clouds.yaml"), clouds.to_string()).unwrap();
        let bin = devbox.clouds().with_file_name("bin").canonicalize().unwrap();
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
        let desk = Self { home, path };
        let admin = devbox.clouds().with_file_name("kubeconfig");
        let written = desk
            .run(&["stackube", "kubeconfig", "--from", admin.to_str().unwrap()])
            .await;
        assert!(written.unwrap().contains(&format!("namespace {name}")));
        desk
    }

    async fn run(&self, command: &[&str]) -> Result<String> {
        let output = Command::new(command[0])
            .args(&command[1..])
            .env_clear()
            .env("PATH", &self.path)
            .env("HOME", self.home.path())
            .env("KUBECONFIG", self.kubeconfig())
            .env("OS_CLIENT_CONFIG_FILE", self.home.path().join("clouds.yaml"))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        ensure!(output.status.success(), "{}", text(&output.stderr));
        Ok(text(&output.stdout))
    }

    fn kubeconfig(&self) -> PathBuf {
        self.home.path().join("kubeconfig")
    }

    /// kubectl with a token instead of a login.
    async fn kubectl_with(&self, token: &str, arguments: &[&str]) -> Result<String> {
        let mut config: serde_json::Value = serde_saphyr::from_str(&std::fs::read_to_string(self.kubeconfig())?)?;
        config["users"][0]["user"] = serde_json::json!({"token": token});
        let file = tempfile::NamedTempFile::new_in(self.home.path())?;
        std::fs::write(file.path(), config.to_string())?;
        let path = format!("--kubeconfig={}", file.path().display());
        self.kubectl(&[&[path.as_str()], arguments].concat()).await
    }

    async fn kubectl(&self, arguments: &[&str]) -> Result<String> {
        self.run(&[&["kubectl"], arguments].concat()).await
    }

    /// Asserts that the API server says no to a user whom it knows.
    async fn assert_forbidden(&self, arguments: &[&str]) {
        let error = self.kubectl(arguments).await.unwrap_err().to_string();
        assert!(error.contains("forbidden"), "{arguments:?}: {error}");
    }

    fn token_file(&self) -> PathBuf {
        let directory = self.home.path().join(".cache/stackube/tokens");
        std::fs::read_dir(directory).unwrap().next().unwrap().unwrap().path()
    }
}

fn password(tenant: &Tenant) -> String {
    format!("initial-{}", tenant.name_any())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keystone_user_has_the_own_namespace_and_nothing_else() {
    let _shared = shared().await;
    let devbox = Devbox::connect().await;
    tenant::with_two_tenants(&devbox, "login", async |a, b| {
        let (name, other) = (a.name_any(), b.name_any());
        let desk = Desk::of(&devbox, &name, &password(&a)).await;

        let who = desk.kubectl(&["auth", "whoami", "-o", "json"]).await.unwrap();
        let who: serde_json::Value = serde_json::from_str(&who).unwrap();
        let user = &who["status"]["userInfo"];
        let status = a.status.as_ref().unwrap();
        assert_eq!(user["uid"].as_str(), status.user_id.as_deref());
        assert_eq!(
            user["extra"]["stackube.kubernetes.io/tenant"],
            serde_json::json!([name])
        );
        let groups: Vec<&str> = user["groups"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|group| group.as_str())
            .collect();
        let prefix = format!("keystone:project:{}:", tenant::project_of(&a));
        assert!(
            groups
                .iter()
                .all(|group| group.starts_with(&prefix) || *group == "system:authenticated"),
            "{groups:?}"
        );

        assert_eq!(desk.kubectl(&["get", "pods"]).await.unwrap(), "");
        desk.kubectl(&["create", "configmap", "mine", "--from-literal=a=b"])
            .await
            .unwrap();
        desk.kubectl(&["delete", "configmap", "mine"]).await.unwrap();
        desk.assert_forbidden(&["-n", &other, "get", "pods"]).await;
        desk.assert_forbidden(&["-n", "stackube-system", "get", "secrets"])
            .await;
        desk.assert_forbidden(&["get", "nodes"]).await;
        desk.assert_forbidden(&["get", "namespaces"]).await;
        desk.assert_forbidden(&["create", "namespace", "e2e-login"]).await;

        let tenants = desk.run(&["kubectl", "stackube", "tenants"]).await.unwrap();
        assert!(tenants.contains(&name) && !tenants.contains(&other), "{tenants}");
        let doctor = desk.run(&["stackube", "doctor"]).await.unwrap();
        assert!(
            doctor.contains(&format!("tenant {name}")) && !doctor.contains("FAILED"),
            "{doctor}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_no_tenants_are_refused() {
    let _shared = shared().await;
    let devbox = Devbox::connect().await;
    tenant::with_tenant(&devbox, "tokens", "", async |tenant| {
        let name = tenant.name_any();
        let desk = Desk::of(&devbox, &name, &password(&tenant)).await;
        desk.kubectl(&["get", "pods"]).await.unwrap();

        // The cloud's administrator, in a project that is no tenant.
        let admin = devbox.cloud.service().bearer_token().await.unwrap();
        let made_up = format!("gAAAAA{}", "b".repeat(177));
        let foreign = admin.secret.expose_secret();
        for token in [foreign, &made_up, "gAAAAA", "eyJhbGciOiJSUzI1NiJ9.e30.c2ln"] {
            let error = desk
                .kubectl_with(token, &["get", "pods"])
                .await
                .unwrap_err()
                .to_string();
            assert!(
                error.contains("Unauthorized") || error.contains("must be logged in"),
                "{error}"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_ends_old_tokens_within_the_bound() {
    let _shared = shared().await;
    let devbox = Devbox::connect().await;
    tenant::with_tenant(&devbox, "revoke", "", async |tenant| {
        let name = tenant.name_any();
        let desk = Desk::of(&devbox, &name, &password(&tenant)).await;
        desk.kubectl(&["get", "pods"]).await.unwrap();
        let kept: serde_json::Value = serde_json::from_slice(&std::fs::read(desk.token_file()).unwrap()).unwrap();
        let old = kept["token"].as_str().unwrap();
        desk.kubectl_with(old, &["get", "pods"]).await.unwrap();

        let changed = format!("changed-{name}");
        let patch = format!(r#"{{"spec":{{"password":"changed-{name}"}}}}"#);
        devbox
            .kubectl(&["patch", "tenant", &name, "--type=merge", "-p", &patch], "")
            .await
            .unwrap();
        // What fails on the way is tried again within 30 s.
        wait::until("the new password", Duration::from_secs(60), || {
            devbox.log_in(&name, &name, &changed)
        })
        .await;
        // 30 s in the API server and 30 s in stackube-auth, and the time that a busy machine needs to ask.
        wait::until("the old token refused", Duration::from_secs(75), || async {
            let answer = desk.kubectl_with(old, &["get", "pods"]).await;
            ensure!(answer.is_err(), "the old token still works");
            Ok(())
        })
        .await;
    })
    .await;
}
