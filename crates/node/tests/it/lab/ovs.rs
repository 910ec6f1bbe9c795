//! A private ovsdb-server and ovs-vswitchd, and the stand-in for ovn-controller.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stackube_node::ovsdb::{Operation, Ovsdb};
use stackube_node::sandbox::record::{IFACE_ID, OVN_INSTALLED, Record, records};
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;

use super::namespace::Namespace;
use super::process::Process;
use super::{PATIENCE, require, run};

/// Hostname that Open vSwitch has in its database.
pub(crate) const HOSTNAME: &str = "chassis-1.example.org";

/// Whether the tests use the userspace datapath. `TEST_DATAPATH=system` chooses the kernel's, on a machine that has it.
pub(crate) fn is_userspace() -> bool {
    std::env::var("TEST_DATAPATH").as_deref() != Ok("system")
}

/// Open vSwitch of one node.
pub(crate) struct OpenVSwitch {
    directory: PathBuf,
    node: String,
    server: RefCell<Option<Process>>,
    vswitchd: RefCell<Option<Process>>,
    client: Ovsdb,
    handle: tokio::runtime::Handle,
    stop: CancellationToken,
    installing: Arc<AtomicBool>,
}

impl OpenVSwitch {
    /// Starts it with a bridge br-int, of the userspace datapath unless the environment asks for the kernel's.
    pub(crate) fn start(node: &Namespace, directory: &Path, runtime: &Runtime) -> Self {
        std::fs::create_dir_all(directory).unwrap();
        let schema = "/usr/share/openvswitch/vswitch.ovsschema";
        run(Command::new(require("ovsdb-tool"))
            .arg("create")
            .arg(directory.join("conf.db"))
            .arg(schema));
        let _guard = runtime.enter();
        let stop = CancellationToken::new();
        let ovs = Self {
            client: Ovsdb::spawn(directory.join("db.sock"), stop.clone()),
            directory: directory.to_owned(),
            node: node.name().to_owned(),
            server: RefCell::new(None),
            vswitchd: RefCell::new(None),
            handle: runtime.handle().clone(),
            stop,
            installing: Arc::new(AtomicBool::new(true)),
        };
        ovs.start_server(node);
        ovs.vsctl("--no-wait init");
        ovs.vsctl(&format!(
            "--no-wait set open_vswitch . external_ids:hostname={HOSTNAME}"
        ));
        let datapath = if is_userspace() { "netdev" } else { "system" };
        ovs.vsctl(&format!(
            "--no-wait add-br br-int -- set bridge br-int datapath_type={datapath} fail-mode=standalone"
        ));
        ovs.start_vswitchd(node);
        ovs.vsctl("--timeout=20 set bridge br-int other_config:disable-in-band=true");
        runtime.spawn(stand_in_for_ovn_controller(
            ovs.client.clone(),
            Arc::clone(&ovs.installing),
            ovs.stop.clone(),
        ));
        ovs
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join("db.sock")
    }

    pub(crate) fn start_server(&self, node: &Namespace) {
        let mut command = node.command(&require("ovsdb-server"));
        self.environment(&mut command);
        command
            .arg(self.directory.join("conf.db"))
            .arg(format!("--remote=punix:{}", self.socket().display()))
            .arg(format!(
                "--unixctl={}",
                self.directory.join("ovsdb-server.ctl").display()
            ));
        self.server.replace(Some(Process::spawn(
            "ovsdb-server",
            command,
            &self.directory.join("ovsdb-server.log"),
        )));
        let deadline = Instant::now() + PATIENCE;
        while self.client.view().is_none() {
            assert!(
                Instant::now() < deadline,
                "ovsdb-server does not answer: {}",
                self.log("ovsdb-server")
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn stop_server(&self) {
        self.server.take();
        let _ = std::fs::remove_file(self.socket());
    }

    pub(crate) fn start_vswitchd(&self, node: &Namespace) {
        let mut command = node.command(&require("ovs-vswitchd"));
        self.environment(&mut command);
        command.arg(format!("unix:{}", self.socket().display())).arg(format!(
            "--unixctl={}",
            self.directory.join("ovs-vswitchd.ctl").display()
        ));
        self.vswitchd.replace(Some(Process::spawn(
            "ovs-vswitchd",
            command,
            &self.directory.join("ovs-vswitchd.log"),
        )));
    }

    pub(crate) fn stop_vswitchd(&self) {
        self.vswitchd.take();
    }

    /// Whether the stand-in says that flows are installed.
    pub(crate) fn install(&self, yes: bool) {
        self.installing.store(yes, Ordering::SeqCst);
    }

    /// ovs-vsctl at the private server.
    pub(crate) fn vsctl(&self, arguments: &str) -> String {
        let mut command = Command::new(require("ovs-vsctl"));
        command
            .arg(format!("--db=unix:{}", self.socket().display()))
            .args(arguments.split(' '));
        run(&mut command)
    }

    /// ovs-appctl at the private ovs-vswitchd.
    pub(crate) fn appctl(&self, command: &str) -> String {
        let mut appctl = Command::new(require("ovs-appctl"));
        run(appctl
            .arg("-t")
            .arg(self.directory.join("ovs-vswitchd.ctl"))
            .arg(command))
    }

    /// What is on the bridge now.
    pub(crate) fn records(&self) -> Vec<Record> {
        let view = self
            .handle
            .block_on(self.client.current())
            .unwrap_or_else(|e| panic!("{}: {e}", self.node));
        records(&view, "br-int")
    }

    fn environment(&self, command: &mut Command) {
        for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR"] {
            command.env(variable, &self.directory);
        }
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.directory.join(format!("{name}.log"))).unwrap_or_default()
    }
}

impl Drop for OpenVSwitch {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Not ovn-controller: it installs nothing. It only sets `ovn-installed` on interfaces that ovs-vswitchd has opened,
/// which is the sign that ovn-controller gives when it is done.
async fn stand_in_for_ovn_controller(ovsdb: Ovsdb, installing: Arc<AtomicBool>, stop: CancellationToken) {
    let mut views = ovsdb.subscribe();
    loop {
        let view = views.borrow_and_update().clone();
        for (uuid, interface) in view.iter().flat_map(|view| &view.interfaces) {
            let waits = interface.external_ids.contains_key(IFACE_ID)
                && !interface.external_ids.contains_key(OVN_INSTALLED)
                && interface.ofport.is_some_and(|port| port > 0);
            if waits && installing.load(Ordering::SeqCst) {
                let mark: Value = json!(["map", [[OVN_INSTALLED, "true"]]]);
                let operation = Operation::Mutate {
                    table: "Interface",
                    r#where: vec![json!(["_uuid", "==", uuid])],
                    mutations: vec![json!(["external_ids", "insert", mark])],
                };
                let _ = ovsdb.transact(&[operation]).await;
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            _ = views.changed() => {}
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
    }
}
