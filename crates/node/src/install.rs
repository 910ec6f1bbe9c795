//! Puts the plugin and its configuration onto the host.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde_json::json;
use thiserror::Error;

/// File name of the plugin; the `type` of its configuration.
const PLUGIN: &str = "kubestack";
/// File name of the configuration: runtimes take the first in alphabetical order.
const CONFIGURATION: &str = "10-kubestack.conflist";
/// Name of the network.
const NETWORK: &str = "stackube";

/// A file could not be put in its place.
#[derive(Debug, Error)]
#[error("cannot install {}", path.display())]
pub struct InstallError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Copies the plugin binary `from` into `directory`. A call that runs the old one meanwhile keeps it.
///
/// # Errors
/// [`InstallError`].
pub fn plugin(from: &Path, directory: &Path) -> Result<(), InstallError> {
    let content = fs::read(from).map_err(|source| InstallError {
        path: from.to_owned(),
        source,
    })?;
    replace(&directory.join(PLUGIN), &content, 0o755)
}

/// Writes the network configuration into `directory`. From then on the runtime calls the plugin.
///
/// # Errors
/// [`InstallError`].
pub fn configuration(directory: &Path, socket: &Path) -> Result<(), InstallError> {
    let list = json!({
        "cniVersion": "1.1.0",
        "name": NETWORK,
        "plugins": [{"type": PLUGIN, "socket": socket}],
    });
    replace(&directory.join(CONFIGURATION), format!("{list:#}\n").as_bytes(), 0o644)
}

/// Writes a file as a whole: whoever looks sees the old content or the new, also after a crash.
fn replace(path: &Path, content: &[u8], mode: u32) -> Result<(), InstallError> {
    let write = || -> io::Result<()> {
        if fs::read(path).is_ok_and(|old| old == content) {
            return Ok(());
        }
        let directory = path.parent().unwrap_or_else(|| Path::new("/"));
        fs::create_dir_all(directory)?;
        // Hidden and without an extension that a runtime would read.
        let temporary = directory.join(format!(".{PLUGIN}.{}", std::process::id()));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .open(&temporary)?;
        file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
        file.write_all(content)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&temporary, path)?;
        File::open(directory)?.sync_all()
    };
    write().map_err(|source| InstallError {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use serde_json::Value;

    use super::*;

    #[test]
    fn files_are_replaced_and_left_alone_when_equal() {
        let directory = tempfile::tempdir().unwrap();
        let source = directory.path().join("source");
        fs::write(&source, "one").unwrap();
        let bin = directory.path().join("opt/cni/bin");
        plugin(&source, &bin).unwrap();
        let installed = bin.join("kubestack");
        let first = fs::metadata(&installed).unwrap();
        assert_eq!(first.permissions().mode() & 0o777, 0o755);
        plugin(&source, &bin).unwrap();
        assert_eq!(fs::metadata(&installed).unwrap().ino(), first.ino());
        fs::write(&source, "two").unwrap();
        plugin(&source, &bin).unwrap();
        assert_eq!(fs::read_to_string(&installed).unwrap(), "two");
        assert_eq!(
            fs::read_dir(&bin).unwrap().count(),
            1,
            "nothing but the plugin is left there"
        );
    }

    #[test]
    fn the_configuration_names_the_plugin_and_the_socket() {
        let directory = tempfile::tempdir().unwrap();
        configuration(directory.path(), Path::new("/run/s.sock")).unwrap();
        let text = fs::read_to_string(directory.path().join("10-kubestack.conflist")).unwrap();
        let list: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(list["cniVersion"], "1.1.0");
        assert_eq!(
            list["plugins"][0],
            json!({"type": "kubestack", "socket": "/run/s.sock"})
        );
    }

    #[test]
    fn errors_name_the_file() {
        let error = plugin(Path::new("/nonexistent/kubestack"), Path::new("/tmp")).unwrap_err();
        assert_eq!(error.to_string(), "cannot install /nonexistent/kubestack");
    }
}
