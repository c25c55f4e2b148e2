//! The bytes of a connection: counted for its session, and for HTTP/2 watched frame by frame.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use link::session::Session;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use web::frames::Frames;

/// Bytes of one read.
const READ: usize = 4 << 10;

/// Bytes of room that a connection keeps between two reads.
const KEPT: usize = 512;

/// A stream whose bytes are counted.
pub(super) struct Counted<IO> {
    io: IO,
    session: Arc<Session>,
}

impl<IO> Counted<IO> {
    pub(super) fn new(io: IO, session: Arc<Session>) -> Self {
        Self { io, session }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Counted<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        self.session.on_received(buf.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Counted<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.io).poll_write(cx, bytes))?;
        self.session.on_sent(count);
        Poll::Ready(Ok(count))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, pieces))?;
        self.session.on_sent(count);
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// What is known of the frames of a connection.
pub(super) struct Watch {
    frames: Frames,
    begin: Instant,
    is_flood: bool,
    /// Since then the client takes no more bytes.
    blocked: Option<Instant>,
}

impl Watch {
    pub(super) fn new(frames: Frames) -> Rc<RefCell<Self>> {
        let begin = Instant::now();
        Rc::new(RefCell::new(Self { frames, begin, is_flood: false, blocked: None }))
    }

    pub(super) fn frames(&mut self) -> &mut Frames {
        &mut self.frames
    }

    /// Whether the client sends what costs and brings nothing.
    pub(super) fn is_flood(&self) -> bool {
        self.is_flood
    }

    /// Whether the client began something that it does not end, or does not read for so long.
    pub(super) fn is_stuck(&self, patience: Duration) -> bool {
        self.frames.is_stuck(self.begin.elapsed())
            || self.blocked.is_some_and(|since| since.elapsed() >= patience)
    }

    /// Takes over what the client took, or that it takes nothing now.
    fn on_write(&mut self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Ready(Ok(count)) => {
                self.frames.on_written(*count);
                self.blocked = None;
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => _ = self.blocked.get_or_insert_with(Instant::now),
        }
    }

    /// Takes what came. False: it is a flood.
    fn read(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        self.is_flood = self.frames.read(self.begin.elapsed(), bytes, out).is_err();
        !self.is_flood
    }
}

/// A stream whose frames are watched.
pub(super) struct Watched<IO> {
    io: IO,
    watch: Rc<RefCell<Watch>>,
    /// What is to be read, and how much of it was.
    ready: Vec<u8>,
    taken: usize,
}

impl<IO> Watched<IO> {
    /// `first` came already.
    pub(super) fn new(io: IO, first: &[u8], watch: Rc<RefCell<Watch>>) -> Self {
        let mut ready = vec![];
        watch.borrow_mut().read(first, &mut ready);
        Self { io, watch, ready, taken: 0 }
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Watched<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            let rest = &this.ready[this.taken..];
            if !rest.is_empty() {
                let count = rest.len().min(buf.remaining());
                buf.put_slice(&rest[..count]);
                this.taken += count;
                return Poll::Ready(Ok(()));
            }
            this.taken = 0;
            this.ready.clear();
            // Of a connection that rests, little is kept.
            this.ready.shrink_to(KEPT);
            if this.watch.borrow().is_flood {
                // Nothing more is read: whoever polls looks at the flag.
                return Poll::Pending;
            }
            let mut bytes = [MaybeUninit::uninit(); READ];
            let mut read = ReadBuf::uninit(&mut bytes);
            ready!(Pin::new(&mut this.io).poll_read(cx, &mut read))?;
            if read.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.watch.borrow_mut().read(read.filled(), &mut this.ready);
        }
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Watched<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.watch.borrow_mut().on_write(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, pieces);
        self.watch.borrow_mut().on_write(&written);
        written
    }

    // The head of an answer and its body go in one call.
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
