//! Services of the system network that pods of tenants use: the node passes them on by its own port.

use std::io::ErrorKind;

use super::*;

const TENANT: &str = "test";
const SHARED: &str = "10.96.0.60:5000";

/// A node that shares Services, a pod of the system network behind [`SHARED`], and a tenant's pod.
struct Sharing {
    lab: Lab,
    router: Namespace,
    system: (Pod, Namespace),
    tenant: (Pod, Namespace),
}

impl Sharing {
    fn new(shared: &'static str) -> Self {
        let lab = Lab::without_daemon();
        lab.shared.set(shared);
        lab.start_daemon(None);
        lab.node
            .enter(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
        lab.api.put(node_port());
        programs(&lab).set_service_cidrs(&[SERVICES.parse().unwrap()]).unwrap();
        wait_until_plugged(&lab);
        let router = router(&lab);
        let system = system_pod(&lab, 1);
        let backend = format!("{}:80", system.0.ip).parse().unwrap();
        service(&lab, SHARED, Protocol::Tcp, backend, false);
        let pod = Pod::number(2);
        let netns = lab.pod_namespace("tenant");
        lab.api.put(pod.port());
        lab.add("tenant", &pod, &netns).ok();
        netns.ip("neigh replace 10.244.0.1 lladdr 0a:00:00:00:ff:01 dev eth0");
        Self {
            lab,
            router,
            system,
            tenant: (pod, netns),
        }
    }

    /// As stackube-proxy writes it for a network of others: the address stands for itself on the host link.
    fn allow(&self, vip: &str) {
        self.allow_by(vip, Protocol::Tcp);
    }

    fn allow_by(&self, vip: &str, protocol: Protocol) {
        service_of(&self.lab, TENANT, vip, protocol, vip.parse().unwrap(), true);
    }
}

#[test]
fn a_tenants_pod_uses_a_shared_service_as_the_node() {
    let sharing = Sharing::new("default/registry");
    let (system, tenant) = (&sharing.system, &sharing.tenant.1);
    let server = system.1.enter(|| TcpListener::bind("0.0.0.0:80").unwrap());
    sharing.allow(SHARED);
    let client = dial(tenant, SHARED).unwrap();
    let (served, peer) = server.accept().unwrap();
    assert_eq!(peer.ip().to_string(), OWN, "the pod's own address means nothing here");
    assert_carries(&client, &served);
    // The daemon's end changes nothing about it.
    sharing.lab.kill_daemon();
    assert_carries(&client, &served);
    dial(tenant, SHARED).unwrap();
    drop(sharing.router);
}

#[test]
fn a_tenants_pod_uses_a_shared_service_by_udp() {
    let sharing = Sharing::new("default/names");
    let (system, tenant) = (&sharing.system, &sharing.tenant.1);
    let server = system.1.enter(|| UdpSocket::bind("0.0.0.0:53").unwrap());
    let client = tenant.enter(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    }
    let backend = format!("{}:53", system.0.ip).parse().unwrap();
    service(&sharing.lab, SHARED, Protocol::Udp, backend, false);
    let mut heard = [0; 8];
    // By TCP alone so far: the socket hears that the port is closed.
    sharing.allow(SHARED);
    client.connect(SHARED).unwrap();
    client.send(b"early").unwrap();
    assert_eq!(
        client.recv(&mut heard).unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
    sharing.allow_by(SHARED, Protocol::Udp);
    client.send(b"asked").unwrap();
    let (length, peer) = server.recv_from(&mut heard).unwrap();
    assert_eq!(&heard[..length], b"asked");
    assert_eq!(peer.ip().to_string(), OWN, "the pod's own address means nothing here");
    server.send_to(b"answered", peer).unwrap();
    // From the address that it asked: else a connected socket takes nothing.
    assert_eq!(client.recv(&mut heard).unwrap(), heard.len());
    assert_eq!(&heard, b"answered");
}

#[test]
fn what_is_not_shared_stays_out_of_reach() {
    let sharing = Sharing::new("default/registry");
    let (lab, system, tenant) = (&sharing.lab, &sharing.system, &sharing.tenant.1);
    let server = system.1.enter(|| TcpListener::bind("0.0.0.0:80").unwrap());
    server.set_nonblocking(true).unwrap();
    sharing.allow(SHARED);
    dial(tenant, SHARED).unwrap();
    // Another Service of the system network, with the same backend.
    let other = "10.96.0.61:5000";
    service(
        lab,
        other,
        Protocol::Tcp,
        format!("{}:80", system.0.ip).parse().unwrap(),
        false,
    );
    assert_eq!(dial(tenant, other).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    // Another port of the shared address, and the pod behind it.
    assert_eq!(
        dial(tenant, "10.96.0.60:80").unwrap_err().kind(),
        ErrorKind::ConnectionRefused
    );
    dial(tenant, &format!("{}:80", system.0.ip)).unwrap_err();
    // The other way there is nothing at all.
    let back = sharing.tenant.1.enter(|| TcpListener::bind("0.0.0.0:80").unwrap());
    back.set_nonblocking(true).unwrap();
    let identities = lab.identities();
    let identity = identities
        .iter()
        .find(|identity| identity.network == NetworkKey::of(TENANT));
    for to in [sharing.tenant.0.ip.clone(), identity.unwrap().alias.to_string()] {
        dial(&system.1, &format!("{to}:80")).unwrap_err();
    }
    assert_eq!(back.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
}

#[test]
fn a_node_that_shares_nothing_passes_nothing_on() {
    let sharing = Sharing::new("");
    let (lab, tenant) = (&sharing.lab, &sharing.tenant.1);
    let _server = sharing.system.1.enter(|| TcpListener::bind("0.0.0.0:80").unwrap());
    // Even if the maps say so.
    sharing.allow(SHARED);
    dial(tenant, SHARED).unwrap_err();
    assert!(!lab.node.ip("rule show").contains("iif stackube0"));
    // The list is all that is missing, and leaves nothing behind.
    for (shared, rules) in [(" default/registry\n", 1), (" ", 0)] {
        lab.kill_daemon();
        lab.shared.set(shared);
        lab.start_daemon(None);
        lab.eventually("the rules are as the list says", || {
            lab.node.ip("rule show").matches("iif stackube0 lookup 78").count() == rules
                && nft(&lab.node, "list table inet stackube-kubestack")
                    .matches("shared services")
                    .count()
                    == 2 * rules
        });
        assert_eq!(dial(tenant, SHARED).is_ok(), rules == 1, "{shared:?}");
    }
}
