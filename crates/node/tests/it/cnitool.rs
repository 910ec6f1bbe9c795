//! The reference client of CNI, cnitool.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Mutex;

use serde_json::Value;

use crate::lab::namespace::Namespace;
use crate::lab::{Lab, Pod, run};

static BUILD: Mutex<()> = Mutex::new(());

/// cnitool, built from its Go module once.
fn cnitool() -> PathBuf {
    let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("tools");
    let program = directory.join("cnitool");
    let _one_at_a_time = BUILD.lock();
    if !program.exists() {
        std::fs::create_dir_all(&directory).unwrap();
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../devbox/build/tools/build.sh");
        run(Command::new(script).arg(&directory));
    }
    program
}

impl Lab {
    fn cnitool(&self, command: &str, pod: &Pod, netns: &Namespace) -> Output {
        let arguments = format!(
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=test;K8S_POD_NAME={};K8S_POD_UID={}",
            pod.name, pod.uid
        );
        let mut tool = Command::new(cnitool());
        tool.arg(command)
            .arg("stackube")
            .arg(netns.path())
            .env("NETCONFPATH", self.path("net.d"))
            .env("CNI_PATH", self.path("bin"))
            .env("CNI_ARGS", arguments);
        tool.output().unwrap()
    }
}

#[track_caller]
fn ok(output: Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text
}

/// The files are those that the daemon has installed: the plugin and the network's configuration.
#[test]
fn every_command_works_through_the_reference_library() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    ok(lab.cnitool("status", &pod, &netns));
    let result: Value = serde_json::from_str(&ok(lab.cnitool("add", &pod, &netns))).unwrap();
    assert_eq!(result["ips"][0]["address"], "10.244.0.11/16");
    ok(lab.cnitool("check", &pod, &netns));
    netns.ip("link set eth0 down");
    let output = lab.cnitool("check", &pod, &netns);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("eth0 is down"));
    netns.ip("link set eth0 up");
    ok(lab.cnitool("del", &pod, &netns));
    lab.assert_empty();
    ok(lab.cnitool("add", &pod, &netns));
    ok(lab.cnitool("gc", &pod, &netns));
    lab.assert_empty();
}
