//! The tenant's namespace.

use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams, PostParams};
use serde_json::Value;
use stackube_api::names::PROJECT_ANNOTATION;
use stackube_openstack::id::ProjectId;

use super::Work;
use crate::stop::Stop;
use crate::tenant::dereference;
use crate::tenant::plan::NamespaceStep;

/// How often a namespace that goes away is looked at.
const LOOK: Duration = Duration::from_secs(3);

impl Work<'_> {
    /// The namespace exists and is the tenant's; the status says so.
    pub(super) async fn namespace(&self, project: &ProjectId) -> Result<(), Stop> {
        let name = self.tenant.name_any();
        let namespaces: Api<Namespace> = Api::all(self.context.kube.clone());
        match &self.plan.namespace {
            NamespaceStep::Keep => {}
            NamespaceStep::Create(wanted) => {
                let mut wanted = Namespace::clone(wanted);
                wanted
                    .annotations_mut()
                    .insert(PROJECT_ANNOTATION.to_owned(), project.to_string());
                namespaces.create(&PostParams::default(), &wanted).await?;
                let note = format!("made namespace {name}");
                self.context
                    .events
                    .normal(self.tenant, "Create", "NamespaceCreated", note)
                    .await;
            }
            NamespaceStep::Change(change) => change_metadata(&namespaces, &name, change).await?,
            NamespaceStep::Adopt(change) => {
                change_metadata(&namespaces, &name, change).await?;
                let note = format!("took over namespace {name}");
                self.context
                    .events
                    .normal(self.tenant, "Adopt", "NamespaceAdopted", note)
                    .await;
            }
            NamespaceStep::Await => {
                let message = format!("an old namespace {name} is still being removed");
                return Err(Stop::waiting("NamespaceTerminating", message, LOOK));
            }
        }
        // A pod that came between the look and the label is on the system network: until the status names the namespace as the
        // tenant's, each reconcile looks again.
        if matches!(self.plan.namespace, NamespaceStep::Adopt(_)) && dereference::has_pods(self.context, &name).await? {
            let message =
                format!("the namespace {name} is handed over, but has pods, which are on another network: delete them");
            return Err(Stop::refused("NamespaceHasPods", message));
        }
        self.record.namespace(&name).await?;
        Ok(())
    }
}

async fn change_metadata(namespaces: &Api<Namespace>, name: &str, change: &Value) -> Result<(), kube::Error> {
    namespaces
        .patch_metadata(name, &PatchParams::default(), &Patch::Merge(change))
        .await
        .map(drop)
}
