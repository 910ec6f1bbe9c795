"""verify_openstack.py CHASSIS EXTERNAL_NETWORK: does with OpenStack what Stackube does for a tenant, under the service user's own account, and removes it."""

import contextlib
import secrets
import sys
import time

import openstack

# What Stackube asks of Neutron. revision-if-match: If-Match on an update.
EXTENSIONS = {
    "router", "external-net", "ext-gw-mode", "security-group", "port-security", "binding", "net-mtu", "quotas", "rbac-policies",
    "standard-attr-description", "standard-attr-tag", "standard-attr-revisions", "revision-if-match",
}  # fmt: skip
GATEWAY = "OVN Controller Gateway agent"


def check(what, holds, found=""):
    """Ends the program when `holds` is false."""
    if not holds:
        raise SystemExit(f"failed: {what} {found}")
    print(f"ok: {what}")


def check_neutron(cloud, chassis):
    """Extensions, and the chassis among the agents that are alive."""
    missing = EXTENSIONS - {extension.alias for extension in cloud.network.extensions()}
    check("Neutron has the extensions", not missing, f"missing {sorted(missing)}")
    agents = [agent for agent in cloud.network.agents() if agent.is_alive]
    check("a gateway chassis is alive", any(agent.agent_type == GATEWAY for agent in agents), agents)
    check(f"the chassis {chassis} is alive", any(agent.host == chassis for agent in agents), [agent.host for agent in agents])


def make_network(cloud, undo, project, external):
    """A tenant's network, subnet and router with its gateway; returns the network."""
    network = cloud.network.create_network(name="verify", project_id=project.id)
    undo.callback(cloud.network.delete_network, network)
    subnet = cloud.network.create_subnet(
        network_id=network.id, project_id=project.id, cidr="10.244.0.0/16", gateway_ip="10.244.0.1", ip_version=4, name="verify"
    )
    router = cloud.network.create_router(name="verify", project_id=project.id, external_gateway_info={"network_id": external.id})
    undo.callback(cloud.network.delete_router, router)
    cloud.network.add_interface_to_router(router, subnet_id=subnet.id)
    undo.callback(cloud.network.remove_interface_from_router, router, subnet_id=subnet.id)
    return network


def check_port(cloud, undo, project, network, chassis):
    """A pod's port: tags and description in the POST, bound to the chassis, revision checked on update."""
    tags = ["stackube", "verify"]
    port = cloud.network.create_port(
        network_id=network.id, project_id=project.id, name="verify", description="pod/verify", tags=tags,
        device_owner="compute:stackube", binding_host_id=chassis,
    )  # fmt: skip
    undo.callback(cloud.network.delete_port, port)
    check("the port is bound by OVS", port.binding_vif_type == "ovs", port.binding_vif_type)
    check("the port kept its tags and description", (sorted(port.tags), port.description) == (tags, "pod/verify"), port)
    check("the port is protected", port.is_port_security_enabled and port.security_group_ids, port)
    url, body = f"/ports/{port.id}", {"port": {"name": "verify-2"}}
    stale = cloud.network.put(url, json=body, headers={"If-Match": f"revision_number={port.revision_number - 1}"})
    check("an update of an old revision is refused", stale.status_code == 412, stale.status_code)


def security_groups(cloud, project):
    """The project's security groups. A list that names the project would make its group `default` anew, so the filter is here."""
    return [group for group in cloud.network.security_groups() if group.project_id == project.id]


def check_empty(cloud, project):
    """Nothing of the project is left in Neutron, once its group `default` is removed, which came with its network."""
    for kind in ("networks", "subnets", "routers", "ports"):
        left = [item.id for item in getattr(cloud.network, kind)(project_id=project.id)]
        check(f"no {kind} are left", not left, left)
    for group in security_groups(cloud, project):
        cloud.network.delete_security_group(group)
    left = security_groups(cloud, project)
    check("no security groups are left", not left, left)


def main(chassis, external_name):
    """One walk, from an empty project to an empty project."""
    started = time.monotonic()
    cloud = openstack.connect(cloud="stackube")
    check("Keystone issues a token to the service user", bool(cloud.auth_token))
    check_neutron(cloud, chassis)
    external = cloud.network.find_network(external_name, ignore_missing=False)
    check("the external network is external and not shared", external.is_router_external and not external.is_shared, external)
    with contextlib.ExitStack() as undo:
        project = cloud.identity.create_project(name=f"verify-{secrets.token_hex(4)}", domain_id="default")
        undo.callback(cloud.identity.delete_project, project)
        with contextlib.ExitStack() as undo_network:
            network = make_network(cloud, undo_network, project, external)
            check_port(cloud, undo_network, project, network, chassis)
        check_empty(cloud, project)
    print(f"ok: all of it in {time.monotonic() - started:.1f} s")


main(*sys.argv[1:])
