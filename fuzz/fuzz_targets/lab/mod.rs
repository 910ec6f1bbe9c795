//! What the datapath's tests share, as far as it is needed here. (A path on `mod lab` itself would look for these beside lab.rs.)

#[path = "../../../crates/datapath/tests/it/lab/frames.rs"]
pub(crate) mod frames;
#[path = "../../../crates/datapath/tests/it/lab/kernel.rs"]
pub(crate) mod kernel;
#[path = "../../../crates/datapath/tests/it/lab/packet.rs"]
pub(crate) mod packet;
#[path = "../../../crates/datapath/tests/it/lab/pins.rs"]
pub(crate) mod pins;
