//! A real API server with its etcd, for every program that is measured; and how it is filled.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use futures::{StreamExt, TryStreamExt};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use serde_json::{Value, json};

use crate::lab::{Lab, Namespace, Process, until};

/// The API server's address on the wire between the namespaces.
pub(crate) const ADDRESS: &str = "10.99.0.1";
const TOKEN: &str = "of-this-machine-alone";
/// Requests under way while the cluster is filled.
const AT_ONCE: usize = 32;

/// The API server, on an empty etcd in memory.
pub(crate) struct Cluster {
    pub(crate) kubeconfig: PathBuf,
    client: Client,
    api: Process,
    _etcd: Process,
}

impl Cluster {
    /// Starts both in `namespace`, where the calling thread is, too. `programs` has `etcd` and `kube-apiserver`.
    pub(crate) async fn start(lab: &Lab, namespace: &Namespace, programs: &Path) -> Result<Self> {
        let data = lab.path("etcd/data");
        let _absent = std::fs::remove_dir_all(&data);
        let etcd_arguments = [format!("--data-dir={}", data.display()), "--unsafe-no-fsync".to_owned()];
        let etcd = lab.start(namespace, &programs.join("etcd"), &etcd_arguments)?;
        let kubeconfig = credentials(lab)?;
        let api = lab.start(namespace, &programs.join("kube-apiserver"), &arguments(lab))?;
        let file = Kubeconfig::read_from(&kubeconfig)?;
        let client = Client::try_from(Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await?)?;
        let started = Self {
            kubeconfig,
            client,
            api,
            _etcd: etcd,
        };
        until("the API server is ready", &started.api, async || {
            started.lists("/readyz").await
        })
        .await?;
        Ok(started)
    }

    /// Whether a collection is served.
    pub(crate) async fn lists(&self, path: &str) -> bool {
        match http::Request::get(path).body(Vec::new()) {
            Ok(request) => self.client.request_text(request).await.is_ok(),
            Err(_) => false,
        }
    }

    /// POSTs an object to a collection.
    pub(crate) async fn create(&self, path: &str, object: &Value) -> Result<()> {
        self.send("POST", "application/json", path, object).await
    }

    /// Changes an object, or its status.
    pub(crate) async fn patch(&self, path: &str, patch: &Value) -> Result<()> {
        self.send("PATCH", "application/merge-patch+json", path, patch).await
    }

    /// Creates many objects, some at once.
    pub(crate) async fn create_all(&self, objects: impl Iterator<Item = (String, Value)>) -> Result<()> {
        let calls = objects.map(|(path, object)| async move { self.create(&path, &object).await });
        futures::stream::iter(calls)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    async fn send(&self, method: &str, kind: &str, path: &str, body: &Value) -> Result<()> {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", kind)
            .body(serde_json::to_vec(body)?)?;
        let answer = self.client.request_text(request).await;
        answer.map(drop).with_context(|| format!("{method} {path}: {body}"))
    }
}

fn arguments(lab: &Lab) -> Vec<String> {
    let file = |option: &str, name: &str| format!("--{option}={}", lab.path(name).display());
    let plain = [
        "--etcd-servers=http://127.0.0.1:2379",
        "--service-cluster-ip-range=10.96.0.0/12",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--authorization-mode=AlwaysAllow",
        "--disable-admission-plugins=ServiceAccount",
        "--enable-priority-and-fairness=false",
        "--max-requests-inflight=0",
        "--max-mutating-requests-inflight=0",
    ];
    let mut all: Vec<String> = plain.into_iter().map(str::to_owned).collect();
    all.push(format!("--advertise-address={ADDRESS}"));
    all.extend([
        file("tls-cert-file", "api.crt"),
        file("tls-private-key-file", "api.key"),
        file("service-account-key-file", "api.crt"),
        file("service-account-signing-key-file", "api.key"),
        file("token-auth-file", "tokens.csv"),
    ]);
    all
}

/// A certificate authority of its own, the API server's certificate, a token, and the kubeconfig with them.
fn credentials(lab: &Lab) -> Result<PathBuf> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let certificate = CertificateParams::new([ADDRESS.to_owned()])?.signed_by(&key, &authority)?;
    std::fs::write(lab.path("ca.crt"), authority.pem())?;
    std::fs::write(lab.path("api.crt"), certificate.pem())?;
    std::fs::write(lab.path("api.key"), key.serialize_pem())?;
    std::fs::write(lab.path("tokens.csv"), format!("{TOKEN},bench,bench\n"))?;
    let kubeconfig = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "bench",
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        "clusters": [{"name": "bench", "cluster": {
            "server": format!("https://{ADDRESS}:6443"), "certificate-authority": lab.path("ca.crt"),
        }}],
        "users": [{"name": "bench", "user": {"token": TOKEN}}],
    });
    let path = lab.path("kubeconfig");
    std::fs::write(&path, kubeconfig.to_string())?;
    Ok(path)
}
