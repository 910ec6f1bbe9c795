//! What the fuzzer's corpus holds (`fuzz/fuzz_targets/packet.rs`), without the fuzzer.

use std::fs;
use std::path::Path;

use crate::lab::frames::check;

/// Each file as it is, and without its last byte. Maps are made new for each, which takes too long to change every byte: that is the fuzzer's.
#[test]
fn corpus_of_the_fuzzer() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/packet");
    let (mut files, mut passed) = (0, 0);
    for entry in fs::read_dir(directory).unwrap() {
        let list = fs::read(entry.unwrap().path()).unwrap();
        files += 1;
        passed += check(&list);
        if let Some((_, shorter)) = list.split_last() {
            check(shorter);
        }
    }
    assert!(files >= 18, "only {files} files in the corpus");
    assert!(
        passed >= 10,
        "only {passed} frames went on: the corpus is not for this pod"
    );
}
