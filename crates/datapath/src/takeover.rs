//! What a version of another layout has left: its links are taken over, its maps are not.
//!
//! A link is the kernel's and knows nothing of layouts: with its pin moved it gets the new programs like any other, without a moment in which
//! the device has none. To these programs every pod is unknown, and they drop its packets, until it is attached anew.

use std::fs::{read_dir, remove_dir, rename};
use std::io;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::abi::LAYOUT;
use crate::attach::{self, unpin};
use crate::table::Table;

/// Alias to ifindex, in every layout.
const ALIASES: &str = "aliases";

/// Moves the pins of other layouts' links to where those of this one are.
pub(crate) fn links(root: &Path) -> Result<(), Error> {
    for layout in others(root)? {
        for pin in entries(&layout.join("links"))? {
            let Some(name) = pin.file_name() else { continue };
            let to = attach::directory(root).join(name);
            if to.exists() {
                // A device of that index has had the programs of this layout since.
                unpin(&pin)?;
            } else {
                rename(&pin, &to).map_err(refused("move", &pin))?;
            }
        }
    }
    Ok(())
}

/// Removes the pins of other layouts' maps. The kernel frees a map when the last process that has it open ends.
pub(crate) fn maps(root: &Path) -> Result<(), Error> {
    for layout in others(root)? {
        forget_aliases(&layout)?;
        for pin in entries(&layout)? {
            if pin.is_dir() {
                remove_dir(&pin).map_err(refused("remove", &pin))?;
            } else {
                unpin(&pin)?;
            }
        }
        remove_dir(&layout).map_err(refused("remove", &layout))?;
    }
    Ok(())
}

/// Empties `aliases`: pods may get other aliases now, and a stackube-proxy of that layout, which has the map open, must not take one for another.
fn forget_aliases(layout: &Path) -> Result<(), Error> {
    let path = layout.join(ALIASES);
    if !path.exists() {
        return Ok(());
    }
    let aliases: Table<u32, u32> = Table::at(&path, ALIASES)?;
    for (alias, _) in aliases.entries()? {
        aliases.remove(&alias)?;
    }
    Ok(())
}

/// Directories of other layouts: `v` and a number.
fn others(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let is_other = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = name.strip_prefix('v').and_then(|number| number.parse::<u32>().ok());
        number.is_some() && name != LAYOUT
    };
    Ok(entries(root)?.into_iter().filter(is_other).collect())
}

/// What is in a directory; nothing if there is none.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let found = match read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        found => found.map_err(refused("list", directory))?,
    };
    let paths: io::Result<Vec<PathBuf>> = found.map(|entry| Ok(entry?.path())).collect();
    paths.map_err(refused("list", directory))
}

fn refused(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Pin { action, path, source }
}
