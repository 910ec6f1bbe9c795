//! A node with two pods: a bridge that is the router of both pods' subnets. All sites are alike but for who does Services.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result};
use stackube_datapath::abi::NetworkKey;
use stackube_datapath::{Identity, Limits, LinkSettings, Mode, Programs};

use crate::lab::{Lab, Namespace, run};
use crate::objects::TENANT;

/// The pod that asks.
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 5);
/// The pod that answers, in another subnet, so that both ways go through the router.
pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 244, 1, 6);
/// The bridge's MAC address, which must not follow that of its newest port.
const ROUTER_MAC: &str = "02:00:00:00:00:fe";
/// Far from what a measurement may come to.
const NO_LIMIT: (u32, u32) = (1_000_000, 1_000_000);

pub(crate) struct Site {
    pub(crate) name: &'static str,
    pub(crate) node: Namespace,
    pub(crate) client: Namespace,
    pub(crate) server: Namespace,
}

impl Site {
    /// Makes the node, joined to the API server's namespace as 10.99.0.`number`; pods come with [`Site::plug`].
    pub(crate) fn new(lab: &Lab, name: &'static str, number: u8, api: &Namespace) -> Result<Self> {
        let site = Self {
            name,
            node: lab.namespace(&format!("{name}-node"))?,
            client: lab.namespace(&format!("{name}-client"))?,
            server: lab.namespace(&format!("{name}-server"))?,
        };
        site.node.ip(&format!(
            "link add br0 address {ROUTER_MAC} type bridge
             link set br0 up
             addr add 10.244.0.1/24 dev br0
             addr add 10.244.1.1/24 dev br0"
        ))?;
        wire(&site.node, &format!("{name}0"), number, api)?;
        site.node.within(|| {
            for (setting, value) in [
                ("ip_forward", "1"),
                ("conf/all/send_redirects", "0"),
                ("conf/br0/send_redirects", "0"),
            ] {
                std::fs::write(format!("/proc/sys/net/ipv4/{setting}"), value)?;
            }
            // What crosses the bridge alone is not Services' business, here as there.
            let _absent = std::fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", "0");
            Ok(())
        })?;
        Ok(site)
    }

    /// A pod's namespace on the bridge, as a plain bridge plugin leaves it.
    pub(crate) fn plug(&self, host: &str, pod: &Namespace, address: Ipv4Addr) -> Result<()> {
        self.cable(host, pod, address)?;
        self.node.ip(&format!("link set {host} master br0 up"))
    }

    fn cable(&self, host: &str, pod: &Namespace, address: Ipv4Addr) -> Result<()> {
        self.node
            .ip(&format!("link add {host} type veth peer name eth0 netns {}", pod.name))?;
        pod.ip(&format!(
            "addr add {address}/24 dev eth0
             link set eth0 up
             route add default via {}",
            gateway(address)
        ))
    }

    /// Both pods with a bridge alone.
    pub(crate) fn plug_plainly(&self) -> Result<()> {
        self.plug("client0", &self.client, CLIENT)?;
        self.plug("server0", &self.server, SERVER)
    }

    /// Both pods behind Stackube's datapath, pinned under `root`, and the host link. The programs stay by their pins.
    pub(crate) fn plug_with_datapath(&self, root: &Path, mode: Mode) -> Result<()> {
        self.node.ip("link add stackube0 type veth peer name stackube1
             addr add 169.254.77.1/32 dev stackube0
             link set stackube0 arp off up
             link set stackube1 up
             route add 169.254.128.0/17 dev stackube0
             rule add fwmark 0x77 lookup 77
             rule add from 169.254.77.1 lookup 77")?;
        let pods = [("client0", &self.client, CLIENT), ("server0", &self.server, SERVER)];
        let mut identities = Vec::new();
        for (number, (host, pod, address)) in (1..).zip(pods) {
            self.cable(host, pod, address)?;
            self.node.ip(&format!(
                "route add {address}/32 dev stackube0 src 169.254.77.1 table 77"
            ))?;
            if mode == Mode::Xdp {
                run(pod.command("ethtool").args(["-K", "eth0", "tx", "off"]))?;
            }
            identities.push(Identity {
                ifindex: ifindex(&self.node, host)?,
                network: NetworkKey::of(TENANT),
                uid: [number; 16],
                ip: address,
                gateway: gateway(address),
                alias: Ipv4Addr::new(169, 254, 128, number),
                mac: mac(pod, "eth0")?,
                is_node: false,
            });
        }
        let far = ifindex(&self.node, "stackube1")?;
        let macs = (mac(&self.node, "stackube0")?, mac(&self.node, "stackube1")?);
        let limits = Limits {
            dns: NO_LIMIT,
            ..Limits::default()
        };
        self.node.within(|| {
            let programs = Programs::load_or_open(root, mode)?;
            programs.set_link(&LinkSettings::on(far, macs.0, macs.1, limits))?;
            programs.attach_link(far)?;
            Ok(identities.iter().try_for_each(|identity| programs.attach(identity))?)
        })?;
        pods.iter()
            .try_for_each(|(host, ..)| self.node.ip(&format!("link set {host} master br0 up")))
    }
}

/// Joins a namespace to that of the API server.
pub(crate) fn wire(namespace: &Namespace, device: &str, number: u8, api: &Namespace) -> Result<()> {
    namespace.ip(&format!(
        "link add ctl0 type veth peer name {device} netns {}
         addr add 10.99.0.{number}/24 dev ctl0
         link set ctl0 up",
        api.name
    ))?;
    api.ip(&format!("link set {device} master wires up"))
}

fn gateway(address: Ipv4Addr) -> Ipv4Addr {
    let [a, b, c, _] = address.octets();
    Ipv4Addr::new(a, b, c, 1)
}

fn ifindex(namespace: &Namespace, device: &str) -> Result<u32> {
    let shown = run(std::process::Command::new("ip").args(["-n", &namespace.name, "-o", "link", "show", device]))?;
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    let number = text.split(':').next().unwrap_or_default();
    Ok(number.trim().parse()?)
}

fn mac(namespace: &Namespace, device: &str) -> Result<[u8; 6]> {
    let shown = run(std::process::Command::new("ip").args(["-n", &namespace.name, "-br", "link", "show", device]))?;
    let text = String::from_utf8_lossy(&shown.stdout).into_owned();
    let word = text.split_whitespace().nth(2).unwrap_or_default();
    let bytes: Vec<u8> = word
        .split(':')
        .map(|part| u8::from_str_radix(part, 16))
        .collect::<Result<_, _>>()?;
    bytes.try_into().ok().context("no MAC address")
}
