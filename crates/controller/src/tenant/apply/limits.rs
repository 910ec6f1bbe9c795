//! What the tenant may use of the cluster and of the API server.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{LimitRange, ResourceQuota};
use k8s_openapi::api::flowcontrol::v1::FlowSchema;
use kube::{Api, ResourceExt};
use stackube_openstack::id::{ProjectId, RoleId};

use super::Work;
use crate::declare::declare;
use crate::stop::Stop;
use crate::tenant::flow::flow_schema;

impl Work<'_> {
    /// Writes the ResourceQuota and the LimitRange of the namespace, and the FlowSchema.
    pub(super) async fn limits(&self, project: &ProjectId, roles: &BTreeMap<String, RoleId>) -> Result<(), Stop> {
        let client = &self.context.kube;
        let namespace = self.tenant.name_any();
        let quotas: Api<ResourceQuota> = Api::namespaced(client.clone(), &namespace);
        let ranges: Api<LimitRange> = Api::namespaced(client.clone(), &namespace);
        let flows: Api<FlowSchema> = Api::all(client.clone());
        let (quota, range) = &self.plan.limits;
        let flow = flow_schema(self.tenant, project, roles);
        let (quota, range, flow) =
            tokio::join!(declare(&quotas, quota), declare(&ranges, range), declare(&flows, &flow));
        quota?;
        range?;
        Ok(flow?)
    }
}
