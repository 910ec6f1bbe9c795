//! What the owner of an adopted project has on the network that Stackube made there.

use kube::api::DeleteParams;
use stackube_openstack::{
    id::{FloatingIpId, PortId, SubnetId},
    network::{CreatePort, FixedIpRequest, FloatingIpFilter},
};

use super::*;

/// Deletes a Tenant of an adopted project in whose network its owner has a server with a floating IP: that is waited for, and
/// named, and nothing of it is taken away. Returns when the server is gone by its owner's hand and the Tenant after it.
pub(super) async fn assert_survive(devbox: &Devbox, name: &str, project: &ProjectId) {
    let session = devbox.cloud.service();
    let server = server(devbox, name, project).await;
    let address = address(devbox, &server, project).await;

    let tenants: Api<Tenant> = Api::all(devbox.kube.clone());
    tenants.delete(name, &DeleteParams::default()).await.unwrap();
    wait::until("the owner's port waited for", Duration::from_secs(120), || async {
        let status = tenants.get(name).await?.status.unwrap_or_default();
        let message = status.message.unwrap_or_default();
        ensure!(message.contains(&format!("{server} (compute:nova)")), "{message:?}");
        Ok(())
    })
    .await;
    session.get_port(&server).await.unwrap();
    let leads_to = async || {
        let all = session.list_floating_ips(project, &FloatingIpFilter::default()).await;
        let mut found = all.unwrap();
        found.retain(|found| found.id == address);
        assert_eq!(found.len(), 1, "the owner's floating IP must stay");
        found.remove(0).port_id
    };
    assert_eq!(leads_to().await.as_ref(), Some(&server));

    session.delete_port(&server).await.unwrap();
    tenant::delete(devbox, name).await;
    assert_eq!(leads_to().await, None);
    session.delete_floating_ip(&address).await.unwrap();
}

/// A port such as Nova makes for a server.
async fn server(devbox: &Devbox, name: &str, project: &ProjectId) -> PortId {
    let networks: Api<Network> = Api::namespaced(devbox.kube.clone(), name);
    let network = networks.get(name).await.unwrap().status.unwrap();
    let port = CreatePort {
        project_id: project.clone(),
        network_id: NetworkId::new(network.network_id.unwrap()).unwrap(),
        name: "own".into(),
        description: String::new(),
        tags: vec![],
        fixed_ips: vec![FixedIpRequest {
            subnet_id: SubnetId::new(network.subnet_id.unwrap()).unwrap(),
            ip_address: None,
        }],
        security_groups: vec![],
        device_owner: "compute:nova".into(),
        device_id: "server".into(),
        admin_state_up: true,
        binding_host_id: None,
    };
    devbox.cloud.service().create_port(&port).await.unwrap().id
}

/// A floating IP that leads to the port. Stackube itself makes none, so its client cannot.
async fn address(devbox: &Devbox, port: &PortId, project: &ProjectId) -> FloatingIpId {
    let external = devbox
        .kubectl(
            &[
                "-n",
                "stackube-system",
                "get",
                "configmap",
                "stackube-config",
                "-o",
                "jsonpath={.data.ext-net-id}",
            ],
            "",
        )
        .await
        .unwrap();
    let made = devbox
        .openstack(&[
            "floating",
            "ip",
            "create",
            "--project",
            project.as_str(),
            "--port",
            port.as_str(),
            "-f",
            "value",
            "-c",
            "id",
            external.trim(),
        ])
        .await
        .unwrap();
    FloatingIpId::new(made.trim()).unwrap()
}
