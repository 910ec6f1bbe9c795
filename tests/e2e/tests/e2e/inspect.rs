//! What the commands of stackube-proxy tell the person who asks why a pod does not reach something.

use std::pin::pin;

use stackube_e2e::devbox::Devbox;

use crate::services::outcome;

/// Runs a command of stackube-proxy about a pod on its node; what it printed.
async fn ask(devbox: &Devbox, command: &str, pod: &str, more: &[&str]) -> String {
    let proxy = [
        "-n",
        "stackube-system",
        "exec",
        "daemonset/stackube-proxy",
        "--",
        "/stackube-proxy",
        command,
        "--pod",
        pod,
    ];
    devbox.kubectl(&[&proxy, more].concat(), "").await.unwrap()
}

/// The commands know the pod, its Service `web` and the Service's address, and see the packets of a request.
pub(crate) async fn assert_explains(devbox: &Devbox, namespace: &str, pod: &str, (service, address): (&str, &str)) {
    let name = format!("{namespace}/{pod}");
    let shown = ask(devbox, "show", &name, &[]).await;
    assert!(shown.contains("all Services are programmed"), "{shown}");
    let entry = shown
        .lines()
        .find(|line| line.starts_with(&format!("{address}:80/TCP")));
    assert!(entry.is_some_and(|entry| entry.contains(service)), "{shown}");
    for (to, expected) in [
        (format!("{address}:80"), "goes to one of"),
        ("10.96.0.10:53/UDP".into(), "over the host link"),
        (format!("{address}:81"), "no Service of the pod's network"),
        ("169.254.77.1:22".into(), "belongs to the nodes or the infrastructure"),
    ] {
        let said = ask(devbox, "explain", &name, &[&to]).await;
        assert!(said.contains(expected), "{said}");
    }
    let mut trace = pin!(ask(devbox, "trace", &name, &["--seconds", "5"]));
    let closed = format!("{address}:81");
    let requests = async || {
        for (to, expected) in [(address, "of-web"), (&closed, "refused")] {
            assert_eq!(outcome(devbox, namespace, pod, to).await.unwrap(), expected);
        }
    };
    let traced = loop {
        tokio::select! {
            traced = &mut trace => break traced,
            () = requests() => {}
        }
    };
    for part in [
        format!("-> {address}:80 ("),
        ": translated\n".into(),
        ": translated_back\n".into(),
        format!("-> {closed}: refused_no_service\n"),
    ] {
        assert!(traced.contains(&part), "{part:?} is not in {traced}");
    }
}
