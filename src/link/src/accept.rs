//! Binding, and accepting until told otherwise.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use machine::descriptor;

/// Connections that may wait to be accepted: more than deployed agents' 128, so that a burst is not refused.
const BACKLOG: i32 = 4_096;

/// Pause after the process or the system ran out of descriptors or memory.
pub const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Silence of an established connection after which the system looks whether its peer still exists.
const KEEPALIVE: Duration = Duration::from_secs(60);

/// A connection.
#[derive(Debug)]
pub struct Accepted {
    /// Non-blocking.
    pub stream: TcpStream,
    /// Its peer.
    pub address: SocketAddr,
}

/// Why an address cannot be listened on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindError {
    /// Somebody else does.
    InUse,
    /// It is neither an address nor the name of one.
    Unknown(String),
    /// The system says no.
    Refused(String),
}

impl BindError {
    fn of(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::InUse,
            _ => Self::Refused(error.to_string()),
        }
    }
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse => f.write_str("the address is in use by another process"),
            Self::Unknown(text) => write!(f, "not an IP address, nor the name of one: {text}"),
            Self::Refused(text) => f.write_str(text),
        }
    }
}

/// What is listened on.
#[derive(Debug)]
pub struct Bound {
    /// Keywords `listener.addr` and `listener.port`.
    pub wanted: (String, u16),
    /// The address in force.
    pub local: SocketAddr,
}

impl Bound {
    /// Binds the first of `addresses` that can be bound, any address in both families when there is none, IPv4 alone where
    /// there is no IPv6. For port 0, `instead_of_any` is tried.
    pub fn new(
        wanted: &(String, u16),
        addresses: &[IpAddr],
        instead_of_any: u16,
    ) -> Result<(Self, impl Stream<Item = io::Result<Accepted>> + Unpin + use<>), BindError> {
        let port = if wanted.1 == 0 { instead_of_any } else { wanted.1 };
        let listener = Self::probe(addresses, port)?;
        let refused = |error: io::Error| BindError::of(&error);
        let local = listener.local_addr().map_err(refused)?;
        let listener = descriptor::follow(listener, Interest::READABLE).map_err(refused)?;
        Ok((Self { wanted: wanted.clone(), local }, accept_all(listener)))
    }

    /// Listens on the first of `addresses` that can be listened on.
    pub fn probe(addresses: &[IpAddr], port: u16) -> Result<TcpListener, BindError> {
        let listener = match addresses {
            [] => match listen(Ipv6Addr::UNSPECIFIED.into(), port, false) {
                Err(error) if is_without_family(&error) => {
                    listen(Ipv4Addr::UNSPECIFIED.into(), port, false)
                }
                bound => bound,
            },
            [first, others @ ..] => {
                others.iter().fold(listen(*first, port, true), |bound, next| {
                    bound.or_else(|error| listen(*next, port, true).map_err(|_| error))
                })
            }
        };
        listener.map_err(|error| BindError::of(&error))
    }
}

/// The address that keyword `listener.addr` writes: none where it is empty, nothing where it is a name.
pub fn addresses(addr: &str) -> Option<Vec<IpAddr>> {
    if addr.is_empty() {
        return Some(vec![]);
    }
    addr.parse().ok().map(|address| vec![address])
}

/// The addresses of a name, never none. Blocks.
pub fn resolve(name: &str) -> Result<Vec<IpAddr>, BindError> {
    use std::net::ToSocketAddrs as _;
    let unknown = |text: String| BindError::Unknown(text);
    let found = (name, 0).to_socket_addrs().map_err(|error| unknown(error.to_string()))?;
    let addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    if addresses.is_empty() { Err(unknown("it has no address".into())) } else { Ok(addresses) }
}

fn is_without_family(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn listen(address: IpAddr, port: u16, is_v6_only: bool) -> io::Result<TcpListener> {
    let address = SocketAddr::new(address, port);
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(is_v6_only)?;
    }
    socket.set_reuse_address(true)?;
    // Inherited by what is accepted: replies leave at once, and vanished subscribers are noticed.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Every connection, and every error that is ours. Never ends.
fn accept_all(
    listener: AsyncFd<TcpListener>,
) -> impl Stream<Item = io::Result<Accepted>> + Unpin + use<> {
    Box::pin(stream::unfold((listener, false), |(listener, is_exhausted)| async move {
        if is_exhausted {
            tokio::time::sleep(EXHAUSTED_PAUSE).await;
        }
        let accepted = accept(&listener, |listener| {
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let (stream, address) = acceptfrom_with(listener, flags)?;
            let address = address.and_then(|address| SocketAddr::try_from(address).ok());
            let address = address.ok_or(io::ErrorKind::ConnectionAborted)?;
            Ok(Accepted { stream: stream.into(), address })
        });
        let item = accepted.await;
        let is_exhausted = item.is_err();
        Some((item, (listener, is_exhausted)))
    }))
}

/// The next connection, as `take` takes it: non-blocking, and in no event loop, because a worker serves it.
pub async fn accept<L: AsRawFd, T>(
    listener: &AsyncFd<L>,
    take: impl Fn(&L) -> io::Result<T>,
) -> io::Result<T> {
    loop {
        let mut ready = listener.readable().await?;
        match ready.try_io(|listener| take(listener.get_ref())) {
            Ok(Err(error)) if is_peers(&error) => {}
            Ok(accepted) => return accepted,
            // Nobody is there any more: wait for the next one.
            Err(_) => {}
        }
    }
}

/// Errors of a connection rather than of the listener (accept(2), "Error handling").
fn is_peers(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [
        Errno::CONNABORTED,
        Errno::INTR,
        Errno::NETDOWN,
        Errno::PROTO,
        Errno::NOPROTOOPT,
        Errno::HOSTDOWN,
        Errno::NONET,
        Errno::HOSTUNREACH,
        Errno::OPNOTSUPP,
        Errno::NETUNREACH,
        Errno::PERM,
    ]
    .iter()
    .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
