//! Lets aya read and write the types of the layout.
#![expect(unsafe_code, reason = "aya::Pod is an unsafe trait")]

use aya::Pod;

use super::{
    Affinity, AffinityKey, Backend, BackendKey, Flow, FlowKey, Fragment, FragmentKey, HostFlowKey, Network, NetworkKey,
    Released, Service, ServiceKey, Settings, Usage,
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
    Released,
    Service,
    ServiceKey,
    Settings,
    Usage,
    super::Pod,
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_type_has_padding() {
        let sizes = [
            (size_of::<super::super::Pod>(), 16 + 16 + 4 * 4 + 6 + 2),
            (size_of::<Settings>(), 5 * 4 + 6 + 6 + 4 + 4 * 8),
            (size_of::<Usage>(), 2 * 8 + 4 * 16),
            (size_of::<Released>(), 2 * 8),
            (size_of::<Network>(), 8),
            (size_of::<ServiceKey>(), 16 + 4 + 2 + 1 + 1),
            (size_of::<Service>(), 5 * 4),
            (size_of::<BackendKey>(), 8),
            (size_of::<Backend>(), 4 + 2 + 2),
            (size_of::<FlowKey>(), 4 + 4 + 2 + 2 + 1 + 1 + 2),
            (size_of::<Flow>(), 8 + 4 + 2 + 2 + 3 * 4 + 1 + 1 + 2),
            (size_of::<HostFlowKey>(), 4 + 2 + 2 + 1 + 3),
            (size_of::<AffinityKey>(), 8),
            (size_of::<Affinity>(), 8 + 8 + 4 + 4),
            (size_of::<FragmentKey>(), 3 * 4 + 2 + 1 + 1),
            (size_of::<Fragment>(), 4 + 4 + 1 + 3),
        ];
        assert!(sizes.iter().all(|(whole, parts)| whole == parts), "{sizes:?}");
    }
}
