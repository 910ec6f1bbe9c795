//! Attaching by pinned links: what a process attached stays when it ends, and the next one replaces the program of the link in place.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use aya::Ebpf;
use aya::programs::links::{CgroupAttachMode, FdLink, PinnedLink};
use aya::programs::{
    CgroupSock, LinkOrder, ProgramError, SchedClassifier, TcAttachType, Xdp, XdpMode, tc::TcAttachOptions,
};
use rustix::net::{AddressFamily, SocketType, netdevice, socket};

use crate::Error;
use crate::abi::LAYOUT;
use crate::programs::Mode;

const FROM_POD_XDP: &str = "from_pod_xdp";
const FROM_POD_TCX: &str = "from_pod_tcx";
const TO_POD: &str = "to_pod";
const FROM_HOST: &str = "from_host";
const MARK_KUBELET: &str = "mark_kubelet";

/// A place that a program is attached to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hook {
    /// What a pod sends.
    From(u32, Mode),
    /// What a pod receives.
    To(u32),
    /// What the node sends over the host link.
    Link(u32),
    /// Sockets of a cgroup, by the inode of its directory.
    Cgroup(u64),
}

impl Hook {
    /// Name of the pin.
    fn pin(self) -> String {
        match self {
            Self::From(ifindex, _) => format!("from-{ifindex}"),
            Self::To(ifindex) => format!("to-{ifindex}"),
            Self::Link(ifindex) => format!("link-{ifindex}"),
            Self::Cgroup(inode) => format!("cgroup-{inode}"),
        }
    }

    fn parse(pin: &str, mode: Mode) -> Option<Self> {
        let (kind, number) = pin.split_once('-')?;
        match kind {
            "from" => Some(Self::From(number.parse().ok()?, mode)),
            "to" => Some(Self::To(number.parse().ok()?)),
            "link" => Some(Self::Link(number.parse().ok()?)),
            "cgroup" => Some(Self::Cgroup(number.parse().ok()?)),
            _ => None,
        }
    }

    const fn program(self) -> &'static str {
        match self {
            Self::From(_, Mode::Xdp) => FROM_POD_XDP,
            Self::From(_, Mode::Tcx) => FROM_POD_TCX,
            Self::To(_) => TO_POD,
            Self::Link(_) => FROM_HOST,
            Self::Cgroup(_) => MARK_KUBELET,
        }
    }
}

/// Directory of the links' pins.
pub(crate) fn directory(root: &Path) -> PathBuf {
    root.join(LAYOUT).join("links")
}

/// Loads the programs that the mode needs.
pub(crate) fn load(loaded: &mut Ebpf, mode: Mode) -> Result<(), Error> {
    match mode {
        Mode::Xdp => program::<Xdp>(loaded, FROM_POD_XDP)?
            .load()
            .map_err(failed(FROM_POD_XDP, "be loaded"))?,
        Mode::Tcx => classifier(loaded, FROM_POD_TCX)?
            .load()
            .map_err(failed(FROM_POD_TCX, "be loaded"))?,
    }
    for name in [TO_POD, FROM_HOST] {
        classifier(loaded, name)?.load().map_err(failed(name, "be loaded"))?;
    }
    program::<CgroupSock>(loaded, MARK_KUBELET)?
        .load()
        .map_err(failed(MARK_KUBELET, "be loaded"))
}

/// Gives every link of an earlier process the new programs. A link whose device is gone, or that is of the other mode, is removed; in the
/// second case the device gets a new one.
pub(crate) fn renew(loaded: &mut Ebpf, root: &Path, mode: Mode) -> Result<(), Error> {
    for hook in hooks(root, mode)? {
        let path = directory(root).join(hook.pin());
        if replace(loaded, &path, hook).is_err() {
            unpin(&path)?;
            if matches!(hook, Hook::From(..)) && matches!(name_of(ifindex(hook)), Ok(Some(_))) {
                create(loaded, &path, hook)?;
            }
        }
    }
    Ok(())
}

/// Attaches at a hook, in place of what is there.
pub(crate) fn one(loaded: &mut Ebpf, root: &Path, hook: Hook) -> Result<(), Error> {
    let path = directory(root).join(hook.pin());
    if path.exists() {
        if replace(loaded, &path, hook).is_ok() {
            return Ok(());
        }
        unpin(&path)?;
    }
    create(loaded, &path, hook)
}

/// Attaches at a hook, and nowhere else of its kind.
pub(crate) fn only(loaded: &mut Ebpf, root: &Path, hook: Hook) -> Result<(), Error> {
    one(loaded, root, hook)?;
    for other in hooks(root, Mode::Tcx)? {
        if std::mem::discriminant(&other) == std::mem::discriminant(&hook) && other != hook {
            remove(root, other)?;
        }
    }
    Ok(())
}

/// Attaches to a cgroup, and to no other.
pub(crate) fn cgroup(loaded: &mut Ebpf, root: &Path, path: &Path) -> Result<(), Error> {
    let refused = |source| Error::Cgroup {
        path: path.to_owned(),
        source,
    };
    let directory_of = File::open(path).map_err(refused)?;
    let inode = directory_of.metadata().map_err(refused)?.ino();
    let hook = Hook::Cgroup(inode);
    let pin = directory(root).join(hook.pin());
    if !pin.exists() {
        let program: &mut CgroupSock = program(loaded, MARK_KUBELET)?;
        // A link is beside others without being told so, and the kernel takes no flags with it.
        let attached = program
            .attach(&directory_of, CgroupAttachMode::Single)
            .and_then(|id| program.take_link(id));
        let link = attached.map_err(failed(MARK_KUBELET, &format!("be attached to {}", path.display())))?;
        let link = FdLink::try_from(link).map_err(|_| Error::Missing(MARK_KUBELET))?;
        keep(link, &pin)?;
    }
    for other in hooks(root, Mode::Tcx)? {
        if matches!(other, Hook::Cgroup(_)) && other != hook {
            remove(root, other)?;
        }
    }
    Ok(())
}

/// Detaches. The kernel takes the program off when the last reference to the link goes, which is the pin.
pub(crate) fn remove(root: &Path, hook: Hook) -> Result<(), Error> {
    unpin(&directory(root).join(hook.pin()))
}

/// Devices that have a pin.
pub(crate) fn devices(root: &Path) -> Result<Vec<u32>, Error> {
    let pod = hooks(root, Mode::Tcx)?
        .into_iter()
        .filter(|hook| matches!(hook, Hook::From(..) | Hook::To(_)));
    let mut devices: Vec<u32> = pod.map(ifindex).collect();
    devices.sort_unstable();
    devices.dedup();
    Ok(devices)
}

const fn ifindex(hook: Hook) -> u32 {
    match hook {
        Hook::From(ifindex, _) | Hook::To(ifindex) | Hook::Link(ifindex) => ifindex,
        Hook::Cgroup(_) => 0,
    }
}

fn hooks(root: &Path, mode: Mode) -> Result<Vec<Hook>, Error> {
    let path = directory(root);
    let refused = |source| Error::Pin {
        action: "list",
        path: path.clone(),
        source,
    };
    let mut hooks = Vec::new();
    for entry in std::fs::read_dir(&path).map_err(refused)? {
        let name = entry.map_err(refused)?.file_name();
        hooks.extend(name.to_str().and_then(|name| Hook::parse(name, mode)));
    }
    Ok(hooks)
}

/// Puts the new program into a pinned link.
fn replace(loaded: &mut Ebpf, path: &Path, hook: Hook) -> Result<(), Error> {
    let fail = |source: ProgramError| failed(hook.program(), "replace its predecessor")(source);
    let stale = |_| Error::Pin {
        action: "use",
        path: path.to_owned(),
        source: io::ErrorKind::InvalidData.into(),
    };
    let link = FdLink::from(PinnedLink::from_pin(path).map_err(stale)?);
    match hook {
        Hook::From(_, Mode::Xdp) => {
            let program: &mut Xdp = program(loaded, hook.program())?;
            let id = program.attach_to_link(link.try_into().map_err(stale)?).map_err(fail)?;
            program.take_link(id).map(drop_handle).map_err(fail)
        }
        Hook::Cgroup(_) => Ok(()), // The program has one line; a link that is there does what the new one would.
        _ => {
            let program = classifier(loaded, hook.program())?;
            let id = program.attach_to_link(link.try_into().map_err(stale)?).map_err(fail)?;
            program.take_link(id).map(drop_handle).map_err(fail)
        }
    }
}

/// Closes the handle of a link that is pinned: the link itself stays.
fn drop_handle<T>(_link: T) {}

/// Attaches and pins.
fn create(loaded: &mut Ebpf, path: &Path, hook: Hook) -> Result<(), Error> {
    let device = ifindex(hook);
    let name = name_of(device)?.ok_or(Error::NoInterface { ifindex: device })?;
    let fail = |source| failed(hook.program(), &format!("be attached to {name}"))(source);
    let link = if let Hook::From(_, Mode::Xdp) = hook {
        let program: &mut Xdp = program(loaded, hook.program())?;
        // Generic, so that packets can be redirected to devices whose other end runs no XDP of its own.
        let id = program.attach_to_if_index(device, XdpMode::Skb).map_err(fail)?;
        FdLink::try_from(program.take_link(id).map_err(fail)?).map_err(|_| Error::Missing(FROM_POD_XDP))?
    } else {
        let direction = if matches!(hook, Hook::To(_)) {
            TcAttachType::Egress
        } else {
            TcAttachType::Ingress
        };
        let program = classifier(loaded, hook.program())?;
        let options = TcAttachOptions::TcxOrder(LinkOrder::first());
        let id = program.attach_with_options(&name, direction, options).map_err(fail)?;
        FdLink::try_from(program.take_link(id).map_err(fail)?).map_err(|_| Error::Missing(TO_POD))?
    };
    keep(link, path)
}

fn keep(link: FdLink, path: &Path) -> Result<(), Error> {
    link.pin(path).map(drop_handle).map_err(|error| Error::Pin {
        action: "make",
        path: path.to_owned(),
        source: io::Error::other(error),
    })
}

pub(crate) fn unpin(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Pin {
            action: "remove",
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// Name of a device of this network namespace; `None` if there is none of that index.
fn name_of(ifindex: u32) -> Result<Option<String>, Error> {
    let refused = |source: rustix::io::Errno| Error::Pin {
        action: "find the device of",
        path: PathBuf::from(ifindex.to_string()),
        source: source.into(),
    };
    let socket = socket(AddressFamily::INET, SocketType::DGRAM, None).map_err(refused)?;
    match netdevice::index_to_name(&socket, ifindex) {
        Ok(name) => Ok(Some(name)),
        Err(rustix::io::Errno::NODEV | rustix::io::Errno::NXIO) => Ok(None),
        Err(source) => Err(refused(source)),
    }
}

fn classifier<'a>(loaded: &'a mut Ebpf, name: &'static str) -> Result<&'a mut SchedClassifier, Error> {
    program(loaded, name)
}

fn program<'a, P>(loaded: &'a mut Ebpf, name: &'static str) -> Result<&'a mut P, Error>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    let program = loaded.program_mut(name).ok_or(Error::Missing(name))?;
    program.try_into().map_err(failed(name, "be used"))
}

fn failed(program: &'static str, action: &str) -> impl FnOnce(ProgramError) -> Error {
    let action = action.to_owned();
    move |source| Error::Program {
        program,
        action,
        source: Box::new(source),
    }
}
