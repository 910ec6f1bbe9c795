//! Tokens on disk, so that not every kubectl costs a password check: one file for each login, for its owner alone.

use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// A token that was issued to this user.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) token: SecretString,
    /// By this machine's clock.
    pub(crate) expires_at: Timestamp,
    /// From then on a new one is asked for.
    pub(crate) renew_at: Timestamp,
    /// When Keystone last knew it.
    pub(crate) checked_at: Timestamp,
}

#[derive(Serialize, Deserialize)]
struct File {
    token: String,
    expires_at: Timestamp,
    renew_at: Timestamp,
    checked_at: Timestamp,
}

impl Kept {
    /// A token just issued that is valid for so long.
    pub(crate) fn new(token: SecretString, remaining: Duration, now: Timestamp) -> Self {
        let margin = (remaining / 5).min(Duration::from_secs(300));
        let after = |duration: Duration| now.saturating_add(duration).unwrap_or(now);
        Self {
            token,
            expires_at: after(remaining),
            renew_at: after(remaining.saturating_sub(margin)),
            checked_at: now,
        }
    }

    /// Whether it is far enough from its end. Times in the future are from a clock that was set back since: not to be trusted.
    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        self.checked_at <= now && now < self.renew_at
    }
}

/// A directory of tokens.
#[derive(Debug, Clone)]
pub(crate) struct Cache(PathBuf);

impl Cache {
    /// `$XDG_CACHE_HOME/stackube/tokens` or `~/.cache/stackube/tokens`.
    pub(crate) fn of_user() -> anyhow::Result<Self> {
        let variable = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let base = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")));
        let base = base.context("neither XDG_CACHE_HOME nor HOME is set: there is no place for tokens")?;
        Ok(Self::at(base.join("stackube/tokens")))
    }

    pub(crate) fn at(directory: PathBuf) -> Self {
        Self(directory)
    }

    fn path(&self, key: &str) -> PathBuf {
        self.0.join(format!("{key}.json"))
    }

    /// What is kept; nothing if the file is missing, broken, or could have been read or written by somebody else.
    pub(crate) fn read(&self, key: &str) -> Option<Kept> {
        let path = self.path(key);
        let private = std::fs::symlink_metadata(&path).is_ok_and(|file| {
            file.is_file() && file.mode() & 0o077 == 0 && file.uid() == rustix::process::geteuid().as_raw()
        });
        if !private {
            return None;
        }
        let file: File = serde_json::from_slice(&std::fs::read(&path).ok()?).ok()?;
        Some(Kept {
            token: file.token.into(),
            expires_at: file.expires_at,
            renew_at: file.renew_at,
            checked_at: file.checked_at,
        })
    }

    /// Keeps it, in one step: a reader sees the old file or the new one.
    pub(crate) fn write(&self, key: &str, kept: &Kept) -> io::Result<()> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.0)?;
        let file = File {
            token: kept.token.expose_secret().to_owned(),
            expires_at: kept.expires_at,
            renew_at: kept.renew_at,
            checked_at: kept.checked_at,
        };
        write_private(&self.path(key), &serde_json::to_vec(&file)?)
    }

    /// Forgets it; there being none is fine.
    pub(crate) fn remove(&self, key: &str) -> io::Result<()> {
        match std::fs::remove_file(self.path(key)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// Replaces a file by one that only its owner may read.
pub(crate) fn write_private(path: &Path, contents: &[u8]) -> io::Result<()> {
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or_else(|| Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(contents)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn cache() -> (tempfile::TempDir, Cache) {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::at(directory.path().join("a/b"));
        (directory, cache)
    }

    fn kept() -> Kept {
        Kept::new("gAAAAA".into(), HOUR, Timestamp::now())
    }

    #[test]
    fn keeps_tokens_for_their_owner_alone() {
        let (_directory, cache) = cache();
        assert!(cache.read("k").is_none());
        cache.write("k", &kept()).unwrap();
        assert_eq!(cache.read("k").unwrap().token.expose_secret(), "gAAAAA");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&cache.path("k")), mode(&cache.0)), (0o600, 0o700));
        assert!(cache.read("other").is_none());
        cache.remove("k").unwrap();
        cache.remove("k").unwrap();
        assert!(cache.read("k").is_none());
    }

    #[test]
    fn trusts_no_file_that_others_could_touch() {
        let (directory, cache) = cache();
        cache.write("k", &kept()).unwrap();
        std::fs::set_permissions(cache.path("k"), std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(cache.read("k").is_none());
        cache.write("k", &kept()).unwrap();
        assert!(cache.read("k").is_some(), "writing again makes it private again");
        let elsewhere = directory.path().join("elsewhere");
        std::fs::rename(cache.path("k"), &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, cache.path("k")).unwrap();
        assert!(cache.read("k").is_none());
        std::fs::remove_file(cache.path("k")).unwrap();
        write_private(&cache.path("k"), b"{").unwrap();
        assert!(cache.read("k").is_none());
    }

    #[test]
    fn is_fresh_until_some_minutes_before_its_end() {
        let now = Timestamp::now();
        let after = |seconds: u64| now.saturating_add(Duration::from_secs(seconds)).unwrap();
        let long = Kept::new("t".into(), HOUR, now);
        assert!(long.is_fresh(now) && long.is_fresh(after(3299)) && !long.is_fresh(after(3301)));
        let short = Kept::new("t".into(), Duration::from_secs(100), now);
        assert!(short.is_fresh(after(79)) && !short.is_fresh(after(81)));
        let clock_set_back = Kept::new("t".into(), HOUR, after(60));
        assert!(!clock_set_back.is_fresh(now));
    }
}
