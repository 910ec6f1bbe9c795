//! What the fuzzer's corpus holds (`fuzz/fuzz_targets/clouds_yaml.rs`), without the fuzzer.

use std::fs;
use std::path::Path;

use stackube_openstack::{CloudConfig, ConfigError, Environment};

/// Every secret of the corpus.
const SECRET: &str = "hunter2-hunter2";

/// Reads the file in this directory as `stackube` does. It is no cloud, or an error that says something, and no password.
fn check(directory: &Path, text: &[u8]) {
    let path = directory.join("clouds.yaml");
    fs::write(&path, text).unwrap();
    let named = CloudConfig::from_clouds_yaml(&path, "mine");
    let only = Environment::new(|_| None, vec![directory.to_owned()]).cloud(None);
    for result in [named, only] {
        match result {
            Ok(config) => {
                let shown = format!("{config:?} {:?}", config.validate());
                assert!(!shown.is_empty());
            }
            // Names of clouds may be shown, and what a single setting must not be; but nothing of a file that is no clouds.yaml.
            Err(ConfigError::CloudsYaml { reason, .. }) if !reason.starts_with("has ") => {
                assert!(!reason.contains(SECRET), "{reason}");
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

/// Each file is also cut short at every length and has every byte changed.
#[test]
fn corpus_of_the_fuzzer() {
    let directory = tempfile::tempdir().unwrap();
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/clouds_yaml");
    let mut files = 0;
    for entry in fs::read_dir(corpus).unwrap() {
        let text = fs::read(entry.unwrap().path()).unwrap();
        files += 1;
        for length in 0..=text.len() {
            check(directory.path(), &text[..length]);
        }
        for at in 0..text.len() {
            for flip in [0x01, 0x80, 0xff] {
                let mut damaged = text.clone();
                damaged[at] ^= flip;
                check(directory.path(), &damaged);
            }
        }
    }
    assert!(files >= 7, "only {files} files in the corpus");
}
