//! `rtnetlink(7)`, as much of it as moving a network device takes.
//!
//! A message is a header, a structure of the family, and attributes, all aligned to four bytes and in the machine's byte
//! order. What the kernel sends is read with checked lengths. Every question has a number, which its answer repeats: one
//! that nobody read, since reading it failed, is not taken for the answer to a later question.

use nix::errno::Errno;
use nix::sys::socket::{self, AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType};
use std::cell::Cell;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_GETADDR: u16 = 22;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP: u16 = 0x300;
const NLM_F_CREATE_EXCL: u16 = 0x600;
const IFLA_IFNAME: u16 = 3;
const IFLA_NET_NS_FD: u16 = 28;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
const IFA_FLAGS: u16 = 8;
const IFA_RT_PRIORITY: u16 = 9;
const IFA_F_NODAD: u32 = 0x02;
const IFA_F_PERMANENT: u32 = 0x80;
const IFA_F_NOPREFIXROUTE: u32 = 0x200;
const IFF_UP: u32 = 1;
const HEADER: usize = 16;
const LINK: usize = 16;
const ADDRESS: usize = 8;
/// So much is read while the answer is looked for. What the kernel may still have for us is much less.
const MOST_DATAGRAMS: u32 = 10_000;

/// A socket that speaks for the network namespace that its thread was in.
pub(crate) struct Netlink {
    socket: OwnedFd,
    /// The number of the last question.
    asked: Cell<u32>,
}

/// A network device.
pub(crate) struct Device {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) is_up: bool,
}

/// A permanent address of global scope: its family and prefix length, and its attributes as they came.
pub(crate) struct Address {
    head: [u8; ADDRESS],
    attributes: Vec<(u16, Vec<u8>)>,
}

impl Netlink {
    /// A socket in the calling thread's network namespace.
    pub(crate) fn open() -> Result<Netlink, Errno> {
        let protocol = SockProtocol::NetlinkRoute;
        // The kernel has answered when the question is sent: nothing is to be waited for, least of all an answer that was lost.
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket::socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
        Ok(Netlink { socket, asked: Cell::new(0) })
    }

    /// The network namespace that it speaks for.
    pub(crate) fn namespace(&self) -> Result<OwnedFd, Errno> {
        const SIOCGSKNS: libc::c_ulong = 0x894c;
        // SAFETY: this request takes no argument and touches no memory.
        let fd = Errno::result(unsafe { libc::ioctl(self.socket.as_raw_fd(), SIOCGSKNS as _) })?;
        // SAFETY: the kernel just made this descriptor.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// The device of that name; `ENODEV` if there is none.
    pub(crate) fn device(&self, name: &str) -> Result<Device, Errno> {
        let mut message = Message::new(RTM_GETLINK, 0, &[0; LINK]);
        message.attribute(IFLA_IFNAME, &c_bytes(name));
        let mut found = Err(Errno::ENODEV);
        self.ask(message, |kind, body| {
            if let (RTM_NEWLINK, Some(index), Some(flags)) = (kind, word(body, 4), word(body, 8)) {
                found = Ok(Device { index, name: name.to_owned(), is_up: flags & IFF_UP != 0 });
            }
        })?;
        found
    }

    /// The device's addresses that must not be lost.
    pub(crate) fn addresses(&self, device: &Device) -> Result<Vec<Address>, Errno> {
        let mut found = Vec::new();
        self.ask(Message::new(RTM_GETADDR, NLM_F_DUMP, &[0; ADDRESS]), |kind, body| {
            if kind == RTM_NEWADDR && word(body, 4) == Some(device.index) {
                found.extend(Address::read(body));
            }
        })?;
        Ok(found)
    }

    /// Moves the device into another namespace, where it is called `name`.
    pub(crate) fn move_device(&self, device: &Device, to: BorrowedFd<'_>, name: &str) -> Result<(), Errno> {
        let mut message = Message::new(RTM_NEWLINK, NLM_F_ACK, &link(device, 0, 0));
        message.attribute(IFLA_NET_NS_FD, &to.as_raw_fd().to_ne_bytes());
        message.attribute(IFLA_IFNAME, &c_bytes(name));
        self.ask(message, |_, _| {})
    }

    /// Brings the device up.
    pub(crate) fn set_up(&self, device: &Device) -> Result<(), Errno> {
        self.ask(Message::new(RTM_NEWLINK, NLM_F_ACK, &link(device, IFF_UP, IFF_UP)), |_, _| {})
    }

    /// Gives the device an address.
    pub(crate) fn add_address(&self, device: &Device, address: &Address) -> Result<(), Errno> {
        let mut head = address.head;
        if let Some(place) = head.get_mut(4..8) {
            place.copy_from_slice(&device.index.to_ne_bytes());
        }
        let mut message = Message::new(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE_EXCL, &head);
        for (kind, value) in &address.attributes {
            message.attribute(*kind, value);
        }
        self.ask(message, |_, _| {})
    }

    /// Sends a request and hands every part of the answer on, until the kernel says that it was all.
    fn ask(&self, message: Message, mut part: impl FnMut(u16, &[u8])) -> Result<(), Errno> {
        let number = self.asked.get().wrapping_add(1);
        self.asked.set(number);
        let request = message.finish(number);
        let is_acknowledged = message_flags(&request) & (NLM_F_ACK | NLM_F_DUMP) != 0;
        socket::send(self.socket.as_raw_fd(), &request, MsgFlags::empty())?;
        let mut buffer = vec![0; 64 << 10];
        for _ in 0..MOST_DATAGRAMS {
            let (count, sender) = match socket::recvfrom::<NetlinkAddr>(self.socket.as_raw_fd(), &mut buffer) {
                Err(Errno::EINTR) => continue,
                received => received?,
            };
            // The kernel is 0. A process that has rights over the network namespace can send as well.
            if sender.is_none_or(|sender| sender.pid() != 0) {
                continue;
            }
            let mut rest = buffer.get(..count).unwrap_or_default();
            let mut is_answered = false;
            while let Some((kind, answers, body, after)) = split(rest) {
                rest = after;
                if answers != number {
                    continue;
                }
                is_answered = true;
                match kind {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => {
                        let errno = word(body, 0).unwrap_or(0) as i32;
                        return if errno == 0 { Ok(()) } else { Err(Errno::from_raw(-errno)) };
                    }
                    kind => part(kind, body),
                }
            }
            if is_answered && !is_acknowledged {
                return Ok(());
            }
        }
        Err(Errno::EAGAIN)
    }
}

impl Address {
    /// Reads an `ifaddrmsg` with its attributes; none if it is a temporary or a link's own one.
    fn read(body: &[u8]) -> Option<Address> {
        let mut head: [u8; ADDRESS] = body.get(..ADDRESS)?.try_into().ok()?;
        let [_, _, flags, scope, ..] = head;
        let mut attributes = attributes(body.get(ADDRESS..)?);
        let long = attributes.iter().find(|(kind, _)| *kind == IFA_FLAGS).and_then(|(_, value)| word(value, 0));
        let flags = long.unwrap_or(flags.into());
        if flags & IFA_F_PERMANENT == 0 || scope != 0 {
            return None;
        }
        attributes.retain(|(kind, _)| matches!(*kind, IFA_ADDRESS | IFA_LOCAL | IFA_BROADCAST | IFA_RT_PRIORITY));
        attributes.push((IFA_FLAGS, (flags & (IFA_F_NODAD | IFA_F_NOPREFIXROUTE)).to_ne_bytes().to_vec()));
        if let Some(short) = head.get_mut(2) {
            *short = 0;
        }
        Some(Address { head, attributes })
    }
}

/// A request under way.
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: u16, body: &[u8]) -> Message {
        let mut bytes = vec![0; 4];
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        bytes.resize(HEADER, 0);
        bytes.extend_from_slice(body);
        Message(bytes)
    }

    /// Values here are names, numbers and addresses: their length fits.
    fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.0.extend_from_slice(&((value.len() + 4) as u16).to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// The whole, as the question of that number.
    fn finish(mut self, number: u32) -> Vec<u8> {
        let length = self.0.len() as u32;
        for (at, value) in [(0, length), (8, number)] {
            if let Some(place) = self.0.get_mut(at..at + 4) {
                place.copy_from_slice(&value.to_ne_bytes());
            }
        }
        self.0
    }
}

fn message_flags(message: &[u8]) -> u16 {
    message.get(6..8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u16::from_ne_bytes)
}

fn link(device: &Device, flags: u32, change: u32) -> [u8; LINK] {
    let mut bytes = [0; LINK];
    let words = [0, device.index, flags, change];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    bytes
}

fn c_bytes(text: &str) -> Vec<u8> {
    text.bytes().chain([0]).collect()
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok().map(u32::from_ne_bytes)
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at.checked_add(2)?)?.try_into().ok().map(u16::from_ne_bytes)
}

/// The first message's type, the number of the question that it answers, its body, and what follows.
fn split(bytes: &[u8]) -> Option<(u16, u32, &[u8], &[u8])> {
    let length = word(bytes, 0)? as usize;
    let body = bytes.get(HEADER..length)?;
    Some((half(bytes, 4)?, word(bytes, 8)?, body, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

fn attributes(mut bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut found = Vec::new();
    while let (Some(length), Some(kind)) = (half(bytes, 0), half(bytes, 2)) {
        let length = usize::from(length);
        let Some(value) = bytes.get(4..length) else { break };
        found.push((kind & 0x3fff, value.to_vec()));
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_short_is_no_message() {
        let mut message = Message::new(RTM_NEWADDR, 0, &[2, 24, 0x80, 0, 7, 0, 0, 0]);
        message.attribute(IFA_LOCAL, &[10, 0, 0, 1]);
        message.attribute(IFA_BROADCAST, &[10, 0, 0]);
        let bytes = message.finish(5);
        let (kind, number, body, rest) = split(&bytes).unwrap();
        assert_eq!((kind, number, rest.len()), (RTM_NEWADDR, 5, 0));
        let address = Address::read(body).unwrap();
        assert_eq!(address.attributes.len(), 3);
        assert_eq!(address.attributes[0], (IFA_LOCAL, vec![10, 0, 0, 1]));
        for end in 0..bytes.len() {
            assert!(split(&bytes[..end]).is_none(), "{end}");
            let _ = Address::read(&bytes[..end]);
            let _ = attributes(&bytes[..end]);
        }
        assert!(split(&[3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).is_none(), "shorter than its header");
    }

    #[test]
    fn the_loopback_device_is_found_and_another_is_not() {
        let netlink = Netlink::open().unwrap();
        let loopback = netlink.device("lo").unwrap();
        assert_eq!((loopback.index, netlink.addresses(&loopback).unwrap().len()), (1, 0), "its scope is the host");
        assert_eq!(netlink.device("corten-none").err(), Some(Errno::ENODEV));
    }

    /// As after a question whose answer could not be read.
    #[test]
    fn an_answer_that_nobody_read_answers_no_other_question() {
        let netlink = Netlink::open().unwrap();
        let unread = |message: Message| {
            netlink.asked.set(netlink.asked.get() + 1);
            let message = message.finish(netlink.asked.get());
            socket::send(netlink.socket.as_raw_fd(), &message, MsgFlags::empty()).unwrap();
        };
        let mut about_none = Message::new(RTM_GETLINK, 0, &[0; LINK]);
        about_none.attribute(IFLA_IFNAME, &c_bytes("corten-none"));
        unread(about_none);
        let loopback = netlink.device("lo").unwrap();
        // Answers in several parts: all links.
        unread(Message::new(RTM_GETLINK, NLM_F_DUMP, &[0; LINK]));
        assert_eq!(netlink.device("corten-none").err(), Some(Errno::ENODEV));
        unread(Message::new(RTM_GETLINK, NLM_F_ACK, &[0; LINK]));
        assert_eq!(netlink.device("lo").unwrap().index, loopback.index);
        assert_eq!(netlink.addresses(&loopback).unwrap().len(), 0);
    }

    #[test]
    fn what_another_process_sends_is_no_answer() {
        let (netlink, other) = (Netlink::open().unwrap(), Netlink::open().unwrap());
        socket::bind(netlink.socket.as_raw_fd(), &NetlinkAddr::new(0, 0)).unwrap();
        let own: NetlinkAddr = socket::getsockname(netlink.socket.as_raw_fd()).unwrap();
        let mut forged = Message::new(NLMSG_ERROR, 0, &(-libc::EIO).to_ne_bytes());
        forged.0.extend_from_slice(&[0; HEADER]);
        let forged = forged.finish(1);
        match socket::sendto(other.socket.as_raw_fd(), &forged, &own, MsgFlags::empty()) {
            Err(Errno::EPERM | Errno::ECONNREFUSED) => return, // only root may
            sent => assert_eq!(sent, Ok(forged.len())),
        }
        assert_eq!(netlink.device("lo").unwrap().index, 1);
    }
}
