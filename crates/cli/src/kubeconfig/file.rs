//! A kubeconfig on disk, which kubectl and others change too.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};

use crate::cache::write_private;

/// The first of `KUBECONFIG`, else `~/.kube/config`.
pub(super) fn of_user() -> Option<PathBuf> {
    let listed = std::env::var_os("KUBECONFIG")
        .and_then(|paths| std::env::split_paths(&paths).find(|path| !path.as_os_str().is_empty()));
    listed.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".kube/config")))
}

/// Changes a kubeconfig under the lock that kubectl uses too. What is in it and not ours stays; so does a link to it.
pub(super) fn change(path: &Path, change: impl FnOnce(&mut Value) -> anyhow::Result<()>) -> anyhow::Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("{} cannot be made", parent.display()))?;
    }
    // kubectl's lock has the name that kubectl was given: a link's own, or that of the file behind it.
    let _lock = Lock::take(path)?;
    let Some(behind) = behind_link(path)? else {
        return change_file(path, change);
    };
    let _lock_behind = Lock::take(&behind)?;
    change_file(&behind, change)
}

/// The file that a link leads to.
fn behind_link(path: &Path) -> anyhow::Result<Option<PathBuf>> {
    let Ok(next) = std::fs::read_link(path) else {
        return Ok(None);
    };
    let behind = path.canonicalize().with_context(|| {
        format!(
            "{} is a link to {}, which cannot be used: make an empty file there, or remove the link",
            path.display(),
            next.display()
        )
    })?;
    Ok(Some(behind))
}

fn change_file(path: &Path, change: impl FnOnce(&mut Value) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let unusable = || format!("{} is not a kubeconfig", path.display());
    let mut config = match std::fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => serde_saphyr::from_str::<Value>(&text).with_context(unusable)?,
        Ok(_) => Value::Null,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Value::Null,
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    if config.is_null() {
        config = json!({"apiVersion": "v1", "kind": "Config", "preferences": {}});
    }
    anyhow::ensure!(config.is_object(), unusable());
    change(&mut config).with_context(unusable)?;
    let text = serde_saphyr::to_string(&config)?;
    let again: Value = serde_saphyr::from_str(&text)?;
    anyhow::ensure!(
        again == config,
        "{} holds something that cannot be written again; use --output",
        path.display()
    );
    write_private(path, text.as_bytes()).with_context(|| format!("{} cannot be written", path.display()))
}

/// `<kubeconfig>.lock`, as client-go makes it.
pub(super) struct Lock(PathBuf);

impl Lock {
    pub(super) fn take(kubeconfig: &Path) -> anyhow::Result<Self> {
        let mut path = kubeconfig.as_os_str().to_owned();
        path.push(".lock");
        let path = PathBuf::from(path);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(_) => Ok(Self(path)),
            Err(error) => Err(error)
                .with_context(|| format!("{} cannot be made; if no kubectl is running, remove it", path.display())),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn make_current(path: &Path) -> anyhow::Result<()> {
        change(path, |config| {
            config["current-context"] = "n".into();
            Ok(())
        })
    }

    /// What is in a directory, without what is in its directories.
    fn names(directory: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(directory).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_link_stays_and_the_file_behind_it_is_changed() {
        let directory = tempfile::tempdir().unwrap();
        let (link, dotfiles) = (directory.path().join("config"), directory.path().join("dotfiles"));
        std::fs::create_dir(&dotfiles).unwrap();
        let file = dotfiles.join("kube");
        std::fs::write(&file, "kind: Config\nusers: []\n").unwrap();
        symlink("also", &link).unwrap();
        symlink("dotfiles/kube", directory.path().join("also")).unwrap();
        make_current(&link).unwrap();
        assert_eq!(std::fs::read_link(&link).unwrap(), Path::new("also"));
        let written: Value = serde_saphyr::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        assert_eq!(written, json!({"kind": "Config", "users": [], "current-context": "n"}));
        for name in [&link, &file] {
            let lock = Lock::take(name).unwrap();
            assert!(make_current(&link).is_err(), "{}", name.display());
            drop(lock);
        }
        assert_eq!(names(directory.path()), ["also", "config", "dotfiles"]);
        assert_eq!(names(&dotfiles), ["kube"]);
    }

    #[test]
    fn a_link_that_leads_nowhere_is_left_alone_with_advice() {
        for to in ["gone/kube", "config"] {
            let directory = tempfile::tempdir().unwrap();
            let link = directory.path().join("config");
            symlink(to, &link).unwrap();
            let error = format!("{:#}", make_current(&link).unwrap_err());
            assert!(
                error.contains(to) && error.contains("make an empty file there"),
                "{error}"
            );
            assert_eq!(std::fs::read_link(&link).unwrap(), Path::new(to));
            assert_eq!(names(directory.path()), ["config"]);
        }
    }
}
