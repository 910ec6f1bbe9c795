//! The programs under BPF_PROG_TEST_RUN: one packet at a time, through the verifier's own program, without any device.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use aya::maps::{HashMap, Map, MapData};
use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use ipnet::Ipv4Net;
use stackube_datapath::abi::{self, LAYOUT, NetworkKey};
use stackube_datapath::{Limits, LinkSettings, Mode, Programs, Service, ServiceKey, Services};

use super::packet::{POD_MAC, Packet};
use super::pins::Pins;

/// The loopback device, which every namespace has: programs are not attached to it, packets are only said to come from it.
pub(crate) const DEVICE: u32 = 1;
pub(crate) const POD: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 5);
pub(crate) const ALIAS: Ipv4Addr = Ipv4Addr::new(169, 254, 128, 9);
pub(crate) const LINK: Ipv4Addr = Ipv4Addr::new(169, 254, 77, 1);
pub(crate) const HAIRPIN: Ipv4Addr = Ipv4Addr::new(169, 254, 77, 2);
pub(crate) const NODE_MAC: [u8; 6] = [2, 0, 0, 0, 1, 0];
pub(crate) const FAR_MAC: [u8; 6] = [2, 0, 0, 0, 1, 1];

/// What a program did with a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed(Packet),
    Dropped,
    Redirected(Packet),
}

impl Outcome {
    pub(crate) fn passed(self) -> Packet {
        let Self::Passed(packet) = self else { panic!("{self:?}") };
        packet
    }

    pub(crate) fn redirected(self) -> Packet {
        let Self::Redirected(packet) = self else {
            panic!("{self:?}")
        };
        packet
    }
}

/// One mode's programs with maps of their own. Tests of a mode take turns, since loading takes longer than running.
pub(crate) struct Kernel {
    pins: Pins,
    loaded: Ebpf,
    pub(crate) programs: Programs,
    mode: Mode,
}

pub(crate) const NETWORK: &str = "demo";

pub(crate) fn lock(mode: Mode) -> MutexGuard<'static, Kernel> {
    static XDP: OnceLock<Mutex<Kernel>> = OnceLock::new();
    static TCX: OnceLock<Mutex<Kernel>> = OnceLock::new();
    let cell = if mode == Mode::Xdp { &XDP } else { &TCX };
    cell.get_or_init(|| Mutex::new(Kernel::new(mode)))
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
}

/// Runs a test in both modes, each with one pod and nothing else in the maps.
pub(crate) fn in_both_modes(test: impl Fn(&mut Kernel)) {
    for mode in [Mode::Xdp, Mode::Tcx] {
        let mut kernel = lock(mode);
        kernel.reset(Limits::default());
        test(&mut kernel);
    }
}

impl Kernel {
    fn new(mode: Mode) -> Self {
        let pins = Pins::new();
        let programs = Programs::load_or_open(&pins.root(), mode).unwrap();
        let object = aya::include_bytes_aligned!("../../../object/stackube.o");
        let mut loaded = EbpfLoader::new()
            .btf(None)
            .default_map_pin_directory(pins.root().join(LAYOUT))
            .load(object)
            .unwrap();
        if mode == Mode::Xdp {
            let program: &mut Xdp = loaded.program_mut("from_pod_xdp").unwrap().try_into().unwrap();
            program.load().unwrap();
        }
        for name in ["from_pod_tcx", "to_pod", "from_host"] {
            if mode == Mode::Tcx || name != "from_pod_tcx" {
                let program: &mut SchedClassifier = loaded.program_mut(name).unwrap().try_into().unwrap();
                program.load().unwrap();
            }
        }
        Self {
            pins,
            loaded,
            programs,
            mode,
        }
    }

    pub(crate) fn root(&self) -> std::path::PathBuf {
        self.pins.root()
    }

    pub(crate) fn map<K: aya::Pod, V: aya::Pod>(root: &Path, name: &str) -> HashMap<MapData, K, V> {
        let map = Map::from_map_data(MapData::from_pin(root.join(LAYOUT).join(name)).unwrap()).unwrap();
        let map = if let Map::LruHashMap(data) = map {
            Map::HashMap(data)
        } else {
            map
        };
        map.try_into().unwrap()
    }

    pub(crate) fn reset(&mut self, limits: Limits) {
        let root = self.root();
        self.programs.detach(DEVICE).unwrap();
        self.programs.sweep().unwrap();
        let mut services = self.services();
        let networks: Vec<NetworkKey> = services
            .iter()
            .map(|(key, _)| key.network)
            .chain(services.networks().unwrap().into_keys())
            .collect();
        networks
            .into_iter()
            .for_each(|network| services.forget(network).unwrap());
        services.set_service_cidrs(&[net("10.96.0.0/16")]).unwrap();
        self.programs.set_infrastructure(&[]).unwrap();
        self.programs.set_permitted(&[]).unwrap();
        self.programs
            .set_link(&LinkSettings::on(DEVICE, NODE_MAC, FAR_MAC, limits))
            .unwrap();
        let mut host_flows: HashMap<_, abi::HostFlowKey, u64> = Self::map(&root, "host_flows");
        for key in host_flows.keys().map(Result::unwrap).collect::<Vec<_>>() {
            host_flows.remove(&key).unwrap();
        }
        let wire = |ip: Ipv4Addr| u32::from_ne_bytes(ip.octets());
        let pod = abi::Pod {
            network: NetworkKey::of(NETWORK),
            uid: [7; 16],
            ip: wire(POD),
            gateway: wire(Ipv4Addr::new(10, 244, 0, 1)),
            alias: wire(ALIAS),
            flags: 0,
            mac: POD_MAC,
            pad: [0; 2],
        };
        let usage = abi::Usage {
            added: 0,
            affinities: 0,
            buckets: [abi::Bucket { last: 0, tokens: 0 }; abi::BUCKETS],
        };
        Self::map(&root, "usage").insert(DEVICE, usage, 0).unwrap();
        Self::map(&root, "released")
            .insert(DEVICE, abi::Released::default(), 0)
            .unwrap();
        Self::map(&root, "aliases").insert(wire(ALIAS), DEVICE, 0).unwrap();
        Self::map(&root, "addresses").insert(wire(POD), DEVICE, 0).unwrap();
        Self::map(&root, "pods").insert(DEVICE, pod, 0).unwrap();
    }

    /// Entries of the flow table that the programs say the pod has.
    pub(crate) fn added(&self) -> u64 {
        let (usage, released) = self.counted();
        usage.added - released.flows
    }

    /// Backends that the programs say they remember for the pod.
    pub(crate) fn remembered(&self) -> u64 {
        let (usage, released) = self.counted();
        usage.affinities - released.affinities
    }

    /// Makes the programs believe that they remember so many.
    pub(crate) fn remembers(&self, affinities: u64) {
        let (usage, released) = self.counted();
        let affinities = affinities + released.affinities;
        let usage = abi::Usage { affinities, ..usage };
        Self::map(&self.root(), "usage").insert(DEVICE, usage, 0).unwrap();
    }

    /// Leaves nothing in the token buckets, as if the last packet came by in so long a time.
    pub(crate) fn empty_buckets_in(&self, time: Duration) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let last = u64::try_from(now.tv_sec * 1_000_000_000 + now.tv_nsec).unwrap();
        let last = last + u64::try_from(time.as_nanos()).unwrap();
        let (usage, _) = self.counted();
        let buckets = [abi::Bucket { last, tokens: 0 }; abi::BUCKETS];
        let usage = abi::Usage { buckets, ..usage };
        Self::map(&self.root(), "usage").insert(DEVICE, usage, 0).unwrap();
    }

    fn counted(&self) -> (abi::Usage, abi::Released) {
        let usage = Self::map(&self.root(), "usage").get(&DEVICE, 0).unwrap();
        (usage, Self::map(&self.root(), "released").get(&DEVICE, 0).unwrap())
    }

    /// Makes the pod be the node itself, or not.
    pub(crate) fn mark_node(&self, is_node: bool) {
        let mut pods: HashMap<_, u32, abi::Pod> = Self::map(&self.root(), "pods");
        let pod = pods.get(&DEVICE, 0).unwrap();
        let flags = if is_node { abi::POD_NODE } else { 0 };
        pods.insert(DEVICE, abi::Pod { flags, ..pod }, 0).unwrap();
    }

    pub(crate) fn flows(&self) -> Vec<(abi::FlowKey, abi::Flow)> {
        Self::map(&self.root(), "flows").iter().map(Result::unwrap).collect()
    }

    /// Sweeps as if every flow's last packet had come by so much longer ago. How many entries are removed.
    pub(crate) fn sweep_after(&self, seconds: u64) -> usize {
        let ended = self.programs.find_ended_after(Duration::from_secs(seconds)).unwrap();
        self.programs.remove_ended(&ended).unwrap().removed
    }

    /// Makes every flow as old as if its last packet had come by so long ago.
    ///
    /// # Panics
    /// When the machine does not run for so long yet.
    pub(crate) fn age_flows(&self, by: Duration) {
        let mut map: HashMap<_, abi::FlowKey, abi::Flow> = Self::map(&self.root(), "flows");
        for (key, mut flow) in self.flows() {
            flow.seen = earlier(flow.seen, by);
            map.insert(key, flow, 0).unwrap();
        }
    }

    /// Makes what kubelet sent as old as if it had been sent so long ago.
    ///
    /// # Panics
    /// When the machine does not run for so long yet.
    pub(crate) fn age_host_flows(&self, by: Duration) {
        let mut map: HashMap<_, abi::HostFlowKey, u64> = Self::map(&self.root(), "host_flows");
        for (key, seen) in map.iter().map(Result::unwrap).collect::<Vec<_>>() {
            map.insert(key, earlier(seen, by), 0).unwrap();
        }
    }

    /// Makes every client's bond with a backend as old as if its last connection had been so long ago.
    ///
    /// # Panics
    /// When the machine does not run for so long yet.
    pub(crate) fn age_affinity(&self, by: Duration) {
        let mut map: HashMap<_, abi::AffinityKey, abi::Affinity> = Self::map(&self.root(), "affinity");
        for (key, mut known) in map.iter().map(Result::unwrap).collect::<Vec<_>>() {
            known.seen = earlier(known.seen, by);
            map.insert(key, known, 0).unwrap();
        }
    }

    pub(crate) fn services(&self) -> Services {
        Services::open(&self.root()).unwrap()
    }

    /// Makes a service of the pod's network, for all three protocols' sake by text: `tcp 10.96.0.7:80`.
    pub(crate) fn serve(&self, key: &str, service: &Service) {
        self.services().upsert(service_key(NETWORK, key), service).unwrap();
    }

    pub(crate) fn synced(&self) {
        self.services().set_synced(NetworkKey::of(NETWORK), true).unwrap();
    }

    pub(crate) fn pod_sends(&mut self, packet: &Packet) -> Outcome {
        self.pod_sends_raw(&packet.bytes())
            .map_or(Outcome::Dropped, |(redirected, bytes)| outcome(redirected, &bytes))
    }

    /// Whether it was redirected, and the bytes; `None` when it was dropped.
    pub(crate) fn pod_sends_raw(&mut self, bytes: &[u8]) -> Option<(bool, Vec<u8>)> {
        if self.mode == Mode::Tcx {
            return self.tc("from_pod_tcx", bytes, 0);
        }
        let mut context = [0u8; 24];
        context[4..8].copy_from_slice(&u32::try_from(bytes.len()).unwrap().to_ne_bytes());
        context[12..16].copy_from_slice(&DEVICE.to_ne_bytes());
        let mut out = vec![0; 70_000];
        let program: &mut Xdp = self.loaded.program_mut("from_pod_xdp").unwrap().try_into().unwrap();
        let options = TestRunOptions {
            data_in: Some(bytes),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            ..TestRunOptions::new()
        };
        let result = program.test_run(options).unwrap();
        out.truncate(result.data_size_out as usize);
        match result.return_value {
            1 => None,
            2 => Some((false, out)),
            4 => Some((true, out)),
            other => panic!("XDP action {other}"),
        }
    }

    fn tc(&mut self, name: &str, bytes: &[u8], mark: u32) -> Option<(bool, Vec<u8>)> {
        let mut context = [0u8; 192];
        context[8..12].copy_from_slice(&mark.to_ne_bytes());
        context[40..44].copy_from_slice(&DEVICE.to_ne_bytes());
        let mut out = vec![0; 70_000];
        let program: &mut SchedClassifier = self.loaded.program_mut(name).unwrap().try_into().unwrap();
        let options = TestRunOptions {
            data_in: Some(bytes),
            data_out: Some(&mut out),
            ctx_in: Some(&context),
            ..TestRunOptions::new()
        };
        let result = program.test_run(options).unwrap();
        out.truncate(result.data_size_out as usize);
        match result.return_value {
            0 => Some((false, out)),
            2 => None,
            7 => Some((true, out)),
            other => panic!("tc action {other}"),
        }
    }

    pub(crate) fn pod_gets(&mut self, packet: &Packet) -> Outcome {
        self.tc("to_pod", &packet.bytes(), 0)
            .map_or(Outcome::Dropped, |(redirected, bytes)| outcome(redirected, &bytes))
    }

    pub(crate) fn pod_gets_raw(&mut self, bytes: &[u8]) -> Option<(bool, Vec<u8>)> {
        self.tc("to_pod", bytes, 0)
    }

    pub(crate) fn host_sends(&mut self, packet: &Packet, mark: u32) -> Outcome {
        self.host_sends_raw(&packet.bytes(), mark)
            .map_or(Outcome::Dropped, |(redirected, bytes)| outcome(redirected, &bytes))
    }

    /// Whether it was redirected, and the bytes; `None` when it was dropped.
    pub(crate) fn host_sends_raw(&mut self, bytes: &[u8], mark: u32) -> Option<(bool, Vec<u8>)> {
        self.tc("from_host", bytes, mark)
    }

    /// Instructions that the verifier looked at, for each program of the mode.
    pub(crate) fn complexity(&self) -> Vec<(String, u32)> {
        let loaded = self
            .loaded
            .programs()
            .filter_map(|(name, program)| Some((name.to_owned(), program.info().ok()?)));
        loaded
            .map(|(name, info)| (name, info.verified_instruction_count().unwrap()))
            .collect()
    }

    /// How often a reason was given, since the maps were made.
    pub(crate) fn count(&self, reason: &str) -> u64 {
        let counters = stackube_datapath::counters(&self.root()).unwrap();
        counters.iter().find(|(name, _)| *name == reason).unwrap().1
    }
}

/// A moment of the monotonic clock, which begins when the machine boots.
fn earlier(moment: u64, by: Duration) -> u64 {
    let earlier = moment.checked_sub(u64::try_from(by.as_nanos()).unwrap());
    earlier.unwrap_or_else(|| panic!("this machine has booted less than {by:?} ago: try again then"))
}

fn outcome(redirected: bool, bytes: &[u8]) -> Outcome {
    let packet = Packet::read(bytes);
    if redirected {
        Outcome::Redirected(packet)
    } else {
        Outcome::Passed(packet)
    }
}

pub(crate) fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

/// `tcp 10.96.0.7:80` in the network of a namespace.
pub(crate) fn service_key(network: &str, text: &str) -> ServiceKey {
    let (protocol, address) = text.split_once(' ').unwrap();
    let address: std::net::SocketAddrV4 = address.parse().unwrap();
    ServiceKey {
        network: NetworkKey::of(network),
        vip: *address.ip(),
        port: address.port(),
        protocol: match protocol {
            "tcp" => stackube_datapath::Protocol::Tcp,
            "udp" => stackube_datapath::Protocol::Udp,
            _ => stackube_datapath::Protocol::Sctp,
        },
    }
}

/// A service with these backends.
pub(crate) fn backends(addresses: &[&str]) -> Service {
    Service {
        backends: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        ..Service::default()
    }
}
