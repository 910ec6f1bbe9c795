//! Input that nobody should send.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rstest::rstest;
use serde_json::Value;

use crate::lab::plugin::Call;
use crate::lab::{Lab, Pod};

const POD: &str = "K8S_POD_NAMESPACE=test;K8S_POD_NAME=web;K8S_POD_UID=u-1";
const GOOD: &str =
    r#"{"cniVersion":"1.1.0","name":"stackube","type":"kubestack","socket":"/nonexistent/kubestack.sock"}"#;

/// A call without a daemon; `changes` replace variables of a good environment, or remove them when empty.
fn call(changes: &[(&str, &str)], stdin: &[u8]) -> (bool, Value) {
    let good = [
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", "/proc/self/ns/net"),
        ("CNI_IFNAME", "eth0"),
        ("CNI_PATH", "/opt/cni/bin"),
        ("CNI_ARGS", POD),
    ];
    let changed = |name: &str| changes.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
    let environment: Vec<_> = good
        .iter()
        .map(|(n, v)| (*n, changed(n).unwrap_or(v)))
        .filter(|(_, v)| !v.is_empty())
        .collect();
    let answer = Call::start(&environment, stdin).answer();
    (answer.success, answer.output)
}

#[rstest]
#[case::no_json(&[], b"not json", 6, "expected")]
#[case::empty(&[], b"", 6, "EOF")]
#[case::wrong_type(&[], b"[1,2]", 6, "")]
#[case::no_type(&[], br#"{"cniVersion":"1.1.0","name":"stackube"}"#, 6, "type")]
#[case::binary(&[], b"\xff\xfe\x00", 5, "UTF-8")]
#[case::unknown_version(&[], br#"{"cniVersion":"9.9.9","name":"stackube","type":"kubestack"}"#, 1, "9.9.9")]
#[case::socket_is_no_path(&[], br#"{"cniVersion":"1.1.0","name":"stackube","type":"kubestack","socket":{}}"#, 7, "socket")]
#[case::no_daemon(&[], GOOD.as_bytes(), 11, "does not listen on /nonexistent/kubestack.sock")]
#[case::unknown_command(&[("CNI_COMMAND", "JUMP")], GOOD.as_bytes(), 4, "CNI_COMMAND")]
#[case::no_container(&[("CNI_CONTAINERID", "")], GOOD.as_bytes(), 4, "CNI_CONTAINERID")]
#[case::bad_container(&[("CNI_CONTAINERID", "../../etc")], GOOD.as_bytes(), 4, "containerID")]
#[case::no_netns(&[("CNI_NETNS", "")], GOOD.as_bytes(), 4, "CNI_NETNS")]
#[case::bad_interface(&[("CNI_IFNAME", "a/b")], GOOD.as_bytes(), 4, "interface name")]
#[case::no_pod(&[("CNI_ARGS", "")], GOOD.as_bytes(), 4, "K8S_POD_UID")]
#[case::no_uid(&[("CNI_ARGS", "K8S_POD_NAMESPACE=a;K8S_POD_NAME=b")], GOOD.as_bytes(), 4, "K8S_POD_UID")]
#[case::gc_without_path(&[("CNI_COMMAND", "GC"), ("CNI_PATH", "")], GOOD.as_bytes(), 4, "CNI_PATH")]
#[case::status_without_daemon(&[("CNI_COMMAND", "STATUS")], GOOD.as_bytes(), 50, "does not listen")]
fn bad_input_gets_its_error(
    #[case] changes: &[(&str, &str)],
    #[case] stdin: &[u8],
    #[case] code: u64,
    #[case] text: &str,
) {
    let (success, output) = call(changes, stdin);
    assert!(!success);
    assert_eq!(output["code"], code, "{output}");
    assert!(
        output["details"].as_str().unwrap().contains(text),
        "{output} does not say {text:?}"
    );
    assert_eq!(output["cniVersion"], "1.1.0");
}

#[test]
fn versions_are_reported() {
    let (success, output) = call(&[("CNI_COMMAND", "VERSION")], br#"{"cniVersion":"1.1.0"}"#);
    assert!(success);
    let versions: Vec<String> = serde_json::from_value(output["supportedVersions"].clone()).unwrap();
    assert!(
        versions.contains(&"1.1.0".to_owned()) && versions.contains(&"0.4.0".to_owned()),
        "{versions:?}"
    );
}

#[test]
fn whatever_comes_the_answer_is_an_error_result() {
    let piece = prop_oneof![
        Just(GOOD.to_owned()),
        ".{0,60}",
        r#"\{"cniVersion":"[0-9.]{0,6}","name":"[a-z]{0,5}","type":.{0,20}\}"#,
        r#"\{"cniVersion":"1.1.0","name":"n","type":"kubestack","(prevResult|ipam|dns|args|runtimeConfig|socket)":(1|null|"x"|\[\]|\{\})\}"#,
    ];
    let command = prop::sample::select(vec!["ADD", "DEL", "CHECK", "STATUS", "GC", "add", "\u{1F980}"]);
    let value = "[ -~&&[^\u{0}]]{1,40}";
    let cases = (piece, command, value, value, value, value);
    // Each case is a process.
    let mut runner = TestRunner::new(Config {
        cases: 150,
        failure_persistence: None,
        ..Config::default()
    });
    let outcome = runner.run(&cases, |(stdin, command, container, netns, ifname, args)| {
        let changes = [
            ("CNI_COMMAND", command),
            ("CNI_CONTAINERID", &container),
            ("CNI_NETNS", &netns),
            ("CNI_IFNAME", &ifname),
            ("CNI_ARGS", &args),
        ];
        let (success, output) = call(&changes, stdin.as_bytes());
        prop_assert!(!success, "there is no daemon, so nothing can succeed: {}", output);
        prop_assert!(output["code"].as_u64().is_some_and(|code| code > 0), "{}", output);
        prop_assert!(
            output["msg"].is_string() && output["cniVersion"] == "1.1.0",
            "{}",
            output
        );
        Ok(())
    });
    outcome.unwrap();
}

/// What the fuzzer's corpus holds (`fuzz/fuzz_targets/cni_stdin.rs`), each file as it is and cut short at some lengths: the first byte chooses
/// the command.
#[test]
fn corpus_of_the_fuzzer() {
    const COMMANDS: [&str; 6] = ["ADD", "DEL", "CHECK", "STATUS", "GC", "VERSION"];
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/cni_stdin");
    let mut files = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let input = fs::read(entry.unwrap().path()).unwrap();
        files += 1;
        let (first, stdin) = input.split_first().unwrap();
        let command = COMMANDS[usize::from(*first) % COMMANDS.len()];
        // Each is a process.
        for length in (0..stdin.len()).step_by(7).chain([stdin.len()]) {
            let (success, output) = call(&[("CNI_COMMAND", command)], &stdin[..length]);
            assert!(!success || command == "VERSION", "there is no daemon: {output}");
            if !success {
                assert!(output["code"].as_u64().is_some_and(|code| code > 0), "{output}");
                assert!(
                    output["msg"].is_string() && output["cniVersion"].is_string(),
                    "{output}"
                );
            }
        }
    }
    assert!(files >= 11, "only {files} files in the corpus");
}

#[test]
fn the_hosts_own_namespace_is_refused() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    lab.api.put(pod.port());
    let arguments = format!(
        "K8S_POD_NAMESPACE=test;K8S_POD_NAME={};K8S_POD_UID={}",
        pod.name, pod.uid
    );
    for (path, problem) in [
        ("/proc/self/ns/net", "host's own network namespace"),
        ("/proc/self/ns/uts", "Invalid argument"),
        ("/nonexistent", "No such file"),
        ("/etc/hostname", "Invalid argument"),
    ] {
        let environment = [
            ("CNI_COMMAND", "ADD"),
            ("CNI_CONTAINERID", "c1"),
            ("CNI_NETNS", path),
            ("CNI_IFNAME", "eth0"),
            ("CNI_ARGS", &arguments),
        ];
        let (code, text) = Call::start(&environment, lab.configuration().to_string().as_bytes())
            .answer()
            .error();
        assert!(code == 8 && text.contains(problem), "{code} {text}");
    }
    lab.assert_empty();
}

#[test]
fn a_second_interface_is_refused_and_the_first_stays() {
    let (lab, pod) = (Lab::new(), Pod::number(1));
    let netns = lab.pod_namespace("a");
    lab.api.put(pod.port());
    let result = lab.add("c1", &pod, &netns).ok();
    let arguments = format!(
        "K8S_POD_NAMESPACE=test;K8S_POD_NAME={};K8S_POD_UID={}",
        pod.name, pod.uid
    );
    let path = netns.path().display().to_string();
    let environment = [
        ("CNI_COMMAND", "ADD"),
        ("CNI_CONTAINERID", "c1"),
        ("CNI_NETNS", &path),
        ("CNI_IFNAME", "net1"),
        ("CNI_ARGS", &arguments),
    ];
    let (code, text) = Call::start(&environment, lab.configuration().to_string().as_bytes())
        .answer()
        .error();
    assert!(code == 102 && text.contains("eth0"), "{code} {text}");
    lab.check("c1", &pod, &netns, &result).ok();
}

/// The daemon's socket is for root only, but root's programs make mistakes too.
#[test]
fn garbage_on_the_socket_does_not_hurt_the_daemon() {
    use std::os::unix::fs::PermissionsExt;
    let lab = Lab::new();
    assert_eq!(fs::metadata(lab.socket()).unwrap().permissions().mode() & 0o777, 0o600);
    let huge = [u32::MAX.to_be_bytes().as_slice(), b"x"].concat();
    let add = br#"{"command":"ADD","attachment":{"containerId":"c","ifname":"eth0"},"pod":{"namespace":"n","name":"p","uid":"u"},"netns":"/x"}"#;
    let without_descriptors = [u32::try_from(add.len()).unwrap().to_be_bytes().as_slice(), add].concat();
    for message in [
        b"".as_slice(),
        b"\0",
        b"GET / HTTP/1.1\r\n\r\n",
        &huge,
        b"\0\0\0\x02{}",
        &without_descriptors,
    ] {
        let mut stream = UnixStream::connect(lab.socket()).unwrap();
        stream.write_all(message).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut reply = vec![];
        let _ = stream.read_to_end(&mut reply);
        if !message.is_empty() {
            assert!(
                String::from_utf8_lossy(&reply).contains(r#""code":6"#),
                "{:?}",
                String::from_utf8_lossy(&reply)
            );
        }
    }
    lab.status().ok();
}
