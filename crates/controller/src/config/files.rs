//! A ConfigMap or Secret volume: a directory with one file for each key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The longest value that is read, in bytes: a ConfigMap holds at most 1 MiB in all.
const MAX: u64 = 1 << 20;

/// A directory or file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{}: {reason}", path.display())]
pub(super) struct ReadError {
    path: PathBuf,
    reason: String,
}

impl ReadError {
    fn new(path: &Path, reason: impl ToString) -> Self {
        Self {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

/// All keys of the directory with their values, without white space around them. Names that start with a dot are kubelet's own
/// (`..data` and the like).
///
/// # Errors
/// A directory or file that cannot be read, or a value that is no text.
pub(super) fn read(dir: &Path) -> Result<BTreeMap<String, String>, ReadError> {
    let mut values = BTreeMap::new();
    for entry in fs::read_dir(dir).map_err(|error| ReadError::new(dir, describe(&error)))? {
        let entry = entry.map_err(|error| ReadError::new(dir, error))?;
        let path = entry.path();
        let Some(key) = entry
            .file_name()
            .to_str()
            .filter(|name| !name.starts_with('.'))
            .map(str::to_owned)
        else {
            continue;
        };
        // Not the entry's own type: the keys of a volume are links.
        let meta = fs::metadata(&path).map_err(|error| ReadError::new(&path, error))?;
        if meta.is_dir() {
            continue;
        }
        if meta.len() > MAX {
            return Err(ReadError::new(&path, "is larger than any key of a ConfigMap can be"));
        }
        let text = fs::read_to_string(&path).map_err(|error| ReadError::new(&path, error))?;
        values.insert(key, text.trim().to_owned());
    }
    Ok(values)
}

fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "no such directory: is the ConfigMap or Secret mounted there?".to_owned(),
        _ => error.to_string(),
    }
}
