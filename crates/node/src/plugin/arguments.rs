//! What a call's environment and configuration say.

use std::path::PathBuf;

use rscni_plugin::error::Error;
use rscni_plugin::types::{Args, NetConf};
use serde_json::Value;

use crate::protocol::{Attachment, PodRef, SOCKET};

/// Container and interface of the call.
pub(super) fn attachment(args: &Args) -> Result<Attachment, Error> {
    // The library has checked both for every command that comes here.
    let missing = |name: &str| Error::missing_env(&[name]);
    Ok(Attachment {
        container_id: args
            .container_id()
            .ok_or_else(|| missing("CNI_CONTAINERID"))?
            .to_string(),
        ifname: args.ifname().ok_or_else(|| missing("CNI_IFNAME"))?.to_string(),
    })
}

/// The pod that kubelet's runtime names in `CNI_ARGS`.
pub(super) fn pod(args: &Args) -> Result<PodRef, Error> {
    parse_pod(args.args().unwrap_or_default())
}

/// The daemon's socket.
pub(super) fn socket(config: &NetConf) -> Result<PathBuf, Error> {
    match config.custom.get("socket") {
        None => Ok(PathBuf::from(SOCKET)),
        Some(Value::String(path)) => Ok(PathBuf::from(path)),
        Some(other) => Err(Error::InvalidNetworkConfig(format!(
            "socket is {other}: it must be a path"
        ))),
    }
}

/// Reads `KEY=VALUE;KEY=VALUE`; other keys than the pod's are somebody else's.
fn parse_pod(args: &str) -> Result<PodRef, Error> {
    let value = |key: &str| {
        let found = args
            .split(';')
            .filter_map(|pair| pair.split_once('='))
            .find(|(k, _)| *k == key);
        found.map(|(_, v)| v.to_owned()).filter(|v| !v.is_empty()).ok_or(())
    };
    let (namespace, name, uid) = (value("K8S_POD_NAMESPACE"), value("K8S_POD_NAME"), value("K8S_POD_UID"));
    let (Ok(namespace), Ok(name), Ok(uid)) = (namespace, name, uid) else {
        return Err(Error::InvalidEnvValue(
            "CNI_ARGS must name the pod by K8S_POD_NAMESPACE, K8S_POD_NAME and K8S_POD_UID, as Kubernetes runtimes do"
                .into(),
        ));
    };
    Ok(PodRef { namespace, name, uid })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn the_pod_is_read_from_containerds_arguments() {
        let args =
            "IgnoreUnknown=1;K8S_POD_NAMESPACE=test;K8S_POD_NAME=web;K8S_POD_INFRA_CONTAINER_ID=c;K8S_POD_UID=u-1";
        let pod = parse_pod(args).unwrap();
        assert_eq!(
            (pod.namespace.as_str(), pod.name.as_str(), pod.uid.as_str()),
            ("test", "web", "u-1")
        );
    }

    #[rstest]
    #[case("")]
    #[case("K8S_POD_NAMESPACE=test;K8S_POD_NAME=web")]
    #[case("K8S_POD_NAMESPACE=test;K8S_POD_NAME=web;K8S_POD_UID=")]
    #[case(";;=;K8S_POD_UID")]
    fn without_a_pod_the_variable_is_named(#[case] args: &str) {
        let error = parse_pod(args).unwrap_err();
        assert_eq!(u32::from(&error), 4);
        assert!(error.to_string().contains("CNI_ARGS"));
    }

    #[test]
    fn the_socket_is_configurable_and_checked() {
        let config = |text: &str| serde_json::from_str::<NetConf>(text).unwrap();
        assert_eq!(
            socket(&config(r#"{"type":"kubestack"}"#)).unwrap(),
            PathBuf::from(SOCKET)
        );
        assert_eq!(
            socket(&config(r#"{"type":"kubestack","socket":"/s"}"#)).unwrap(),
            PathBuf::from("/s")
        );
        assert_eq!(
            u32::from(&socket(&config(r#"{"type":"kubestack","socket":7}"#)).unwrap_err()),
            7
        );
    }
}
