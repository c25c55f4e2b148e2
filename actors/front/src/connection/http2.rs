//! HTTP/2: streams side by side, and pushed responses, which deployed clients read events from.

mod sending;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use h2::server::{Connection, SendResponse};
use h2::{Ping, PingPong, Reason, RecvStream};
use http::Request;
use metrics::tallies::Refused;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use web::deployed::Bad;
use web::frames::Frames;

use crate::answer::{Answer, Content, Form};
use crate::body::{Broken, Client};
use crate::connection::http2::sending::Sending;
use crate::connection::watched::{Watch, Watched};
use crate::exchange::{self, internal_error};
use crate::head::Head;
use crate::patience;
use crate::peer::Peer;
use crate::refusal::{late, refused};

/// Streams at once.
const MOST_STREAMS: u32 = 100;

/// Of these, subscriptions.
const MOST_SUBSCRIPTIONS: usize = 16;

/// Bytes that a stream may have on its way to us.
const STREAM_WINDOW: u32 = 64 << 10;

/// The same of a connection.
const CONNECTION_WINDOW: u32 = 1 << 20;

/// Bytes that a stream may have on its way to the client.
const SEND_BUFFER: usize = 64 << 10;

/// Bytes of the headers of a request.
const MOST_HEADERS: u32 = 16 << 10;

/// Bytes of the table of headers.
const HEADER_TABLE: u32 = 4 << 10;

/// Pause between two looks at the clock.
const LOOK: Duration = Duration::from_secs(1);

/// Silence of ours after which the client is asked whether it is there.
const PING_PERIOD: Duration = Duration::from_secs(30);

/// How long it may take to answer.
const PONG_PATIENCE: Duration = Duration::from_secs(20);

/// How long the last word may take to be sent.
const FAREWELL_PATIENCE: Duration = Duration::from_secs(1);

/// What the streams of a connection share.
struct Streams {
    peer: Rc<Peer>,
    watch: Rc<RefCell<Watch>>,
    open: Cell<usize>,
    subscriptions: Cell<usize>,
    /// When the last one ended.
    last: Cell<Instant>,
    /// The connection is to be closed as it is, without a word.
    close: Notify,
}

/// What a look at a connection finds.
enum Found {
    Stream(Box<(Request<RecvStream>, SendResponse<Bytes>)>),
    End,
    Flood,
}

/// Serves a connection of which `first` came already.
pub(super) async fn serve<IO: AsyncRead + AsyncWrite + Unpin>(
    io: IO,
    first: Vec<u8>,
    peer: &Rc<Peer>,
    paths: &[String],
) -> io::Result<()> {
    let watch = Watch::new(Frames::new(paths));
    let io = Watched::new(io, &first, watch.clone());
    drop(first);
    let mut builder = h2::server::Builder::new();
    builder
        .header_table_size(HEADER_TABLE)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_window_size(STREAM_WINDOW)
        .max_concurrent_reset_streams(20)
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(MOST_HEADERS)
        .max_local_error_reset_streams(Some(64))
        .max_pending_accept_reset_streams(20)
        .max_send_buffer_size(SEND_BUFFER);
    let begun = tokio::time::timeout(patience::HEAD, builder.handshake(io)).await;
    let begun = begun.map_err(|_| late())?;
    let mut connection = begun.map_err(|error| match error.is_io() {
        true => broken(&error),
        false => refused(Refused::Preface, &error.to_string()),
    })?;
    let streams = Rc::new(Streams {
        peer: peer.clone(),
        watch,
        open: Cell::new(0),
        subscriptions: Cell::new(0),
        last: Cell::new(Instant::now()),
        close: Notify::new(),
    });
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut liveness = Liveness::new(connection.ping_pong());
    loop {
        tokio::select! {
            found = poll_fn(|cx| look(&mut connection, &streams.watch, cx)) => match found? {
                Found::Stream(stream) => streams.accept(*stream),
                Found::End => return Ok(()),
                Found::Flood => {
                    log::warn!(session = peer.session.id(); "a client floods its connection: it is closed");
                    connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                    farewell(&mut connection).await?;
                    return Err(refused(Refused::Flood, "it floods"));
                }
            },
            () = streams.close.notified() => return Ok(()),
            _ = looks.tick() => {
                if streams.watch.borrow().is_stuck(patience::READER) || liveness.is_over(&streams) {
                    return Err(late());
                }
                if streams.is_idle() {
                    connection.graceful_shutdown();
                    return farewell(&mut connection).await;
                }
            }
        }
    }
}

fn broken(error: &h2::Error) -> io::Error {
    io::Error::other(error.to_string())
}

fn look<IO: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<Watched<IO>, Bytes>,
    watch: &RefCell<Watch>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<Found>> {
    match connection.poll_accept(cx) {
        _ if watch.borrow().is_flood() => Poll::Ready(Ok(Found::Flood)),
        Poll::Pending => Poll::Pending,
        Poll::Ready(None) => Poll::Ready(Ok(Found::End)),
        Poll::Ready(Some(Ok(stream))) => Poll::Ready(Ok(Found::Stream(Box::new(stream)))),
        Poll::Ready(Some(Err(error))) => Poll::Ready(Err(broken(&error))),
    }
}

/// Sends what is left to be said, and takes no more.
async fn farewell<IO: AsyncRead + AsyncWrite + Unpin>(
    connection: &mut Connection<Watched<IO>, Bytes>,
) -> io::Result<()> {
    let closed = poll_fn(|cx| connection.poll_closed(cx));
    _ = tokio::time::timeout(FAREWELL_PATIENCE, closed).await;
    Ok(())
}

/// Whether the client is there, although it says nothing.
struct Liveness {
    pings: Option<PingPong>,
    asked: Option<Instant>,
    heard: Instant,
}

impl Liveness {
    fn new(pings: Option<PingPong>) -> Self {
        Self { pings, asked: None, heard: Instant::now() }
    }

    /// Asks when it is time to. True: it was asked, and says nothing. Only while something is open: what is idle ends anyway.
    fn is_over(&mut self, streams: &Streams) -> bool {
        let Some(pings) = &mut self.pings else { return false };
        if self.asked.is_some() {
            if let Some(Ok(_)) = poll_fn(|cx| pings.poll_pong(cx)).now_or_never() {
                (self.asked, self.heard) = (None, Instant::now());
            }
        } else if streams.open.get() > 0 && self.heard.elapsed() >= PING_PERIOD {
            self.asked = pings.send_ping(Ping::opaque()).is_ok().then(Instant::now);
        }
        self.asked.is_some_and(|asked| asked.elapsed() >= PONG_PATIENCE)
    }
}

impl Streams {
    fn is_idle(&self) -> bool {
        let patience = self.peer.shared.mail.gate.load().listener.idle_timeout;
        self.open.get() == 0 && self.last.get().elapsed() >= patience
    }

    fn accept(self: &Rc<Self>, (request, mut respond): (Request<RecvStream>, SendResponse<Bytes>)) {
        // Work that was begun is not cut short by a reset: it keeps its place until it is done.
        if self.open.get() >= MOST_STREAMS as usize {
            respond.send_reset(Reason::REFUSED_STREAM);
            return;
        }
        self.open.set(self.open.get() + 1);
        let place = Place(self.clone());
        let mut work = Box::pin(async move {
            let served = place.0.serve(request, respond);
            if AssertUnwindSafe(served).catch_unwind().await.is_err() {
                log::error!("a request panicked");
            }
            drop(place);
        });
        // Most are answered at once: those that wait have a task of their own.
        if work.as_mut().now_or_never().is_none() {
            actix_rt::spawn(work);
        }
    }

    async fn serve(&self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        let (parts, body) = request.into_parts();
        let fields = parts.headers.iter().map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        let path_and_query = parts.uri.path_and_query();
        let head = Head {
            method: parts.method.as_str().to_owned(),
            target: path_and_query.map_or("", |it| it.as_str()).into(),
            fields: fields.collect(),
            authority: parts.uri.authority().map(|it| it.as_str().to_owned()),
            takes_pushes: self.watch.borrow_mut().frames().takes_pushes(),
            asked: Cell::default(),
        };
        let is_head = head.method == "HEAD";
        let target = head.target.clone();
        let mut client = StreamClient { body, respond };
        let is_long = target.len() > web::http1::LONGEST_PATH;
        let answer = match is_long {
            true => Some(Bad::of(414, "the path is too long").into()),
            false if parts.headers.len() > web::http1::MOST_FIELDS => {
                Some(Bad::of(431, "there are too many headers").into())
            }
            false => {
                let answered = exchange::answer(&self.peer, head, &mut client);
                let answered = AssertUnwindSafe(answered).catch_unwind().await;
                answered.unwrap_or_else(|_| Some(internal_error()))
            }
        };
        let Some(answer) = answer else { return };
        self.watch.borrow_mut().frames().on_answered();
        let is_pushed =
            matches!(&answer.content, Content::Stream(stream) if stream.form == Form::Pushed);
        let is_stream = matches!(answer.content, Content::Stream(_));
        let answer = match is_stream && self.subscriptions.get() >= MOST_SUBSCRIPTIONS {
            true => Answer::from(Bad::of(429, "too many subscriptions on this connection")),
            false => answer,
        };
        let subscription = Subscription::new(self, is_stream);
        let mut sending = Sending::new(client.respond, &self.peer.shared, target);
        let ended = sending.send(answer, is_head).await;
        drop(subscription);
        // A deployed client whose subscription ends in another way than this hangs, or fails.
        if is_pushed && ended.is_ok() {
            self.close.notify_one();
        }
    }
}

/// The place of a stream among those of its connection.
struct Place(Rc<Streams>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.last.set(Instant::now());
    }
}

/// The place of a subscription.
struct Subscription<'a>(Option<&'a Streams>);

impl<'a> Subscription<'a> {
    fn new(streams: &'a Streams, is_one: bool) -> Self {
        let streams = is_one.then_some(streams);
        if let Some(streams) = streams {
            streams.subscriptions.set(streams.subscriptions.get() + 1);
        }
        Self(streams)
    }
}

impl Drop for Subscription<'_> {
    fn drop(&mut self) {
        if let Some(streams) = self.0 {
            streams.subscriptions.set(streams.subscriptions.get() - 1);
        }
    }
}

/// The client of one stream.
struct StreamClient {
    body: RecvStream,
    respond: SendResponse<Bytes>,
}

impl Client for StreamClient {
    fn is_done(&self) -> bool {
        self.body.is_end_stream()
    }

    async fn piece(&mut self) -> Option<Result<Bytes, Broken>> {
        let piece = self.body.data().await?.map_err(|_| Broken::Gone);
        if let Ok(piece) = &piece {
            // The client may send as much again.
            _ = self.body.flow_control().release_capacity(piece.len());
        }
        Some(piece)
    }

    async fn gone(&mut self) {
        _ = poll_fn(|cx| self.respond.poll_reset(cx)).await;
    }
}
