//! A clouds.yaml that somebody was given, or that went wrong: an answer to everything, and no password in it.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use stackube_openstack::{CloudConfig, ConfigError, Environment};
use tempfile::TempDir;

/// Every secret of the corpus.
const SECRET: &str = "hunter2-hunter2";

static DIRECTORY: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a directory"));

fuzz_target!(|bytes: &[u8]| {
    let path = DIRECTORY.path().join("clouds.yaml");
    std::fs::write(&path, bytes).expect("a file");
    let named = CloudConfig::from_clouds_yaml(&path, "mine");
    let only = Environment::new(|_| None, vec![DIRECTORY.path().to_owned()]).cloud(None);
    for result in [named, only] {
        match result {
            Ok(config) => {
                let _shown = format!("{config:?} {:?}", config.validate());
            }
            // Names of clouds may be shown, and what a single setting must not be; but nothing of a file that is no clouds.yaml.
            Err(ConfigError::CloudsYaml { reason, .. }) if !reason.starts_with("has ") => {
                assert!(!reason.contains(SECRET), "{reason}");
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
});
