//! The webhook over real TLS, with a Keystone that is faked only to be slow, broken or gone.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod answers;
mod certificates;
mod corpus;
mod kubeadm;
mod load;
mod outage;
mod support;
