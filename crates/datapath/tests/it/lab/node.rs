//! A node: pods behind host-side veths that a bridge joins, as Open vSwitch would, a router to another subnet, and the host link. The calling
//! thread is the node's.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use stackube_datapath::abi::NetworkKey;
use stackube_datapath::{Identity, Limits, LinkSettings, Mode, Programs, Service, Services};

use super::kernel::{net, service_key};
use super::namespace::{Namespace, run};
use super::pins::Pins;

pub(crate) struct Node {
    pub(crate) programs: Option<Programs>,
    pub(crate) mode: Mode,
    pub(crate) pods: Vec<Namespace>,
    pub(crate) router: Namespace,
    pub(crate) far: Namespace,
    own: Namespace,
    pins: Pins,
}

/// The pods: the first two in one subnet, on this node.
pub(crate) const PODS: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 244, 0, 5), Ipv4Addr::new(10, 244, 0, 6)];
/// A machine beyond the router, over a narrower link.
pub(crate) const FAR: Ipv4Addr = Ipv4Addr::new(10, 250, 0, 2);
/// MTU of that link.
pub(crate) const NARROW: u32 = 1300;
/// MTU of the pods.
pub(crate) const MTU: u32 = 1442;

fn mac(ifname: &str, namespace: &str) -> [u8; 6] {
    let text = run(&format!("ip -n {namespace} -br link show {ifname}"));
    let word = text.split_whitespace().nth(2).unwrap();
    let bytes: Vec<u8> = word
        .split(':')
        .map(|part| u8::from_str_radix(part, 16).unwrap())
        .collect();
    bytes.try_into().unwrap()
}

fn ifindex(ifname: &str, namespace: &str) -> u32 {
    let text = run(&format!("ip -n {namespace} -o link show {ifname}"));
    text.split(':').next().unwrap().parse().unwrap()
}

impl Node {
    pub(crate) fn new(mode: Mode) -> Self {
        let (node, router, far) = (Namespace::new("node"), Namespace::new("router"), Namespace::new("far"));
        node.enter();
        node.ip(&format!(
            "link add br0 type bridge; link set br0 mtu {MTU} up
             link add stackube0 type veth peer name stackube1
             addr add 169.254.77.1/32 dev stackube0
             link set stackube0 arp off mtu {MTU} up; link set stackube1 mtu {MTU} up
             route add 169.254.128.0/17 dev stackube0
             rule add fwmark 0x77 lookup 77; rule add from 169.254.77.1 lookup 77
             link add rt0 type veth peer name eth0 netns {router}
             link set rt0 mtu {MTU} master br0 up",
            router = router.name,
        ));
        router.ip(&format!(
            "addr add 10.244.0.1/24 dev eth0; link set eth0 mtu {MTU} up
             link add eth1 type veth peer name eth0 netns {far}
             addr add 10.250.0.1/24 dev eth1; link set eth1 mtu {NARROW} up",
            far = far.name,
        ));
        router.wait_for_link("eth0", "state UP");
        node.wait_for_link("rt0", "bridge_slave state forwarding");
        router.within(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
        far.ip(&format!(
            "addr add {FAR}/24 dev eth0; link set eth0 mtu {NARROW} up; route add default via 10.250.0.1"
        ));
        router.wait_for_link("eth1", "state UP");
        far.wait_for_link("eth0", "state UP");
        let pins = Pins::new();
        let mut made = Self {
            programs: None,
            mode,
            pods: Vec::new(),
            router,
            far,
            own: node,
            pins,
        };
        made.load();
        for address in PODS {
            made.add_pod(address);
        }
        made.sync();
        made
    }

    /// Loads the programs and tells them the host link.
    pub(crate) fn load(&mut self) {
        let programs = Programs::load_or_open(&self.root(), self.mode).unwrap();
        let far_ifindex = ifindex("stackube1", &self.own.name);
        let macs = (mac("stackube0", &self.own.name), mac("stackube1", &self.own.name));
        programs
            .set_link(&LinkSettings::on(far_ifindex, macs.0, macs.1, Limits::default()))
            .unwrap();
        programs.attach_link(far_ifindex).unwrap();
        self.programs = Some(programs);
    }

    /// Says that all services are there.
    pub(crate) fn sync(&self) {
        self.services().set_service_cidrs(&[net("10.96.0.0/16")]).unwrap();
        self.services().set_synced(NetworkKey::of("demo"), true).unwrap();
    }

    fn add_pod(&mut self, address: Ipv4Addr) {
        let number = self.pods.len();
        let pod = Namespace::new(&format!("pod{number}"));
        let host = format!("sk{number}");
        self.own.ip(&format!(
            "link add {host} type veth peer name eth0 netns {}
             route add {address}/32 dev stackube0 src 169.254.77.1 table 77",
            pod.name
        ));
        pod.ip(&format!(
            "addr add {address}/24 dev eth0; link set eth0 mtu {MTU} up; route add default via 10.244.0.1"
        ));
        if self.mode == Mode::Xdp {
            run(&format!("ip netns exec {} ethtool -K eth0 tx off", pod.name));
        }
        let identity = Identity {
            ifindex: ifindex(&host, &self.own.name),
            network: NetworkKey::of("demo"),
            uid: [u8::try_from(number).unwrap(); 16],
            ip: address,
            gateway: Ipv4Addr::new(10, 244, 0, 1),
            alias: Ipv4Addr::new(169, 254, 128, u8::try_from(number).unwrap()),
            mac: mac("eth0", &pod.name),
            is_node: false,
        };
        self.programs.as_ref().unwrap().attach(&identity).unwrap();
        self.own.ip(&format!("link set {host} mtu {MTU} master br0 up"));
        pod.wait_for_link("eth0", "state UP");
        self.own.wait_for_link(&host, "bridge_slave state forwarding");
        self.pods.push(pod);
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.pins.root()
    }

    pub(crate) fn services(&self) -> Services {
        Services::open(&self.root()).unwrap()
    }

    pub(crate) fn serve(&self, key: &str, service: &Service) {
        self.services().upsert(service_key("demo", key), service).unwrap();
    }

    pub(crate) fn node(&self) -> &Namespace {
        &self.own
    }

    pub(crate) fn checksum_errors(&self) -> u64 {
        self.pods
            .iter()
            .chain([&self.router, &self.far, &self.own])
            .map(Namespace::checksum_errors)
            .sum()
    }
}

impl Drop for Node {
    /// A test that failed tells what the programs have decided.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let counters = stackube_datapath::counters(&self.root()).unwrap_or_default();
            let counted: Vec<_> = counters.iter().filter(|(_, count)| *count > 0).collect();
            println!("{:?}: {counted:?}", self.mode);
        }
    }
}
