//! The verifier takes the programs, in both modes.

use stackube_datapath::{Identities, Mode, Programs, Services};

use crate::lab::kernel::lock;
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

#[test]
fn the_verifier_is_far_from_its_limit() {
    for mode in [Mode::Xdp, Mode::Tcx] {
        let complexity = lock(mode).complexity();
        eprintln!("{mode:?}: instructions verified: {complexity:?}");
        assert_eq!(complexity.len(), 3);
        // The kernel gives up at a million; versions differ in how much they look at twice.
        let limit = 100_000;
        assert!(complexity.iter().all(|(_, count)| *count < limit), "{complexity:?}");
    }
}
