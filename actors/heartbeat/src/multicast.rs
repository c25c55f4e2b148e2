//! Frames in datagrams to a group, one for all peers.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use model::Alert;
use model::thread::HeartbeatConfig;
use rustix::net::sockopt;
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use wire::heartbeat::multicast::split;

use crate::inbox::{Inbox, Origin, Taken};
use crate::note::{Note, Notes};
use crate::outbox::Outbox;
use dataset::heartbeats::section::Section;

/// Routers that a datagram may pass, as in deployed agents.
const TTL: u32 = 32;

/// Longest datagram.
const LONGEST: usize = 64 << 10;

/// Bytes that may wait in the socket of a receiver: a message of many fragments comes at once.
const RECEIVE_BUFFER: usize = 4 << 20;

/// Fragments sent without a pause, so that the sockets of receivers do not overflow.
const BURST: usize = 16;

/// Timeouts of silence, one's own messages included, after which the group is joined anew: the interface may be another.
const SILENT_TIMEOUTS: u32 = 3;

/// Group, port and interface of a section.
struct Group {
    address: SocketAddrV4,
    intf: Option<String>,
}

impl Group {
    fn of(section: &Section) -> Result<Self, String> {
        let addr = section.keyword("addr").unwrap_or("224.3.29.71");
        let group = addr.parse::<Ipv4Addr>().ok().filter(Ipv4Addr::is_multicast);
        let group = group.ok_or_else(|| format!("{addr} is no IPv4 multicast group"))?;
        let intf = section.keyword("intf").filter(|intf| !intf.is_empty()).map(str::to_owned);
        Ok(Self { address: SocketAddrV4::new(group, section.port()), intf })
    }

    fn tell(&self, source: Option<Ipv4Addr>, notes: &Notes) {
        let source = source.filter(|_| self.intf.is_some()).unwrap_or(Ipv4Addr::UNSPECIFIED);
        let intf = self.intf.as_deref().unwrap_or("any");
        notes.tell(Note::Config(Box::new(HeartbeatConfig {
            addr: Some(self.address.ip().to_string()),
            port: Some(self.address.port()),
            intf: Some(intf.to_owned()),
            src_addr: Some(source.to_string()),
            ..HeartbeatConfig::default()
        })));
        if self.intf.is_none() {
            let text = "no intf is set: the system chooses the interface".to_owned();
            notes.alert("intf", Some(Alert::warning(text)));
        }
    }

    fn socket(&self) -> io::Result<Socket> {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_nonblocking(true)?;
        if let Some(intf) = &self.intf {
            socket.bind_device(Some(intf.as_bytes()))?;
        }
        Ok(socket)
    }

    /// A socket that sends to the group, and the address it sends from.
    fn sender(&self) -> io::Result<(UdpSocket, Option<Ipv4Addr>)> {
        let socket = self.socket()?;
        socket.set_multicast_ttl_v4(TTL)?;
        socket.set_multicast_loop_v4(true)?;
        socket.connect(&SocketAddr::from(self.address).into())?;
        let source = socket.local_addr()?.as_socket_ipv4().map(|address| *address.ip());
        Ok((UdpSocket::from_std(socket.into())?, source))
    }

    /// A socket that receives what is sent to the group.
    fn receiver(&self) -> io::Result<UdpSocket> {
        let socket = self.socket()?;
        // Other agents of this machine, and other clusters, listen to the same group.
        socket.set_reuse_address(true)?;
        // Root may have more than the system allows to others, who get as much as that.
        if sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER).is_err() {
            _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        }
        socket.bind(&SocketAddr::from(self.address).into())?;
        let interface = match &self.intf {
            Some(intf) => {
                let index = rustix::net::netdevice::name_to_index(&socket, intf)?;
                InterfaceIndexOrAddress::Index(index)
            }
            None => InterfaceIndexOrAddress::Address(Ipv4Addr::UNSPECIFIED),
        };
        socket.join_multicast_v4_n(self.address.ip(), &interface)?;
        UdpSocket::from_std(socket.into())
    }

    fn failure(&self, what: &str, error: &io::Error) -> String {
        let intf = self.intf.as_deref().unwrap_or("any interface");
        format!("cannot {what} {} on {intf}: {error}", self.address)
    }
}

/// Sends each beat to the group.
pub(super) async fn transmit(mut outbox: Outbox) -> String {
    let group = match Group::of(&outbox.section) {
        Ok(group) => group,
        Err(reason) => return reason,
    };
    let (socket, source) = match group.sender() {
        Ok(made) => made,
        Err(error) => return group.failure("send to", &error),
    };
    group.tell(source, &outbox.notes);
    loop {
        if outbox.beats.changed().await.is_err() {
            return "nothing is sent any more".to_owned();
        }
        let Some(beat) = outbox.beats.borrow_and_update().clone() else { continue };
        let Some(frame) = beat.common_frame() else { continue };
        let Some(datagrams) = split(frame, &machine::random::random_uuid()) else {
            let text = format!("a message of {} bytes is too long for multicast", frame.len());
            outbox.notes.failed(None, &text);
            outbox.notes.alert("length", Some(Alert::error(text)));
            continue;
        };
        outbox.notes.alert("length", None);
        for (at, datagram) in datagrams.iter().enumerate() {
            if at > 0 && at % BURST == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            if let Err(error) = socket.send(datagram).await {
                return group.failure("send to", &error);
            }
        }
        outbox.notes.tell(Note::BeatToAll { bytes: frame.len() });
    }
}

/// Takes what is sent to the group.
pub(super) async fn receive(inbox: Inbox) -> String {
    let group = match Group::of(inbox.section()) {
        Ok(group) => group,
        Err(reason) => return reason,
    };
    let patience = inbox.section().settings.timeout * SILENT_TIMEOUTS;
    let section = inbox.section().settings.name.clone();
    let mut buffer = vec![0; LONGEST];
    loop {
        let socket = match group.receiver() {
            Ok(socket) => socket,
            Err(error) => return group.failure("receive from", &error),
        };
        let source = group.sender().ok().and_then(|(_, source)| source);
        group.tell(source, inbox.notes());
        loop {
            let (length, source) =
                match tokio::time::timeout(patience, socket.recv_from(&mut buffer)).await {
                    Ok(Ok(received)) => received,
                    Ok(Err(error)) => return group.failure("receive from", &error),
                    Err(_) => break,
                };
            let is_named = inbox.blacklist().is_known(source.ip());
            let taken = inbox.fragments().take(&section, source, is_named, &buffer[..length]);
            let Some(mut completed) = taken else { continue };
            for frame in std::mem::take(&mut completed.frames) {
                let taken = inbox.take(frame, Origin::Datagram(source.ip())).await;
                if let Taken::Heard { .. } = taken {
                    inbox.fragments().on_beat(source);
                }
                if matches!(taken, Taken::Heard { .. } | Taken::Old) {
                    inbox.fragments().on_opened(&section, source, &completed);
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
