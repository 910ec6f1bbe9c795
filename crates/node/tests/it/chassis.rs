//! The chassis' hostname on the Node.

use stackube_api::names::CHASSIS_ANNOTATION;

use crate::lab::{Lab, NODE, ovs::HOSTNAME};

#[test]
fn the_chassis_hostname_is_published_and_follows_the_database() {
    let lab = Lab::new();
    assert_ne!(NODE, HOSTNAME);
    let published = |name: &str| lab.api.node_annotation(CHASSIS_ANNOTATION).as_deref() == Some(name);
    lab.eventually("the hostname is published", || published(HOSTNAME));
    lab.ovs
        .vsctl("--no-wait set open_vswitch . external_ids:hostname=renamed.example.org");
    lab.eventually("the new hostname is published", || published("renamed.example.org"));
}

#[test]
fn a_node_that_has_lost_the_hostname_gets_it_again() {
    let lab = Lab::new();
    let published = || lab.api.node_annotation(CHASSIS_ANNOTATION).as_deref() == Some(HOSTNAME);
    lab.eventually("the hostname is published", published);
    lab.api.remove_node_annotations();
    lab.eventually("the hostname is back", published);
    lab.api.delete_node();
    // Nothing is written about a Node that is not there, and the next one is not kept waiting for it.
    lab.api.register_node();
    lab.eventually("the new Node has it", published);
}
