//! What a chassis may do in OVN's southbound database, with its own certificate.

use stackube_e2e::nodes::{self, NODES};

use crate::shared;

/// `ovn-sbctl` as the second node's chassis, or as somebody without a certificate.
const AS_CHASSIS: &str = "cd /etc/ovn/pki && own=$(ls *.crt | grep -v authority) && \
    ovn-sbctl --timeout=30 --db=ssl:10.77.0.11:6642 -p ${own%.crt}.key -c $own -C central-authority.crt";
const AS_NOBODY: &str = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj /CN=nobody \
    -keyout /tmp/nobody.key -out /tmp/nobody.crt 2>/dev/null; \
    ovn-sbctl --timeout=30 --db=ssl:10.77.0.11:6642 -p /tmp/nobody.key -c /tmp/nobody.crt \
    -C /etc/ovn/pki/central-authority.crt";

#[tokio::test]
async fn a_chassis_changes_only_what_is_its_own() {
    let _guard = shared().await;
    let devbox = nodes::both().await;
    let far = NODES[1];
    let chassis = "--bare --columns=name find Chassis hostname=";
    let name = async |host: &str| {
        let found = far
            .shell(&devbox, &format!("{AS_CHASSIS} {chassis}{host}.stackube.internal"))
            .await;
        found.unwrap().trim().to_owned()
    };
    let (own, other) = (name(NODES[1].host).await, name(NODES[0].host).await);
    assert!(!own.is_empty() && !other.is_empty() && own != other);
    let encap = far
        .shell(
            &devbox,
            &format!("{AS_CHASSIS} --bare --columns=_uuid find Encap chassis_name={other}"),
        )
        .await;
    let encap = encap.unwrap().trim().to_owned();
    let works = format!("{AS_CHASSIS} set Chassis {own} other_config:test=1 -- remove Chassis {own} other_config test");
    far.shell(&devbox, &works).await.unwrap();
    for command in [
        format!("set Chassis {other} other_config:test=1"),
        format!("destroy Chassis {other}"),
        format!("set Encap {encap} ip=10.78.0.99"),
        "--all destroy Logical_Flow".to_owned(),
        "--all destroy Datapath_Binding".to_owned(),
        "--all destroy Port_Binding".to_owned(),
        "set SB_Global . options:test=1".to_owned(),
        "set-connection ptcp:6643".to_owned(),
    ] {
        let answer = far.shell(&devbox, &format!("{AS_CHASSIS} {command}")).await;
        let error = format!("{:#}", answer.expect_err(&command));
        assert!(error.contains("permission error"), "{command}: {error}");
    }
    // What Neutron writes is for its own host: the northbound database has no address.
    for protocol in ["ssl", "tcp"] {
        let northbound = AS_CHASSIS.replace("ovn-sbctl", "ovn-nbctl");
        let northbound = northbound.replace("ssl:10.77.0.11:6642", &format!("{protocol}:10.77.0.11:6641"));
        let answer = far.shell(&devbox, &format!("{northbound} show")).await;
        let error = format!(
            "{:#}",
            answer.expect_err("the northbound database is none of a worker's")
        );
        assert!(
            error.contains("Connection refused") || error.contains("connection failed"),
            "{error}"
        );
    }
    let answer = far.shell(&devbox, &format!("{AS_NOBODY} show")).await;
    let error = format!("{:#}", answer.expect_err("somebody without our certificate"));
    assert!(!error.contains("permission error"), "{error}");
    // The same from the host itself, which has the socket: so the database answers.
    let seen = NODES[0]
        .shell(&devbox, "ovn-sbctl --timeout=30 --bare --columns=name list Chassis")
        .await;
    assert!(seen.unwrap().contains(&other));
}
