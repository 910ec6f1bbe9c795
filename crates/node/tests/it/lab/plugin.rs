//! Calls of the plugin, as a container runtime makes them.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::namespace::Namespace;
use super::{Lab, Pod};

/// What a call answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) success: bool,
    /// What was on stdout, as JSON; null if nothing was.
    pub(crate) output: Value,
}

impl Answer {
    /// The result; fails the test if there is none.
    #[track_caller]
    pub(crate) fn ok(self) -> Value {
        assert!(self.success, "the call failed: {}", self.output);
        self.output
    }

    /// Error code and text; fails the test if there is none.
    #[track_caller]
    pub(crate) fn error(self) -> (u64, String) {
        assert!(!self.success, "the call succeeded: {}", self.output);
        let text = format!(
            "{}: {}",
            self.output["msg"].as_str().unwrap(),
            self.output["details"].as_str().unwrap()
        );
        (self.output["code"].as_u64().unwrap(), text)
    }
}

/// A call that is under way.
pub(crate) struct Call {
    child: Child,
}

impl Call {
    pub(crate) fn start(environment: &[(&str, &str)], stdin: &[u8]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_kubestack"))
            .env_clear()
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A plugin that refuses its environment does not read its configuration.
        let _ = child.stdin.take().unwrap().write_all(stdin);
        Self { child }
    }

    pub(crate) fn answer(self) -> Answer {
        let output = self.child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let output_json = if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("not JSON ({e}): {text:?}"))
        };
        Answer {
            success: output.status.success(),
            output: output_json,
        }
    }

    /// `kill -9` of the plugin.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Lab {
    /// The network configuration on stdin.
    pub(crate) fn configuration(&self) -> Value {
        json!({"cniVersion": "1.1.0", "name": "stackube", "type": "kubestack", "socket": self.socket()})
    }

    fn call(
        &self,
        command: &str,
        container: &str,
        pod: Option<&Pod>,
        netns: Option<&Namespace>,
        config: &Value,
    ) -> Call {
        let arguments = pod.map(|pod| {
            format!(
                "IgnoreUnknown=1;K8S_POD_NAMESPACE=test;K8S_POD_NAME={};K8S_POD_INFRA_CONTAINER_ID={container};K8S_POD_UID={}",
                pod.name, pod.uid
            )
        });
        let path = netns.map(|netns| netns.path().display().to_string());
        let mut environment = vec![
            ("CNI_COMMAND", command),
            ("CNI_CONTAINERID", container),
            ("CNI_IFNAME", "eth0"),
            ("CNI_PATH", "/opt/cni/bin"),
        ];
        environment.extend(arguments.as_deref().map(|a| ("CNI_ARGS", a)));
        environment.extend(path.as_deref().map(|p| ("CNI_NETNS", p)));
        Call::start(&environment, config.to_string().as_bytes())
    }

    pub(crate) fn start_add(&self, container: &str, pod: &Pod, netns: &Namespace) -> Call {
        self.call("ADD", container, Some(pod), Some(netns), &self.configuration())
    }

    /// An ADD that has plugged the pod in and waits for flows, which are not installed until `ovs.install(true)`.
    pub(crate) fn start_held_add(&self, container: &str, pod: &Pod, netns: &Namespace) -> Call {
        self.ovs.install(false);
        let call = self.start_add(container, pod, netns);
        self.eventually("the row is there", || self.plugged() == [container]);
        call
    }

    pub(crate) fn add(&self, container: &str, pod: &Pod, netns: &Namespace) -> Answer {
        self.start_add(container, pod, netns).answer()
    }

    pub(crate) fn del(&self, container: &str, pod: Option<&Pod>, netns: Option<&Namespace>) -> Answer {
        self.call("DEL", container, pod, netns, &self.configuration()).answer()
    }

    pub(crate) fn check(&self, container: &str, pod: &Pod, netns: &Namespace, previous: &Value) -> Answer {
        let mut config = self.configuration();
        config["prevResult"] = previous.clone();
        self.call("CHECK", container, Some(pod), Some(netns), &config).answer()
    }

    pub(crate) fn status(&self) -> Answer {
        self.call("STATUS", "", None, None, &self.configuration()).answer()
    }

    pub(crate) fn gc(&self, valid: &[&str]) -> Answer {
        let mut config = self.configuration();
        let valid: Vec<Value> = valid
            .iter()
            .map(|c| json!({"containerID": c, "ifname": "eth0"}))
            .collect();
        config["cni.dev/valid-attachments"] = json!(valid);
        self.call("GC", "", None, None, &config).answer()
    }
}
