//! A node in a network namespace: Open vSwitch, the daemon, the API that it talks to, and pods' namespaces.

pub(crate) mod api;
pub(crate) mod bpf;
pub(crate) mod namespace;
pub(crate) mod ovs;
pub(crate) mod plugin;
pub(crate) mod process;

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stackube_datapath::{Identities, Identity};
use stackube_node::protocol::Attachment;
use stackube_node::sandbox::Step;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use self::api::Api;
pub(crate) use self::namespace::Namespace;
use self::ovs::OpenVSwitch;
use self::process::Process;

/// Name of the Node, different from the chassis' hostname on purpose.
pub(crate) const NODE: &str = "node-1";
/// Longest time for anything that should happen by itself, also on a machine that is busy or emulated.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// How long the daemon waits for a Port, for its device to be opened and for its flows, in seconds.
#[derive(Clone, Copy)]
pub(crate) struct Waits {
    pub(crate) port: u8,
    pub(crate) open: u8,
    pub(crate) install: u8,
}

impl Waits {
    /// Longer than any pause of a busy machine, so that no test sees a time-out that it does not mean to see.
    pub(crate) const PATIENT: Self = Self {
        port: 60,
        open: 30,
        install: 60,
    };
    /// For a test that waits until a Port is given up, and for nothing else.
    pub(crate) const SHORT_FOR_PORTS: Self = Self {
        port: 8,
        ..Self::PATIENT
    };
    /// For the tests of the time-outs themselves.
    pub(crate) const SHORT: Self = Self {
        port: 4,
        open: 3,
        install: 4,
    };
}

/// Everything of one test. It goes when the test ends, and with the test's process if that is killed.
pub(crate) struct Lab {
    pub(crate) node: Namespace,
    pub(crate) ovs: OpenVSwitch,
    pub(crate) api: Api,
    /// Whether the daemon waits for stackube-proxy, which only some tests stand in for.
    pub(crate) services: Cell<bool>,
    /// Services of the system network that the daemon shares with tenants.
    pub(crate) shared: Cell<&'static str>,
    /// What the operator names in `infrastructure` and `permitted`.
    pub(crate) infrastructure: Cell<&'static str>,
    pub(crate) permitted: Cell<&'static str>,
    daemon: RefCell<Option<Process>>,
    bpf: bpf::Mount,
    directory: TempDir,
    prefix: String,
    pub(crate) waits: Waits,
    /// Runs the API while it is not away.
    api_server: RefCell<Option<Runtime>>,
    /// Runs the stand-in until the lab goes.
    _runtime: Runtime,
}

impl Lab {
    /// A node with a running daemon.
    pub(crate) fn new() -> Self {
        let lab = Self::without_daemon();
        lab.start_daemon(None);
        lab
    }

    /// A node with a running daemon that gives up what does not come.
    pub(crate) fn waiting(waits: Waits) -> Self {
        let lab = Self {
            waits,
            ..Self::without_daemon()
        };
        lab.start_daemon(None);
        lab
    }

    /// A node whose daemon has not been started.
    pub(crate) fn without_daemon() -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "these tests need root: they make network namespaces"
        );
        namespace::sweep();
        bpf::sweep();
        let prefix = format!("skt{}-{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let directory = tempfile::Builder::new()
            .prefix(&format!("kubestack-{}-", std::process::id()))
            .tempdir()
            .unwrap();
        let node = Namespace::new(&format!("{prefix}-node"));
        let ovs = OpenVSwitch::start(&node, &directory.path().join("ovs"), &runtime);
        let api = Api::new(NODE);
        let api_server = RefCell::new(Some(api.serve(&node)));
        Self {
            node,
            ovs,
            api,
            services: Cell::new(false),
            shared: Cell::new(""),
            infrastructure: Cell::new(""),
            permitted: Cell::new(""),
            daemon: RefCell::new(None),
            bpf: bpf::Mount::new(&directory.path().join("bpf")),
            directory,
            prefix,
            waits: Waits::PATIENT,
            api_server,
            _runtime: runtime,
        }
    }

    /// Nobody listens at the API server's address any more, and what was connected to it is not.
    pub(crate) fn stop_api_server(&self) {
        self.api_server.take();
    }

    /// The API server is back, with the objects that it had.
    pub(crate) fn start_api_server(&self) {
        self.api_server.replace(Some(self.api.serve(&self.node)));
    }

    /// Starts the daemon and waits until it serves, or, when it is to die after `kill_after`, until it can.
    pub(crate) fn start_daemon(&self, kill_after: Option<Step>) {
        self.begin_daemon(kill_after);
        self.eventually("the daemon serves", || {
            self.path("net.d/10-kubestack.conflist").exists() && self.is_ready()
        });
    }

    /// Starts the daemon.
    pub(crate) fn begin_daemon(&self, kill_after: Option<Step>) {
        let kubeconfig = self.path("kubeconfig");
        std::fs::write(&kubeconfig, self.api.kubeconfig()).unwrap();
        let mut command = self.node.command(&std::env::current_exe().unwrap());
        command
            .args(["--exact", "daemon::process", "--ignored", "--nocapture"])
            .env("KUBECONFIG", kubeconfig)
            .env("NODE_NAME", NODE)
            .env("KUBESTACK_OVSDB", self.ovs.socket())
            .env("KUBESTACK_SOCKET", self.socket())
            .env("KUBESTACK_PLUGIN", env!("CARGO_BIN_EXE_kubestack"))
            .env("KUBESTACK_CNI_BIN_DIR", self.path("bin"))
            .env("KUBESTACK_CNI_CONF_DIR", self.path("net.d"))
            .env("KUBESTACK_PIN_ROOT", self.pin_root())
            .env("KUBESTACK_CGROUP_MOUNT", self.path("no-cgroups"))
            .env("KUBESTACK_WAIT_FOR_SERVICES", self.services.get().to_string())
            .env("KUBESTACK_SHARED_SERVICES", self.shared.get())
            .env("KUBESTACK_INFRASTRUCTURE", self.infrastructure.get())
            .env("KUBESTACK_PERMITTED", self.permitted.get())
            .env("KUBESTACK_SERVICES_TIMEOUT", "2")
            .env("KUBESTACK_PORT_TIMEOUT", self.waits.port.to_string())
            .env("KUBESTACK_OPEN_TIMEOUT", self.waits.open.to_string())
            .env("KUBESTACK_INSTALL_TIMEOUT", self.waits.install.to_string());
        if let Some(step) = kill_after {
            command.env(crate::daemon::KILL_AFTER, format!("{step:?}"));
        }
        self.daemon
            .replace(Some(Process::spawn("daemon", command, &self.path("daemon.log"))));
    }

    /// `kill -9` of the daemon.
    pub(crate) fn kill_daemon(&self) {
        self.daemon.take();
    }

    /// Tells the daemon to end (SIGTERM) and waits until it has.
    pub(crate) fn terminate_daemon(&self) {
        self.daemon.take().unwrap().terminate();
    }

    /// What the daemon has said.
    pub(crate) fn daemon_log(&self) -> String {
        std::fs::read_to_string(self.path("daemon.log")).unwrap_or_default()
    }

    /// /readyz of the daemon.
    pub(crate) fn is_ready(&self) -> bool {
        self.http("/readyz").starts_with("HTTP/1.0 200") || self.http("/readyz").starts_with("HTTP/1.1 200")
    }

    /// A GET at the daemon's HTTP address, head and body.
    pub(crate) fn http(&self, path: &str) -> String {
        self.node.enter(|| {
            use std::io::{Read, Write};
            let Ok(mut stream) = std::net::TcpStream::connect("127.0.0.1:9473") else {
                return String::new();
            };
            let mut text = String::new();
            let _ = write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n");
            let _ = stream.read_to_string(&mut text);
            text
        })
    }

    /// Whether the daemon is serving an ADD.
    pub(crate) fn is_busy(&self) -> bool {
        self.http("/metrics")
            .lines()
            .any(|line| line == "kubestack_adds_in_progress 1")
    }

    /// A path in the lab's own directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where eBPF maps and links are pinned.
    pub(crate) fn pin_root(&self) -> PathBuf {
        self.bpf.path().join("stackube")
    }

    /// The daemon's socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path("kubestack.sock")
    }

    /// A namespace for a pod.
    pub(crate) fn pod_namespace(&self, name: &str) -> Namespace {
        Namespace::new(&format!("{}-{name}", self.prefix))
    }

    /// Waits until something holds.
    pub(crate) fn eventually(&self, what: &str, holds: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds() {
            assert!(
                Instant::now() < deadline,
                "{what}: not within {PATIENCE:?}\n{}",
                self.daemon_log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Host ends of veth pairs on the node.
    pub(crate) fn devices(&self) -> Vec<String> {
        let links = self.node.json(&["-details", "link", "show"]);
        let names = links
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|link| link["ifname"].as_str());
        names
            .filter(|name| stackube_node::link::is_host_name(name))
            .map(str::to_owned)
            .collect()
    }

    /// Container IDs that are plugged in.
    pub(crate) fn plugged(&self) -> Vec<String> {
        let mut containers: Vec<String> = self
            .ovs
            .records()
            .into_iter()
            .filter_map(|record| record.owner.map(|owner| owner.attachment.container_id))
            .collect();
        containers.sort();
        containers
    }

    /// Takes the programs off everything.
    pub(crate) fn remove_programs(&self) {
        std::fs::remove_dir_all(self.pin_root()).unwrap();
    }

    /// Pinned links of pods, sorted.
    pub(crate) fn pins(&self) -> Vec<String> {
        let links = self.pin_root().join(stackube_datapath::abi::LAYOUT).join("links");
        let pins = std::fs::read_dir(links).unwrap();
        let names = pins.map(|pin| pin.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names
            .filter(|name| name.starts_with("from-") || name.starts_with("to-"))
            .collect();
        names.sort();
        names
    }

    /// The pods that the programs know.
    pub(crate) fn identities(&self) -> Vec<Identity> {
        Identities::open(&self.pin_root()).unwrap().list().unwrap()
    }

    /// Nothing of any pod is left on the node.
    pub(crate) fn assert_empty(&self) {
        assert_eq!(self.plugged(), Vec::<String>::new(), "rows are left");
        assert_eq!(self.devices(), Vec::<String>::new(), "devices are left");
        assert_eq!(self.pins(), Vec::<String>::new(), "programs are left");
        assert_eq!(self.identities(), [], "entries in the programs' maps are left");
    }
}

/// A pod with the sandbox that a test wants for it.
#[derive(Clone, Debug)]
pub(crate) struct Pod {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) ip: String,
    pub(crate) port_id: String,
}

impl Pod {
    /// Number `n`: every value of it differs from those of other numbers.
    pub(crate) fn number(n: u8) -> Self {
        Self {
            name: format!("pod-{n}"),
            uid: format!("00000000-0000-4000-8000-0000000000{n:02x}"),
            ip: format!("10.244.0.{}", n + 10),
            port_id: format!("f0000000-0000-4000-8000-0000000000{n:02x}"),
        }
    }

    /// MAC address of its Neutron port.
    pub(crate) fn mac(&self) -> String {
        let last: u8 = self.ip.rsplit('.').next().unwrap().parse().unwrap();
        format!("fa:16:3e:00:00:{last:02x}")
    }

    /// Its Port, ready.
    pub(crate) fn port(&self) -> Value {
        let mut port = self.port_waiting("");
        port["status"] = self.status();
        port
    }

    /// The status of a ready Port.
    pub(crate) fn status(&self) -> Value {
        json!({
            "portID": self.port_id, "ip": self.ip, "prefixLength": 16, "mac": self.mac(),
            "gateway": "10.244.0.1", "mtu": 1442, "ready": true,
        })
    }

    /// Its Port, not ready yet.
    pub(crate) fn port_waiting(&self, message: &str) -> Value {
        json!({
            "apiVersion": "stackube.kubernetes.io/v1", "kind": "Port",
            "metadata": {
                "name": self.uid, "namespace": "test", "uid": format!("object-{}", self.uid),
                "finalizers": ["stackube.kubernetes.io/controller", "stackube.kubernetes.io/node"],
            },
            "spec": {"podName": self.name, "podUID": self.uid, "nodeName": NODE,
                     "networkNamespace": "test", "networkName": "test"},
            "status": {"ready": false, "message": message},
        })
    }
}

/// The attachment of a container.
pub(crate) fn attachment(container: &str) -> Attachment {
    Attachment {
        container_id: container.into(),
        ifname: "eth0".into(),
    }
}

/// A command that has to succeed; its standard output.
pub(crate) fn run(command: &mut std::process::Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    out.into_owned()
}

/// Whether a file of that name is in `PATH`-like Debian places; for clear failures.
pub(crate) fn require(program: &str) -> PathBuf {
    let directories = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let found = directories
        .iter()
        .map(|d| Path::new(d).join(program))
        .find(|p| p.exists());
    found.unwrap_or_else(|| {
        panic!("these tests need {program}: apt-get install openvswitch-switch iproute2 iputils-ping")
    })
}
