//! How many connections Open vSwitch tracks for the node's own port, which shares no zone with pods.

use super::*;

/// The logical ports of the node, and of a pod.
const PORT: &str = "f0000000-0000-4000-8000-0000000000aa";
const POD: &str = "f0000000-0000-4000-8000-000000000001";
/// What the zone of any other port may have.
const DEFAULT: &str = "default limit=12288";

/// Gives the zones of the bridge's datapath a limit, as the role `openvswitch` does; false if this Open vSwitch knows none.
fn limit_all(lab: &Lab) -> bool {
    let schema = std::fs::read_to_string("/usr/share/openvswitch/vswitch.ovsschema").unwrap();
    if !schema.contains("ct_zone_default_limit") {
        return false;
    }
    let kind = if is_userspace() { "netdev" } else { "system" };
    // The row is ovn-controller's to make.
    lab.ovs.vsctl(&format!(
        "-- --id=@d create Datapath datapath_version=0 -- set Open_vSwitch . datapaths:{kind}=@d"
    ));
    lab.ovs.vsctl(&format!("set-zone-limit {kind} default 12288"));
    true
}

/// As ovn-controller does when it gives a logical port a zone.
fn set_zone(lab: &Lab, port: &str, zone: u16) {
    lab.ovs
        .vsctl(&format!("set bridge br-int external_ids:ct-zone-{port}={zone}"));
}

/// What ovs-vswitchd keeps to.
fn limits(lab: &Lab) -> Vec<String> {
    let said = lab.ovs.appctl("dpctl/ct-get-limits");
    said.lines().map(str::to_owned).collect()
}

fn wait_until_limits(lab: &Lab, zones: &[String]) {
    let wanted: Vec<String> = [DEFAULT.to_owned()].into_iter().chain(zones.iter().cloned()).collect();
    lab.eventually(&format!("the limits are {wanted:?}"), || limits(lab) == wanted);
}

fn large(zone: u16) -> String {
    format!("zone={zone},limit=262144,count=0")
}

#[test]
fn its_zone_has_a_limit_of_its_own_that_no_pod_inherits() {
    let lab = plugged();
    if !limit_all(&lab) {
        // No harm either: the node is plugged in.
        eprintln!("this Open vSwitch knows no limits of zones: version 3.3 does");
        return;
    }
    wait_until_limits(&lab, &[]);
    set_zone(&lab, POD, 6);
    set_zone(&lab, PORT, 5);
    wait_until_limits(&lab, &[large(5)]);
    // Another number, and the old one is a pod's.
    set_zone(&lab, POD, 5);
    set_zone(&lab, PORT, 6);
    wait_until_limits(&lab, &[large(6)]);
    // ovn-controller takes what it does not know off a zone that it gives out.
    let kind = if is_userspace() { "netdev" } else { "system" };
    lab.ovs.vsctl(&format!("del-zone-limit {kind} 6"));
    wait_until_limits(&lab, &[large(6)]);
    // Nor does it outlive the port.
    lab.api.delete(UID);
    lab.eventually("the node is unplugged", || lab.plugged().is_empty());
    lab.ovs
        .vsctl(&format!("remove bridge br-int external_ids ct-zone-{PORT}"));
    wait_until_limits(&lab, &[]);
}

#[test]
fn a_limit_that_somebody_else_has_set_stays() {
    let lab = plugged();
    if !limit_all(&lab) {
        eprintln!("this Open vSwitch knows no limits of zones: version 3.3 does");
        return;
    }
    let kind = if is_userspace() { "netdev" } else { "system" };
    let theirs = "zone=5,limit=99,count=0".to_owned();
    lab.ovs.vsctl(&format!("set-zone-limit {kind} 5 99"));
    set_zone(&lab, PORT, 5);
    wait_until_limits(&lab, std::slice::from_ref(&theirs));
    // By the time that the next zone has its limit, the daemon has looked at this one.
    set_zone(&lab, PORT, 6);
    wait_until_limits(&lab, &[theirs.clone(), large(6)]);
    set_zone(&lab, PORT, 5);
    wait_until_limits(&lab, &[theirs]);
}
