//! The programs in the kernel: by BPF_PROG_TEST_RUN, against a model, and in network namespaces.
//!
//! Needs root and Linux 6.6 with BTF; iproute2 and ethtool. Without them it fails.

#[cfg(test)]
mod affinity;
#[cfg(test)]
mod corpus;
#[cfg(test)]
mod enforcement;
#[cfg(test)]
mod fragments;
#[cfg(test)]
mod lab;
#[cfg(test)]
mod load;
#[cfg(test)]
mod model;
#[cfg(test)]
mod observe;
#[cfg(test)]
mod sctp;
#[cfg(test)]
mod services;
#[cfg(test)]
mod shared;
#[cfg(test)]
mod tags;
#[cfg(test)]
mod traffic;
