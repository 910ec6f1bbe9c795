//! `stackube kubeconfig`: a context for kubectl. Nothing secret is written; kubectl calls `stackube credential`.

use std::path::Path;

use anyhow::Context;
use base64::Engine;
use kube::config::Kubeconfig;
use serde_json::{Value, json};
use stackube_openstack::{CloudSource, Environment};

use crate::args::KubeconfigOptions;
use crate::cache::Cache;
use crate::cloud::Login;
use crate::credential::API_VERSION;
use crate::{cluster, output};

mod file;

pub(crate) async fn run(cloud: Option<&str>, options: KubeconfigOptions) -> anyhow::Result<()> {
    let environment = Environment::of_process();
    let login = Login::new(environment.cloud(cloud)?)?;
    let target = match &options.output {
        Some(path) => path.clone(),
        None => file::of_user().context("neither KUBECONFIG nor HOME is set: name a file with --output")?,
    };
    let cluster = cluster_entry(&options, &target)?;
    let token = login.token(&Cache::of_user()?).await?;
    let namespace = match options.namespace {
        Some(namespace) => namespace,
        None => tenant(&cluster, &token.token).await?,
    };
    let name = options.name.unwrap_or_else(|| format!("stackube-{namespace}"));
    let entry = Entry {
        name: &name,
        cluster,
        user: user_entry(&environment.source(cloud)?)?,
        namespace: &namespace,
        make_current: !options.keep_context,
    };
    file::change(&target, |config| entry.put_into(config))?;
    output::line(format_args!(
        "Context {name} with namespace {namespace} is in {}.",
        target.display()
    ))?;
    Ok(())
}

/// The tenant of the token, for which the API server has to be asked.
async fn tenant(cluster: &Value, token: &secrecy::SecretString) -> anyhow::Result<String> {
    let text = json!({"apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": cluster}], "users": [{"name": "c", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}]});
    let config = cluster::with(serde_json::from_value(text)?, None).await?;
    let user = cluster::whoami(&config, token).await;
    let mut tenants = cluster::tenants(&user.context("your tenant is not known; name a namespace with --namespace")?);
    tenants
        .pop()
        .context("your project is no tenant: name a namespace with --namespace")
}

/// Server and authority, from the options or from a kubeconfig's present context.
fn cluster_entry(options: &KubeconfigOptions, target: &Path) -> anyhow::Result<Value> {
    if let (Some(server), Some(authority)) = (&options.server, &options.certificate_authority) {
        let pem = std::fs::read(authority).with_context(|| format!("{} cannot be read", authority.display()))?;
        let data = base64::engine::general_purpose::STANDARD.encode(pem);
        return Ok(json!({"server": server, "certificate-authority-data": data}));
    }
    let source = options.from.as_deref().unwrap_or(target);
    let advice = "name the cluster with --server and --certificate-authority, or a kubeconfig that has it with --from";
    // Paths in it become absolute, so that they can be copied.
    let config =
        Kubeconfig::read_from(source).with_context(|| format!("{} cannot be used: {advice}", source.display()))?;
    let current = config
        .current_context
        .as_deref()
        .with_context(|| format!("{} has no present context: {advice}", source.display()))?;
    let context = config.contexts.iter().find(|context| context.name == current);
    let wanted = context
        .and_then(|context| context.context.as_ref())
        .map(|context| &context.cluster);
    let cluster = config
        .clusters
        .iter()
        .find(|cluster| Some(&cluster.name) == wanted)
        .and_then(|cluster| cluster.cluster.as_ref());
    Ok(serde_json::to_value(cluster.with_context(|| {
        format!(
            "{} has no cluster for its context {current}: {advice}",
            source.display()
        )
    })?)?)
}

/// How kubectl logs in. What names the cloud comes along, with absolute paths: kubectl may be started in a directory with a
/// stranger's `clouds.yaml`. What proves the user stays in these files or the environment.
fn user_entry(source: &CloudSource) -> anyhow::Result<Value> {
    let mut arguments = vec!["credential".to_owned()];
    let mut variables = vec![];
    if let CloudSource::Files { cloud, clouds, secure } = source {
        arguments.extend(cloud.iter().flat_map(|cloud| ["--os-cloud".to_owned(), cloud.clone()]));
        variables.push(file_variable("OS_CLIENT_CONFIG_FILE", clouds)?);
        if let Some(secure) = secure {
            variables.push(file_variable("OS_CLIENT_SECURE_FILE", secure)?);
        }
    }
    Ok(json!({"exec": {
        "apiVersion": API_VERSION, "command": "stackube", "args": arguments, "env": variables, "interactiveMode": "Never",
        "installHint": "The program `stackube` is needed to log in; your operator has it.", "provideClusterInfo": false,
    }}))
}

fn file_variable(name: &str, path: &Path) -> anyhow::Result<Value> {
    let path = std::path::absolute(path)?;
    let text = path.to_str().with_context(|| {
        format!(
            "{} is no UTF-8, which a kubeconfig cannot hold: move the file",
            path.display()
        )
    })?;
    Ok(json!({"name": name, "value": text}))
}

/// What is written.
struct Entry<'a> {
    name: &'a str,
    cluster: Value,
    user: Value,
    namespace: &'a str,
    make_current: bool,
}

impl Entry<'_> {
    fn put_into(self, config: &mut Value) -> anyhow::Result<()> {
        let name = self.name;
        let context = json!({"cluster": name, "user": name, "namespace": self.namespace});
        for (list, key, value) in [
            ("clusters", "cluster", self.cluster),
            ("users", "user", self.user),
            ("contexts", "context", context),
        ] {
            put(config, list, name, json!({"name": name, key: value}))?;
        }
        if self.make_current {
            config["current-context"] = name.into();
        }
        Ok(())
    }
}

/// Replaces the entry of that name, or adds it.
fn put(config: &mut Value, list: &str, name: &str, entry: Value) -> anyhow::Result<()> {
    let entries = &mut config[list];
    if entries.is_null() {
        *entries = json!([]);
    }
    let entries = entries
        .as_array_mut()
        .with_context(|| format!("`{list}` is not a list"))?;
    match entries.iter_mut().find(|entry| entry["name"] == name) {
        Some(found) => *found = entry,
        None => entries.push(entry),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::file::{Lock, change};
    use super::*;

    fn files(cloud: Option<&str>, clouds: &str, secure: Option<&str>) -> CloudSource {
        CloudSource::Files {
            cloud: cloud.map(str::to_owned),
            clouds: clouds.into(),
            secure: secure.map(PathBuf::from),
        }
    }

    fn entry<'a>(name: &'a str, make_current: bool) -> Entry<'a> {
        Entry {
            name,
            cluster: json!({"server": "https://10.0.0.1:6443"}),
            user: user_entry(&files(Some("mine"), "/c.yaml", None)).unwrap(),
            namespace: "acme",
            make_current,
        }
    }

    fn read(path: &Path) -> Value {
        serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    #[test]
    fn a_new_file_is_one_that_kubectl_can_use() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kube/config");
        change(&path, |config| entry("stackube-acme", true).put_into(config)).unwrap();
        let config = Kubeconfig::read_from(&path).unwrap();
        assert_eq!(config.current_context.as_deref(), Some("stackube-acme"));
        let exec = config.auth_infos[0].auth_info.clone().unwrap().exec.unwrap();
        assert_eq!(exec.args.unwrap(), ["credential", "--os-cloud", "mine"]);
        assert!(!path.with_extension("lock").exists());
    }

    #[test]
    fn what_was_there_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        let before = "apiVersion: v1\nkind: Config\ncurrent-context: 'on'\nextensions: [{name: x, extension: {a: '0x10', b: 1.50}}]\nclusters: []\nusers:\n- name: other\n  user: {token: 'yes', password: \"1e3\"}\n- name: stackube-acme\n  user: {token: old}\n";
        std::fs::write(&path, before).unwrap();
        let old = read(&path);
        change(&path, |config| entry("stackube-acme", false).put_into(config)).unwrap();
        let new = read(&path);
        assert_eq!(
            (&new["current-context"], &new["extensions"], &new["users"][0]),
            (&old["current-context"], &old["extensions"], &old["users"][0])
        );
        assert!(new["users"][1]["user"]["exec"].is_object() && new["users"].as_array().unwrap().len() == 2);
        assert_eq!(new["contexts"][0]["context"]["namespace"], "acme");
    }

    #[test]
    fn a_file_that_is_no_kubeconfig_or_is_locked_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        for text in ["- a\n", "clusters: {a: b}\n", "a: [\n"] {
            std::fs::write(&path, text).unwrap();
            assert!(
                change(&path, |config| entry("n", true).put_into(config)).is_err(),
                "{text}"
            );
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        std::fs::write(&path, "").unwrap();
        let lock = Lock::take(&path).unwrap();
        assert!(change(&path, |config| entry("n", true).put_into(config)).is_err());
        drop(lock);
        assert!(change(&path, |config| entry("n", true).put_into(config)).is_ok());
    }

    #[test]
    fn names_the_cloud_but_no_secret() {
        let here = std::env::current_dir().unwrap().join("clouds.yaml");
        let config = |path: &Path| json!({"name": "OS_CLIENT_CONFIG_FILE", "value": path});
        let secure = json!({"name": "OS_CLIENT_SECURE_FILE", "value": "/s.yaml"});
        for (source, arguments, variables) in [
            (
                files(Some("c"), "/c.yaml", Some("/s.yaml")),
                json!(["credential", "--os-cloud", "c"]),
                json!([config(Path::new("/c.yaml")), secure]),
            ),
            (
                files(None, "./clouds.yaml", None),
                json!(["credential"]),
                json!([config(&here)]),
            ),
            (CloudSource::Variables, json!(["credential"]), json!([])),
        ] {
            let user = user_entry(&source).unwrap();
            assert_eq!(user["exec"]["args"], arguments, "{source:?}");
            assert_eq!(user["exec"]["env"], variables, "{source:?}");
        }
    }

    #[test]
    fn an_empty_name_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let clouds = directory.path().join("clouds.yaml");
        std::fs::write(&clouds, "").unwrap();
        let arguments = |cloud: Option<&str>, variables: &[(&str, &str)]| {
            let variable = |wanted: &str| {
                let (_, value) = variables.iter().find(|(name, _)| *name == wanted)?;
                Some((*value).to_owned())
            };
            let environment = Environment::new(variable, vec![directory.path().to_owned()]);
            user_entry(&environment.source(cloud).unwrap()).unwrap()["exec"]["args"].clone()
        };
        let (empty, named, url) = (("OS_CLOUD", ""), ("OS_CLOUD", "c"), ("OS_AUTH_URL", "http://k"));
        for (cloud, variables, expected) in [
            (None, &[empty, url][..], &["credential"][..]),
            (Some(""), &[empty, url][..], &["credential"][..]),
            (Some(""), &[empty][..], &["credential"][..]),
            (Some(""), &[named, url][..], &["credential", "--os-cloud", "c"][..]),
            (Some("d"), &[named][..], &["credential", "--os-cloud", "d"][..]),
        ] {
            assert_eq!(arguments(cloud, variables), json!(expected), "{cloud:?} {variables:?}");
        }
    }
}
