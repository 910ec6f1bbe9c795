//! Lets aya read and write the types of the layout.
#![expect(unsafe_code, reason = "aya::Pod is an unsafe trait")]

use aya::Pod;

use super::{
    Affinity, AffinityKey, Backend, BackendKey, Flow, FlowKey, Fragment, FragmentKey, HostFlowKey, Network, NetworkKey,
    Service, ServiceKey, Settings, Usage,
};

macro_rules! plain {
    ($($name:ty),* $(,)?) => {
        // SAFETY: the type is repr(C), Copy, made of integers without padding, so that any bytes are a value of it and all of it is
        // initialised. The sizes are asserted by the module's tests.
        $(unsafe impl Pod for $name {})*
    };
}

plain!(
    Affinity,
    AffinityKey,
    Backend,
    BackendKey,
    Flow,
    FlowKey,
    Fragment,
    FragmentKey,
    HostFlowKey,
    Network,
    NetworkKey,
    Service,
    ServiceKey,
    Settings,
    Usage,
    super::Pod,
);
