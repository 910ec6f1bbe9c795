//! What a container runtime may write to the CNI plugin's stdin, for every command. The first byte chooses it.

#![no_main]

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::stdio::{dup2_stdin, dup2_stdout};
use serde_json::Value;
use stackube_node::plugin;

const COMMANDS: [&str; 6] = ["ADD", "DEL", "CHECK", "STATUS", "GC", "VERSION"];
const ENVIRONMENT: [(&str, &str); 5] = [
    ("CNI_CONTAINERID", "c1"),
    ("CNI_NETNS", "/proc/self/ns/net"),
    ("CNI_IFNAME", "eth0"),
    ("CNI_PATH", "/opt/cni/bin"),
    ("CNI_ARGS", "K8S_POD_NAMESPACE=test;K8S_POD_NAME=web;K8S_POD_UID=u-1"),
];

fn set(name: &str, value: &str) {
    // SAFETY: libFuzzer calls the target from one thread, and no other thread reads the environment.
    unsafe { std::env::set_var(name, value) }
}

static READY: LazyLock<()> = LazyLock::new(|| ENVIRONMENT.iter().for_each(|(name, value)| set(name, value)));

fn memory(contents: &[u8]) -> File {
    let mut file = File::from(memfd_create("cni", MemfdFlags::CLOEXEC).expect("a memfd"));
    file.write_all(contents).expect("written");
    file.rewind().expect("rewound");
    file
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, stdin)) = bytes.split_first() else { return };
    LazyLock::force(&READY);
    let command = COMMANDS[usize::from(*first) % COMMANDS.len()];
    set("CNI_COMMAND", command);
    let mut output = memory(&[]);
    dup2_stdin(memory(stdin)).expect("stdin");
    dup2_stdout(&output).expect("stdout");
    let result = plugin::run();

    output.rewind().expect("rewound");
    let mut text = String::new();
    output.read_to_string(&mut text).expect("UTF-8");
    match result {
        // No daemon listens, so that only this one can succeed.
        Ok(()) => assert_eq!(command, "VERSION"),
        Err(error) => {
            let answer: Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e} in {text:?}"));
            assert_eq!(answer["code"], u32::from(&error), "{text}");
            assert!(answer["msg"].is_string() && answer["cniVersion"].is_string(), "{text}");
        }
    }
});
