//! The two devices.

use std::net::{IpAddr, Ipv4Addr};

use futures::TryStreamExt;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{
    AfSpecInet, AfSpecUnspec, InetDevConf, InfoData, InfoKind, InfoVeth, LinkAttribute, LinkFlags, LinkInfo,
    LinkMessage,
};
use rtnetlink::{Handle, LinkUnspec, LinkVeth};

use super::{ADDRESS, FAR, NEAR};
use crate::link::{LinkError, forgo_ipv6};

/// MTU in bytes: what most networks have. A pod's TCP announces its own, and DNS answers stay below both.
const MTU: u32 = 1500;
/// MAC addresses, the same on every node (locally administered; no frame leaves the pair but to a pod's device).
const NEAR_MAC: [u8; 6] = [0x02, 0xa9, 0xfe, 0x4d, 0x01, 0x00];
const FAR_MAC: [u8; 6] = [0x02, 0xa9, 0xfe, 0x4d, 0x01, 0x01];
/// Loose reverse path check (`rp_filter`, Documentation/networking/ip-sysctl): the host may be set to a strict one, and
/// with none a strict one in `all` would count.
const RP_FILTER_LOOSE: i32 = 2;
/// `arp_announce`: asks for others' addresses with the device's own, whatever a packet has (the same page).
const ARP_ANNOUNCE_OWN: i32 = 2;

/// One end of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// Index of the device.
    pub index: u32,
    /// MAC address.
    pub mac: [u8; 6],
}

/// Both ends of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// [`NEAR`].
    pub near: End,
    /// [`FAR`].
    pub far: End,
}

/// What one of the host's own devices should look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// MAC address.
    pub(crate) mac: [u8; 6],
    /// In bytes.
    pub(crate) mtu: u32,
    /// Whether it speaks ARP; then in the name of its own address only.
    pub(crate) arp: bool,
}

/// What a device looks like now.
struct Found {
    index: u32,
    veth: bool,
    peer: Option<u32>,
    mac: Vec<u8>,
    mtu: u32,
    up: bool,
    arp: bool,
    rp_filter: i32,
    arp_announce: i32,
}

/// Index of the device of that name.
pub(crate) async fn index(handle: &Handle, name: &str) -> Result<u32, LinkError> {
    let found = find(handle, name).await?;
    found
        .map(|found| found.index)
        .ok_or_else(|| LinkError::Missing(name.to_owned()))
}

/// Makes the pair as it should be.
pub(super) async fn ensure(handle: &Handle, done: &mut Vec<&'static str>) -> Result<Ends, LinkError> {
    let (near, far) = (find(handle, NEAR).await?, find(handle, FAR).await?);
    for (name, end) in [(NEAR, &near), (FAR, &far)] {
        if end.as_ref().is_some_and(|end| !end.veth) {
            return Err(LinkError::Foreign(name.to_owned()));
        }
    }
    let is_pair = near
        .as_ref()
        .zip(far.as_ref())
        .is_some_and(|(near, far)| near.peer == Some(far.index));
    if !is_pair {
        for (name, end) in [(NEAR, near), (FAR, far)] {
            if let Some(end) = end {
                delete(handle, name, end.index).await?;
            }
        }
        let peer = LinkUnspec::new_with_name(FAR)
            .mtu(MTU)
            .address(FAR_MAC.to_vec())
            .arp(false)
            .build();
        let pair = LinkVeth::new(NEAR, FAR)
            .mtu(MTU)
            .address(NEAR_MAC.to_vec())
            .arp(false)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .build();
        let add = handle.link().add(pair).execute().await;
        add.map_err(LinkError::netlink("make the veth pair", NEAR))?;
        done.push("made the devices");
    }
    let shape = |mac| Shape {
        mac,
        mtu: MTU,
        arp: false,
    };
    let near = ensure_end(handle, NEAR, &shape(NEAR_MAC), done).await?;
    let far = ensure_end(handle, FAR, &shape(FAR_MAC), done).await?;
    ensure_address(handle, NEAR, near.index, ADDRESS, done).await?;
    Ok(Ends { near, far })
}

/// Makes a device of the host's, which has to be there, as it should be, and sets it up.
pub(crate) async fn ensure_end(
    handle: &Handle,
    name: &str,
    shape: &Shape,
    done: &mut Vec<&'static str>,
) -> Result<End, LinkError> {
    let found = find(handle, name).await?;
    let found = found.ok_or_else(|| LinkError::Missing(name.to_owned()))?;
    let Shape { mac, mtu, arp } = *shape;
    let as_wanted = found.mac == mac
        && found.mtu == mtu
        && found.up
        && found.arp == arp
        && found.rp_filter == RP_FILTER_LOOSE
        && (!arp || found.arp_announce == ARP_ANNOUNCE_OWN);
    if !as_wanted {
        let mut configuration = InetDevConf::default();
        configuration.rp_filter = RP_FILTER_LOOSE;
        configuration.arp_announce = if arp { ARP_ANNOUNCE_OWN } else { 0 };
        let configuration = AfSpecUnspec::Inet(vec![AfSpecInet::DevConfRequest(configuration)]);
        let change = LinkUnspec::new_with_index(found.index)
            .mtu(mtu)
            .address(mac.to_vec())
            .arp(arp)
            .append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![configuration]))
            .build();
        let set = handle.link().set(change).execute().await;
        set.map_err(LinkError::netlink("configure", name))?;
        forgo_ipv6(handle, found.index, name).await?;
        let up = LinkUnspec::new_with_index(found.index).up().build();
        let set = handle.link().set(up).execute().await;
        set.map_err(LinkError::netlink("set up", name))?;
        done.push("configured a device");
    }
    Ok(End {
        index: found.index,
        mac,
    })
}

/// Gives a device an address, without a route to its neighbours.
pub(crate) async fn ensure_address(
    handle: &Handle,
    name: &str,
    index: u32,
    address: Ipv4Addr,
    done: &mut Vec<&'static str>,
) -> Result<(), LinkError> {
    let held = handle.address().get().set_link_index_filter(index).execute();
    let held: Vec<AddressMessage> = held
        .try_collect()
        .await
        .map_err(LinkError::netlink("list addresses of", name))?;
    let address = IpAddr::V4(address);
    let is_held = held
        .iter()
        .any(|m| m.header.index == index && m.attributes.contains(&AddressAttribute::Local(address)));
    if !is_held {
        let add = handle.address().add(index, address, 32).execute().await;
        add.map_err(LinkError::netlink("give its address to", name))?;
        done.push("gave the address");
    }
    Ok(())
}

async fn find(handle: &Handle, name: &str) -> Result<Option<Found>, LinkError> {
    let mut links = handle.link().get().match_name(name.to_owned()).execute();
    match links.try_next().await.map_err(LinkError::netlink("look up", name)) {
        Ok(link) => Ok(link.as_ref().map(read)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error),
    }
}

async fn delete(handle: &Handle, name: &str, index: u32) -> Result<(), LinkError> {
    let deleted = handle.link().del(index).execute().await;
    match deleted.map_err(LinkError::netlink("delete", name)) {
        // The other end went with the first.
        Err(error) if !error.is_missing() => Err(error),
        _ => Ok(()),
    }
}

fn read(message: &LinkMessage) -> Found {
    let flags = message.header.flags;
    let mut found = Found {
        index: message.header.index,
        veth: false,
        peer: None,
        mac: vec![],
        mtu: 0,
        up: flags.contains(LinkFlags::Up),
        arp: !flags.contains(LinkFlags::Noarp),
        rp_filter: 0,
        arp_announce: 0,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::Link(peer) => found.peer = Some(*peer),
            LinkAttribute::Address(mac) => found.mac.clone_from(mac),
            LinkAttribute::Mtu(mtu) => found.mtu = *mtu,
            LinkAttribute::LinkInfo(infos) => found.veth = infos.contains(&LinkInfo::Kind(InfoKind::Veth)),
            LinkAttribute::AfSpecUnspec(families) => {
                let configuration = families.iter().find_map(configuration).unwrap_or_default();
                found.rp_filter = configuration.rp_filter;
                found.arp_announce = configuration.arp_announce;
            }
            _ => {}
        }
    }
    found
}

fn configuration(family: &AfSpecUnspec) -> Option<InetDevConf> {
    let AfSpecUnspec::Inet(attributes) = family else {
        return None;
    };
    attributes.iter().find_map(|attribute| match attribute {
        AfSpecInet::DevConf(configuration) => Some(*configuration),
        _ => None,
    })
}
