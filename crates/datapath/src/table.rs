//! Typed access to the pinned maps. A handle may be shared by threads; the kernel orders the writes to one entry.

use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aya::Pod;
use aya::maps::{Array, HashMap, LpmTrie, Map, MapData, MapError, lpm_trie};
use ipnet::Ipv4Net;

use crate::Error;
use crate::abi::LAYOUT;

/// Opens the map that is pinned as `name`.
fn open(root: &Path, name: &'static str) -> Result<Map, Error> {
    open_at(&root.join(LAYOUT).join(name), name)
}

fn open_at(path: &Path, name: &'static str) -> Result<Map, Error> {
    let data = MapData::from_pin(path).map_err(|source| match &source {
        MapError::SyscallError(e) if e.io_error.kind() == io::ErrorKind::NotFound => {
            Error::NotLoaded { path: path.to_owned() }
        }
        _ => refused(name, "open", source),
    })?;
    // The kernel reports an LRU hash as a type of its own; it is used like any hash.
    match Map::from_map_data(data).map_err(|source| refused(name, "open", source))? {
        Map::LruHashMap(data) => Ok(Map::HashMap(data)),
        map => Ok(map),
    }
}

pub(crate) fn open_ring(root: &Path, name: &'static str) -> Result<aya::maps::RingBuf<MapData>, Error> {
    aya::maps::RingBuf::try_from(open(root, name)?).map_err(|source| refused(name, "open", source))
}

pub(crate) fn open_counters(root: &Path, name: &'static str) -> Result<aya::maps::PerCpuArray<MapData, u64>, Error> {
    aya::maps::PerCpuArray::try_from(open(root, name)?).map_err(|source| refused(name, "open", source))
}

pub(crate) fn refused(map: &'static str, action: &'static str, source: MapError) -> Error {
    Error::Map {
        map,
        action,
        source: Box::new(source),
    }
}

/// The map cannot be left half changed by a thread that ended: every operation is one system call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A hash of `K` to `V`.
pub(crate) struct Table<K, V> {
    name: &'static str,
    map: Mutex<HashMap<MapData, K, V>>,
}

impl<K: Pod, V: Pod> Table<K, V> {
    pub(crate) fn open(root: &Path, name: &'static str) -> Result<Self, Error> {
        Self::at(&root.join(LAYOUT).join(name), name)
    }

    /// The map `name` of another layout, pinned at `path`.
    pub(crate) fn at(path: &Path, name: &'static str) -> Result<Self, Error> {
        let map = HashMap::try_from(open_at(path, name)?).map_err(|source| refused(name, "open", source))?;
        Ok(Self {
            name,
            map: Mutex::new(map),
        })
    }

    pub(crate) fn get(&self, key: &K) -> Result<Option<V>, Error> {
        match lock(&self.map).get(key, 0) {
            Ok(value) => Ok(Some(value)),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(source) => Err(refused(self.name, "read an entry", source)),
        }
    }

    pub(crate) fn set(&self, key: &K, value: &V) -> Result<(), Error> {
        lock(&self.map)
            .insert(key, value, 0)
            .map_err(|source| refused(self.name, "write an entry", source))
    }

    /// Removes the entry; whether there was one.
    pub(crate) fn remove(&self, key: &K) -> Result<bool, Error> {
        match lock(&self.map).remove(key) {
            Ok(()) => Ok(true),
            Err(MapError::KeyNotFound) => Ok(false),
            Err(MapError::SyscallError(e)) if e.io_error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(refused(self.name, "remove an entry", source)),
        }
    }

    /// All entries. Those that come or go meanwhile may be missed or seen.
    pub(crate) fn entries(&self) -> Result<Vec<(K, V)>, Error> {
        self.collect()
    }

    /// All entries, in a collection of the caller's kind.
    pub(crate) fn collect<C: FromIterator<(K, V)>>(&self) -> Result<C, Error> {
        let map = lock(&self.map);
        let read = |key: Result<K, MapError>| {
            let key = key.map_err(|source| refused(self.name, "list", source))?;
            match map.get(&key, 0) {
                Ok(value) => Ok(Some((key, value))),
                Err(MapError::KeyNotFound) => Ok(None),
                Err(source) => Err(refused(self.name, "read an entry", source)),
            }
        };
        map.keys().filter_map(|key| read(key).transpose()).collect()
    }
}

/// A map of address ranges.
pub(crate) struct Ranges {
    name: &'static str,
    map: Mutex<LpmTrie<MapData, u32, u32>>,
}

impl Ranges {
    pub(crate) fn open(root: &Path, name: &'static str) -> Result<Self, Error> {
        let map = LpmTrie::try_from(open(root, name)?).map_err(|source| refused(name, "open", source))?;
        Ok(Self {
            name,
            map: Mutex::new(map),
        })
    }

    /// Whether a range of the map has the address.
    pub(crate) fn contains(&self, address: std::net::Ipv4Addr) -> Result<bool, Error> {
        match lock(&self.map).get(&lpm_trie::Key::new(32, wire(address)), 0) {
            Ok(_) => Ok(true),
            Err(MapError::KeyNotFound) => Ok(false),
            Err(source) => Err(refused(self.name, "read a range", source)),
        }
    }

    /// Everything in the map.
    pub(crate) fn list(&self) -> Result<Vec<Ipv4Net>, Error> {
        let keys: Result<Vec<_>, _> = lock(&self.map).keys().collect();
        let keys = keys.map_err(|source| refused(self.name, "list", source))?;
        let ranges = keys.into_iter().filter_map(|key| {
            let length = u8::try_from(key.prefix_len()).ok()?;
            Ipv4Net::new(address(key.data()), length).ok()
        });
        Ok(ranges.collect())
    }

    /// Makes the map hold exactly `ranges`: adds first, so that no address of both the old and the new list is missing in between.
    pub(crate) fn replace(&self, ranges: &[Ipv4Net]) -> Result<(), Error> {
        let wanted: Vec<(u32, u32)> = ranges
            .iter()
            .map(|range| (u32::from(range.prefix_len()), wire(range.network())))
            .collect();
        let mut map = lock(&self.map);
        for (length, address) in &wanted {
            map.insert(&lpm_trie::Key::new(*length, *address), 1, 0)
                .map_err(|source| refused(self.name, "write a range", source))?;
        }
        let present: Vec<_> = map
            .keys()
            .collect::<Result<_, _>>()
            .map_err(|source| refused(self.name, "list", source))?;
        for key in present {
            if !wanted.contains(&(key.prefix_len(), key.data())) {
                map.remove(&key)
                    .map_err(|source| refused(self.name, "remove a range", source))?;
            }
        }
        Ok(())
    }
}

/// The map `settings`.
pub(crate) fn set_array<V: Pod>(root: &Path, name: &'static str, value: V) -> Result<(), Error> {
    let mut map: Array<MapData, V> =
        Array::try_from(open(root, name)?).map_err(|source| refused(name, "open", source))?;
    map.set(0, value, 0).map_err(|source| refused(name, "write", source))
}

/// An address as the maps hold it.
pub(crate) fn wire(address: std::net::Ipv4Addr) -> u32 {
    u32::from_ne_bytes(address.octets())
}

/// An address out of a map.
pub(crate) fn address(wire: u32) -> std::net::Ipv4Addr {
    std::net::Ipv4Addr::from(wire.to_ne_bytes())
}

impl<K, V> std::fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Table").field(&self.name).finish()
    }
}

impl std::fmt::Debug for Ranges {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Ranges").field(&self.name).finish()
    }
}
