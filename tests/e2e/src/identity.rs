//! Requests in the name of somebody else, as stackube-auth would let them in: by impersonation, which the API server
//! authorizes and admits like the real ones. Or in that of a token's bearer.

use anyhow::{Context, Result};
use kube::Client;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::client::Body;
use kube::core::Request;
use serde_json::{Value, json};
use stackube_api::names::project_group;
use stackube_openstack::id::ProjectId;

use crate::devbox::Devbox;

/// A user with groups.
#[derive(Clone, Debug)]
pub struct Identity {
    /// User name; empty: whoever the client is.
    pub user: String,
    /// Groups, beside `system:authenticated`.
    pub groups: Vec<String>,
    /// Extra fields of a token, key and value.
    pub extra: Vec<(String, String)>,
}

impl Identity {
    /// Somebody with one of Stackube's roles (`stackube-admin` and so on) in a project.
    ///
    /// # Panics
    /// When Keystone does not answer, or has no such role.
    pub async fn in_project(devbox: &Devbox, project: &ProjectId, role: &str) -> Self {
        let found = devbox.cloud.service().find_role(role).await;
        let role = found
            .expect("Keystone should answer")
            .expect("the controller should have made its roles");
        Self::in_group(&project_group(project.as_str(), role.id.as_str()))
    }

    /// Somebody in one group.
    pub fn in_group(group: &str) -> Self {
        Self {
            user: "e2e-somebody".into(),
            groups: vec![group.into()],
            extra: vec![],
        }
    }

    /// Whoever the client is, such as that of a token ([`Devbox::client_with`]): nobody is impersonated.
    pub fn bearer() -> Self {
        Self {
            user: String::new(),
            groups: vec![],
            extra: vec![],
        }
    }

    /// A service account.
    pub fn service_account(namespace: &str, name: &str) -> Self {
        Self {
            user: format!("system:serviceaccount:{namespace}:{name}"),
            groups: vec![
                "system:serviceaccounts".into(),
                format!("system:serviceaccounts:{namespace}"),
            ],
            extra: vec![],
        }
    }

    /// As kubectl's flags.
    pub fn flags(&self) -> Vec<String> {
        let mut flags = vec![format!("--as={}", self.user), "--as-group=system:authenticated".into()];
        flags.extend(self.groups.iter().map(|group| format!("--as-group={group}")));
        flags.extend(
            self.extra
                .iter()
                .map(|(key, value)| format!("--as-user-extra={key}={value}")),
        );
        flags
    }

    /// Whether RBAC lets the identity do this. `path` is `group/resource/subresource` with empty parts where there are none.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn may(&self, client: &Client, verb: &str, path: &str, namespace: &str, name: &str) -> Result<bool> {
        let mut parts = path.split('/');
        let (group, resource, sub) = (parts.next(), parts.next(), parts.next());
        let mut spec = json!({"resourceAttributes": {
            "verb": verb, "group": group, "resource": resource, "subresource": sub, "namespace": namespace, "name": name,
        }});
        let kind = if self.user.is_empty() {
            "SelfSubjectAccessReview"
        } else {
            spec["user"] = json!(self.user);
            spec["groups"] = self
                .groups
                .iter()
                .map(String::as_str)
                .chain(["system:authenticated"])
                .collect();
            "SubjectAccessReview"
        };
        let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec});
        let path = format!("/apis/authorization.k8s.io/v1/{}s", kind.to_lowercase());
        let request = Request::new(path).create(&PostParams::default(), review.to_string().into_bytes())?;
        let answer: Value = client.request(request).await?;
        answer["status"]["allowed"].as_bool().context("no answer")
    }

    /// POST of `object` to `path`, without effect.
    ///
    /// # Errors
    /// The API server's message.
    pub async fn try_create(&self, client: &Client, path: &str, object: &Value) -> Result<Value> {
        let parameters = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let request = Request::new(path).create(&parameters, object.to_string().into_bytes())?;
        self.send(client, request).await
    }

    /// Strategic merge patch of `path/name` (which may go on with a subresource), without effect.
    ///
    /// # Errors
    /// The API server's message.
    pub async fn try_patch(&self, client: &Client, path: &str, name: &str, patch: &Value) -> Result<Value> {
        self.patch(client, path, name, &Patch::Strategic(patch)).await
    }

    /// Merge patch of `path/name`, the only kind that custom resources know, without effect.
    ///
    /// # Errors
    /// The API server's message.
    pub async fn try_merge(&self, client: &Client, path: &str, name: &str, patch: &Value) -> Result<Value> {
        self.patch(client, path, name, &Patch::Merge(patch)).await
    }

    /// Merge patch of `path/name`, which may go on with a subresource; this one has its effect.
    ///
    /// # Errors
    /// The API server's message.
    pub async fn merge(&self, client: &Client, path: &str, name: &str, patch: &Value) -> Result<Value> {
        let request = Request::new(path).patch(name, &PatchParams::default(), &Patch::Merge(patch))?;
        self.send(client, request).await
    }

    /// Server-side apply of `path/name`, past all conflicts, without effect.
    ///
    /// # Errors
    /// The API server's message.
    pub async fn try_apply(&self, client: &Client, path: &str, name: &str, object: &Value) -> Result<Value> {
        let parameters = PatchParams {
            dry_run: true,
            ..PatchParams::apply("e2e-apply").force()
        };
        let request = Request::new(path).patch(name, &parameters, &Patch::Apply(object))?;
        self.send(client, request).await
    }

    /// PUT of `path/name`, without effect.
    ///
    /// # Errors
    /// The API server's message.
    pub async fn try_replace(&self, client: &Client, path: &str, name: &str, object: &Value) -> Result<Value> {
        let parameters = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let request = Request::new(path).replace(name, &parameters, object.to_string().into_bytes())?;
        self.send(client, request).await
    }

    async fn patch(&self, client: &Client, path: &str, name: &str, patch: &Patch<&Value>) -> Result<Value> {
        let parameters = PatchParams {
            dry_run: true,
            ..PatchParams::default()
        };
        self.send(client, Request::new(path).patch(name, &parameters, patch)?)
            .await
    }

    /// DELETE of `path/name`, without effect.
    ///
    /// # Errors
    /// The API server's message.
    pub async fn try_delete(&self, client: &Client, path: &str, name: &str) -> Result<Value> {
        self.try_delete_within(client, path, Some(name), None).await
    }

    /// DELETE of `path/name`, or of all in `path`, with so many seconds to end, without effect.
    ///
    /// # Errors
    /// The API server's message.
    pub async fn try_delete_within(
        &self,
        client: &Client,
        path: &str,
        name: Option<&str>,
        seconds: Option<u32>,
    ) -> Result<Value> {
        let parameters = DeleteParams {
            dry_run: true,
            grace_period_seconds: seconds,
            ..DeleteParams::default()
        };
        let request = Request::new(path);
        let request = match name {
            Some(name) => request.delete(name, &parameters)?,
            None => request.delete_collection(&parameters, &ListParams::default())?,
        };
        self.send(client, request).await
    }

    /// GET of a path, for subresources that connect.
    ///
    /// # Errors
    /// The API server's message.
    pub async fn get(&self, client: &Client, path: &str, name: &str) -> Result<Value> {
        let request = Request::new(path).get(name, &kube::api::GetParams::default())?;
        self.send(client, request).await
    }

    /// UID of the FlowSchema that the API server puts a GET of `url` into; the answer itself does not matter.
    ///
    /// # Errors
    /// When the API server does not say.
    pub async fn flow(&self, client: &Client, url: &str) -> Result<String> {
        let headers = self.headers(client, http::Request::get(url).body(vec![])?).await?;
        let uid = headers.get("X-Kubernetes-PF-FlowSchema-UID");
        Ok(uid.context("the answer names no FlowSchema")?.to_str()?.to_owned())
    }

    /// What the API server warns of at a POST of `object` to `path`, without effect.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn warnings(&self, client: &Client, path: &str, object: &Value) -> Result<String> {
        let parameters = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let request = Request::new(path).create(&parameters, object.to_string().into_bytes())?;
        let headers = self.headers(client, request).await?;
        let warnings: Result<Vec<_>, _> = headers.get_all("Warning").iter().map(|text| text.to_str()).collect();
        Ok(warnings?.join("; "))
    }

    async fn headers(&self, client: &Client, mut request: http::Request<Vec<u8>>) -> Result<http::HeaderMap> {
        self.impersonate(request.headers_mut())?;
        let answer = client.send(request.map(Body::from)).await?;
        Ok(answer.headers().clone())
    }

    async fn send(&self, client: &Client, mut request: http::Request<Vec<u8>>) -> Result<Value> {
        self.impersonate(request.headers_mut())?;
        match client.request(request).await {
            Ok(answer) => Ok(answer),
            Err(kube::Error::Api(status)) => anyhow::bail!("{}", status.message),
            Err(error) => Err(error.into()),
        }
    }

    fn impersonate(&self, headers: &mut http::HeaderMap) -> Result<()> {
        if self.user.is_empty() {
            return Ok(());
        }
        headers.insert("Impersonate-User", self.user.parse()?);
        headers.append("Impersonate-Group", "system:authenticated".parse()?);
        for group in &self.groups {
            headers.append("Impersonate-Group", group.parse()?);
        }
        for (key, value) in &self.extra {
            let name = format!("Impersonate-Extra-{}", key.replace('/', "%2f"));
            headers.append(http::HeaderName::from_bytes(name.as_bytes())?, value.parse()?);
        }
        Ok(())
    }
}
