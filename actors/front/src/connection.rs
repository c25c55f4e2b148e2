//! A connection: which HTTP it speaks, and its end.

pub(crate) mod http1;
pub(crate) mod http2;
mod watched;

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use mail::sessions::SessionGuard;
use metrics::counts::Transport;
use metrics::tallies::Refused;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use web::frames::PREFACE;

use crate::connection::watched::Counted;
use crate::handshakes::{Accepting, Turn};
use crate::patience;
use crate::peer::{Peer, Secured};
use crate::refusal::{late, refused};
use crate::shared::Shared;

/// Serves a connection of the socket of this node, non-blocking, until it ends. To be spawned on a worker arbiter.
/// `paths` are those that clients call the socket by.
pub(crate) async fn serve_unix(
    stream: std::os::unix::net::UnixStream,
    shared: Arc<Shared>,
    session: SessionGuard,
    paths: Arc<[String]>,
) {
    match tokio::net::UnixStream::from_std(stream) {
        Ok(stream) => serve(stream, shared, session, &paths).await,
        Err(error) => log::debug!(error:% = error; "a connection was lost"),
    }
}

/// Serves a connection over TLS, non-blocking, until it ends. To be spawned on a worker arbiter.
pub(crate) async fn serve_tls(
    stream: std::net::TcpStream,
    shared: Arc<Shared>,
    session: SessionGuard,
    accepting: Accepting,
    turn: Turn,
) {
    session.on_started();
    let stopped = session.clone();
    tokio::select! {
        ended = secured(stream, shared.clone(), session, accepting, turn) => {
            if let Err(error) = ended {
                shared.count_refused(&error);
                log::trace!(session = stopped.id(), error:% = error; "connection closed");
            }
        }
        () = stopped.stopped() => log::debug!(session = stopped.id(); "session stopped"),
    }
}

/// Waits until the whole first record of a client is there: its head tells how long it is.
async fn greeted(stream: &tokio::net::TcpStream) -> io::Result<()> {
    const HEAD: usize = 5;
    const LONGEST: usize = 16 << 10;
    const HANDSHAKE: u8 = 22;
    let mut record = vec![0; HEAD];
    loop {
        let here = stream.peek(&mut record).await?;
        if here == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if here < record.len() {
            // A piece of it: the rest wakes nobody, as what is there is not taken.
            tokio::time::sleep(patience::PIECE).await;
            continue;
        }
        let length = HEAD + usize::from(u16::from_be_bytes([record[3], record[4]]));
        if record[0] != HANDSHAKE {
            return Err(refused(Refused::Preface, "it does not begin as TLS does"));
        }
        // What is too long is refused by who reads it.
        if length > LONGEST || here >= length {
            return Ok(());
        }
        record.resize(length, 0);
    }
}

async fn secured(
    stream: std::net::TcpStream,
    shared: Arc<Shared>,
    session: SessionGuard,
    accepting: Accepting,
    turn: Turn,
) -> io::Result<()> {
    let stream = tokio::net::TcpStream::from_std(stream)?;
    // Who says nothing takes nobody's turn.
    timeout(patience::GREETING, greeted(&stream)).await.map_err(|_| late())??;
    let counted = Counted::new(stream, session.clone());
    let handshake = async {
        let allowed = turn.begin().await.ok_or(io::ErrorKind::ConnectionAborted)?;
        let accepted = TlsAcceptor::from(accepting.config).accept(counted);
        let accepted = tokio::select! {
            accepted = timeout(patience::GREETING, accepted) => accepted.map_err(|_| late())?,
            () = allowed.gives_way() => return Err(refused(Refused::Slow, "others wait")),
        };
        accepted.map_err(|error| match error.kind() {
            // A client that goes away is no refusal.
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => error,
            _ => refused(Refused::Tls, &error.to_string()),
        })
    };
    let io = handshake.await?;
    let told = io.get_ref().1;
    let is_h2 = told.alpn_protocol() == Some(b"h2");
    let chain: Vec<_> = told
        .peer_certificates()
        .unwrap_or_default()
        .iter()
        .map(|it| it.clone().into_owned())
        .collect();
    let secured = Some(Secured::new(chain, Some(accepting.trust)));
    let transport = if is_h2 { Transport::Http2Tls } else { Transport::Http1Tls };
    let peer = Rc::new(Peer { shared, session, transport, secured });
    let _connected = peer.shared.mail.counts.connection(transport);
    if is_h2 {
        http2::serve(io, vec![], &peer, &[]).await
    } else {
        http1::serve(io, vec![], &peer).await
    }
}

async fn serve<IO: AsyncRead + AsyncWrite + Unpin + 'static>(
    io: IO,
    shared: Arc<Shared>,
    session: SessionGuard,
    paths: &[String],
) {
    session.on_started();
    let stopped = session.clone();
    let io = Counted::new(io, stopped.clone());
    tokio::select! {
        ended = converse(io, shared.clone(), session, paths) => {
            if let Err(error) = ended {
                shared.count_refused(&error);
                log::trace!(session = stopped.id(), error:% = error; "connection closed");
            }
        }
        () = stopped.stopped() => log::debug!(session = stopped.id(); "session stopped"),
    }
}

async fn converse<IO: AsyncRead + AsyncWrite + Unpin + 'static>(
    mut io: Counted<IO>,
    shared: Arc<Shared>,
    session: SessionGuard,
    paths: &[String],
) -> io::Result<()> {
    let mut first = vec![];
    let deadline = Instant::now() + patience::HEAD;
    while first.len() < PREFACE.len() && PREFACE.starts_with(&first) {
        let read = timeout_at(deadline, io.read_buf(&mut first)).await;
        if read.map_err(|_| late())?? == 0 {
            return Ok(());
        }
    }
    let is_h2 = first.starts_with(PREFACE);
    let transport = if is_h2 { Transport::Http2Socket } else { Transport::Http1Socket };
    let peer = Rc::new(Peer { shared, session, transport, secured: None });
    let _connected = peer.shared.mail.counts.connection(transport);
    if is_h2 {
        http2::serve(io, first, &peer, paths).await
    } else {
        http1::serve(io, first, &peer).await
    }
}
