//! The verifier takes the programs, in both modes.

use stackube_datapath::{Identities, Mode, Programs, Services};

use crate::lab::pins::Pins;

#[test]
fn the_kernel_takes_the_programs_of_both_modes() {
    for mode in [Mode::Xdp, Mode::Tcx] {
        let pins = Pins::new();
        let error = Services::open(&pins.root()).unwrap_err();
        assert!(error.to_string().contains("wait until kubestackd"), "{error}");
        let _programs = Programs::load_or_open(&pins.root(), mode).unwrap();
        Services::open(&pins.root()).unwrap();
        Identities::open(&pins.root()).unwrap();
    }
}
