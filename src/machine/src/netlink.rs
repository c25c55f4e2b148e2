//! What the kernel tells of addresses and links as they change (netlink(7), rtnetlink(7)).

use std::io;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, bind, recv, socket_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::descriptor;

/// Groups of the kernel's messages: links, addresses of IPv4 and of IPv6.
const LINK: u32 = 0x1;
const IPV4_IFADDR: u32 = 0x10;
const IPV6_IFADDR: u32 = 0x100;

/// Changes of addresses and links, in the event loop of their thread.
#[derive(Debug)]
pub struct Changes(AsyncFd<OwnedFd>);

impl Changes {
    /// Has the kernel tell of them from now on.
    ///
    /// # Errors
    ///
    /// The kernel, or who confines this process, does not let it ask.
    pub fn follow() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        // No protocol: that of routes.
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
        bind(&socket, &SocketAddrNetlink::new(0, LINK | IPV4_IFADDR | IPV6_IFADDR))?;
        Ok(Self(descriptor::follow(socket, Interest::READABLE)?))
    }

    /// Returns when something changed. What does not matter here: whoever is told looks himself, also where messages were
    /// lost because there were too many.
    ///
    /// # Errors
    ///
    /// The kernel tells nothing any more.
    pub async fn next(&self) -> io::Result<()> {
        let mut buffer = [0; 8 << 10];
        loop {
            let mut ready = self.0.readable().await?;
            let mut is_any = false;
            loop {
                match recv(&self.0, &mut buffer[..], RecvFlags::empty()) {
                    // Lost: some were there.
                    Ok(_) | Err(Errno::NOBUFS) => is_any = true,
                    Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => break,
                    Err(error) => return Err(error.into()),
                }
            }
            ready.clear_ready();
            if is_any {
                return Ok(());
            }
        }
    }
}
