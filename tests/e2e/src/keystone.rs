//! Keystone by hand: domains, users, credentials and tokens as unusual clients and attackers have them.

use std::sync::Mutex;

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Method, Response};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use stackube_openstack::{AuthUrl, CloudConfig};

use crate::{always::always, devbox::Devbox};

/// The devbox's Keystone, with its administrator's token.
#[derive(Debug)]
pub struct Keystone {
    http: reqwest::Client,
    url: AuthUrl,
    token: String,
    /// Paths of what was made and whose token made it, to be removed again.
    made: Mutex<Vec<(String, String)>>,
}

/// Gives `body` a Keystone, and removes afterwards what was made in it, also when `body` panics.
///
/// # Panics
/// When Keystone does not answer, `body` panics, or something cannot be removed.
pub async fn with_keystone(devbox: &Devbox, body: impl AsyncFnOnce(&Keystone)) {
    let keystone = Keystone::connect(devbox).await.expect("Keystone should answer");
    always(body(&keystone), async {
        let removed = keystone.remove_all().await;
        removed.expect("what a test made in Keystone should be removable");
    })
    .await;
}

impl Keystone {
    async fn connect(devbox: &Devbox) -> Result<Self> {
        let issued = devbox.cloud.service().bearer_token().await?;
        Ok(Self {
            http: reqwest::Client::new(),
            url: CloudConfig::from_clouds_yaml(devbox.clouds(), "devbox")?.auth_url,
            token: issued.secret.expose_secret().to_owned(),
            made: Mutex::default(),
        })
    }

    async fn call(&self, method: Method, path: &str, token: Option<&str>, body: Option<&Value>) -> Result<Response> {
        let mut request = self.http.request(method, self.url.as_url().join(path)?);
        if let Some(token) = token {
            request = request.header("x-auth-token", token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await?;
        if !answer.status().is_success() {
            bail!("{path}: {}: {}", answer.status(), answer.text().await?);
        }
        Ok(answer)
    }

    /// Makes an object as the administrator; its ID.
    ///
    /// # Errors
    /// Why Keystone refuses.
    pub async fn make(&self, path: &str, key: &str, body: Value) -> Result<String> {
        let made = self.make_as(&self.token, path, key, body).await?;
        Ok(made["id"].as_str().context("an ID")?.to_owned())
    }

    /// Makes an object with somebody's token.
    ///
    /// # Errors
    /// Why Keystone refuses.
    pub async fn make_as(&self, token: &str, path: &str, key: &str, body: Value) -> Result<Value> {
        let body = json!({ key: body });
        let mut answer: Value = self
            .call(Method::POST, path, Some(token), Some(&body))
            .await?
            .json()
            .await?;
        let id = answer[key]["id"].as_str().context("the answer has no ID")?;
        self.made().push((format!("{path}/{id}"), token.to_owned()));
        Ok(answer[key].take())
    }

    /// Removes an object now, before the end of the test.
    ///
    /// # Errors
    /// Why Keystone refuses.
    pub async fn remove(&self, path: &str) -> Result<()> {
        self.made().retain(|(made, _)| made != path);
        self.call(Method::DELETE, path, Some(&self.token), None).await.map(drop)
    }

    /// ID of a global role.
    ///
    /// # Errors
    /// When there is none of that name.
    pub async fn role(&self, name: &str) -> Result<String> {
        let path = format!("roles?name={name}");
        let found: Value = self
            .call(Method::GET, &path, Some(&self.token), None)
            .await?
            .json()
            .await?;
        let id = found["roles"][0]["id"].as_str();
        Ok(id.with_context(|| format!("Keystone has no role {name}"))?.to_owned())
    }

    /// Grants a role: `path` is `projects/<ID>` or `domains/<ID>`.
    ///
    /// # Errors
    /// Why Keystone refuses.
    pub async fn grant(&self, path: &str, user: &str, role: &str) -> Result<()> {
        let path = format!("{path}/users/{user}/roles/{role}");
        self.call(Method::PUT, &path, Some(&self.token), None).await.map(drop)
    }

    /// Makes a user one of a group.
    ///
    /// # Errors
    /// Why Keystone refuses.
    pub async fn join(&self, group: &str, user: &str) -> Result<()> {
        let path = format!("groups/{group}/users/{user}");
        self.call(Method::PUT, &path, Some(&self.token), None).await.map(drop)
    }

    /// A token for what `identity` proves, in `scope`.
    ///
    /// # Errors
    /// Why Keystone issues none.
    pub async fn issue(&self, identity: &Value, scope: Option<Value>) -> Result<String> {
        let mut auth = json!({"identity": identity});
        if let Some(scope) = scope {
            auth["scope"] = scope;
        }
        let body = json!({"auth": auth});
        let answer = self.call(Method::POST, "auth/tokens", None, Some(&body)).await?;
        let token = answer.headers().get("x-subject-token").context("no token")?;
        Ok(token.to_str()?.to_owned())
    }

    /// Ends a token.
    ///
    /// # Errors
    /// Why Keystone refuses.
    pub async fn revoke(&self, token: &str) -> Result<()> {
        let url = self.url.as_url().join("auth/tokens")?;
        let request = self.http.delete(url).header("x-auth-token", &self.token);
        let answer = request.header("x-subject-token", token).send().await?;
        ensure!(answer.status().is_success(), "{}", answer.status());
        Ok(())
    }

    fn made(&self) -> std::sync::MutexGuard<'_, Vec<(String, String)>> {
        self.made.lock().expect("no test panics while it holds this")
    }

    async fn remove_all(&self) -> Result<()> {
        let made = std::mem::take(&mut *self.made());
        let mut failed = vec![];
        for (path, token) in made.iter().rev() {
            if path.starts_with("domains/") {
                let disabled = json!({"domain": {"enabled": false}});
                let answer = self.call(Method::PATCH, path, Some(token), Some(&disabled)).await;
                failed.extend(answer.err());
            }
            let answer = self.call(Method::DELETE, path, Some(token), None).await;
            // Whatever belonged to something that is gone already is gone with it.
            failed.extend(answer.err().filter(|error| !error.to_string().contains("404")));
        }
        ensure!(failed.is_empty(), "{failed:?}");
        Ok(())
    }
}

/// Proof of identity by user ID and password.
pub fn by_password(user: &str, password: &str) -> Value {
    json!({"methods": ["password"], "password": {"user": {"id": user, "password": password}}})
}

/// Proof of identity by an application credential, as Keystone answered when it was made.
pub fn by_credential(made: &Value) -> Value {
    let credential = json!({"id": made["id"], "secret": made["secret"]});
    json!({"methods": ["application_credential"], "application_credential": credential})
}

/// Scope of a project.
pub fn project(id: &str) -> Option<Value> {
    Some(json!({"project": {"id": id}}))
}
