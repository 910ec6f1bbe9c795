//! Brings the pinned maps to what [`Desired`] says, by the differences only.

mod lock;
mod share;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;
use stackube_datapath::abi::{LAYOUT, NetworkKey};
use stackube_datapath::{Error as MapError, Services};
use thiserror::Error;

pub use lock::LockError;
use lock::WriterLock;
use share::Book;
pub use share::Share;
use write::{apply, whole_network};

use crate::metrics::Sizes;
use crate::model::{Desired, Update};

/// The maps cannot be brought up to date now.
#[derive(Debug, Error)]
pub enum ProgramError {
    /// Another process writes them: the predecessor in a rolling update.
    #[error("another stackube-proxy of this node writes the maps; taking over when it ends")]
    OtherWriter,
    /// The lock is of no use.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The kernel refused.
    #[error("the datapath's maps cannot be brought up to date")]
    Maps(#[from] MapError),
}

/// What a call has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// Entries that were written or removed.
    pub writes: u64,
    /// The maps afterwards.
    pub sizes: Sizes,
}

/// The one writer of the node's services.
#[derive(Debug)]
pub struct Programmer {
    root: PathBuf,
    lock: Option<WriterLock>,
    services: Option<Services>,
    /// What is still to be done, since it was last written without an error.
    pending: Update,
    ranges: Option<BTreeSet<Ipv4Net>>,
    share: Share,
    book: Book,
}

impl Programmer {
    /// For the maps pinned under `root`. Nothing is opened yet.
    pub fn new(root: &Path) -> Self {
        Self::with_share(root, Share::LIMIT)
    }

    /// The same with another limit for each network.
    pub fn with_share(root: &Path, share: Share) -> Self {
        Self {
            root: root.to_owned(),
            lock: None,
            services: None,
            pending: Update::default(),
            ranges: None,
            share,
            book: Book::new(share),
        }
    }

    /// Whether this process is the writer.
    pub fn is_writer(&self) -> bool {
        self.lock.is_some() && self.services.is_some()
    }

    /// Networks that have used up their share of the maps, with the number of virtual addresses that are missing or lack backends.
    pub fn crowded(&self) -> BTreeMap<String, usize> {
        self.book.crowded()
    }

    /// Writes what has changed, or everything that differs if it has not written before or not without an error. `ranges` are those of all
    /// Services.
    ///
    /// # Errors
    /// [`ProgramError`]; the call is to be repeated, then it looks at everything.
    pub fn sync(
        &mut self,
        desired: &Desired,
        update: Update,
        ranges: &BTreeSet<Ipv4Net>,
    ) -> Result<Done, ProgramError> {
        merge(&mut self.pending, update);
        if self.lock.is_none() {
            self.lock = Some(WriterLock::acquire(&self.root.join(LAYOUT))?.ok_or(ProgramError::OtherWriter)?);
        }
        let result = match &mut self.services {
            Some(services) => apply(services, &mut self.book, desired, &self.pending).and_then(|writes| {
                if self.ranges.as_ref() != Some(ranges) {
                    set_ranges(services, ranges)?;
                }
                Ok(writes)
            }),
            None => self.open_and_compare(desired, ranges),
        };
        match result {
            Ok(writes) => {
                self.pending = Update::default();
                self.ranges = Some(ranges.clone());
                Ok(Done {
                    writes,
                    sizes: self.sizes(desired),
                })
            }
            Err(error) => {
                self.services = None;
                Err(error.into())
            }
        }
    }

    /// Reads the maps again and puts right what is not as it should be, whoever changed it; the number of entries written. Also finds maps that
    /// were pinned anew.
    ///
    /// # Errors
    /// As [`Self::sync`].
    pub fn audit(
        &mut self,
        desired: &Desired,
        update: Update,
        ranges: &BTreeSet<Ipv4Net>,
    ) -> Result<Done, ProgramError> {
        self.services = None;
        // The directory may have been made anew as well.
        self.lock = None;
        self.sync(desired, update, ranges)
    }

    fn open_and_compare(&mut self, desired: &Desired, ranges: &BTreeSet<Ipv4Net>) -> Result<u64, MapError> {
        let mut services = Services::open(&self.root)?;
        set_ranges(&services, ranges)?;
        let keys: BTreeMap<NetworkKey, &String> = desired.networks().map(|name| (NetworkKey::of(name), name)).collect();
        let held: BTreeSet<NetworkKey> = services.iter().map(|(key, _)| key.network).collect();
        let flagged: BTreeSet<NetworkKey> = services.networks()?.into_keys().collect();
        let mut book = Book::new(self.share);
        for (key, service) in services.iter() {
            book.change(key.network, None, Some(service.backends.len()));
        }
        let mut writes = 0;
        for network in held.union(&flagged).filter(|key| !keys.contains_key(key)) {
            services.forget(*network)?;
            writes += 1;
        }
        for name in keys.into_values() {
            writes += whole_network(&mut services, &mut book, desired, name)?;
        }
        (self.services, self.book) = (Some(services), book);
        Ok(writes)
    }

    fn sizes(&self, desired: &Desired) -> Sizes {
        let mut sizes = Sizes {
            networks: desired.networks().count(),
            left_out: self.book.crowded().into_values().sum(),
            ..Sizes::default()
        };
        for (_, service) in self.services.iter().flat_map(Services::iter) {
            sizes.services += 1;
            sizes.backends += service.backends.len();
        }
        sizes
    }
}

fn set_ranges(services: &Services, ranges: &BTreeSet<Ipv4Net>) -> Result<(), MapError> {
    services.set_service_cidrs(&ranges.iter().copied().collect::<Vec<_>>())
}

fn merge(pending: &mut Update, update: Update) {
    pending.removed.retain(|network| !update.added.contains(network));
    pending.added.retain(|network| !update.removed.contains(network));
    pending
        .touched
        .retain(|(network, _)| !update.removed.contains(network) && !update.added.contains(network));
    pending.removed.extend(update.removed);
    pending.touched.extend(
        update
            .touched
            .into_iter()
            .filter(|(network, _)| !pending.added.contains(network)),
    );
    pending.added.extend(update.added);
}
