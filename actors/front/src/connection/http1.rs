//! HTTP/1.1: one request after the other, with the answer between.

use std::io;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, timeout, timeout_at};
use web::deployed::Bad;
use web::http1::{self, Length};

use crate::answer::{Answer, Content, Form, Stream};
use crate::body::{Broken, Client};
use crate::exchange::{self, internal_error};
use crate::head::Head;
use crate::patience;
use crate::peer::Peer;
use crate::refusal::late;

/// Most bytes that come before they are asked for: the rest stays with the client.
const MOST_EARLY: usize = http1::MOST_HEAD;

/// Bytes up to which pieces are copied together: what a record of TLS has room for.
const TOGETHER: usize = 16 << 10;

/// A connection, and what came of it that is not read yet.
struct Talk<IO> {
    io: IO,
    buffer: Vec<u8>,
}

/// Serves a connection of which `first` came already.
pub(super) async fn serve<IO: AsyncRead + AsyncWrite + Unpin>(
    io: IO,
    first: Vec<u8>,
    peer: &Rc<Peer>,
) -> io::Result<()> {
    let mut talk = Talk { io, buffer: first };
    let mut wait = patience::HEAD;
    loop {
        let head = match talk.head(wait).await? {
            Some(Ok(head)) => head,
            Some(Err(bad)) => {
                let is_late = bad.status == 408;
                talk.send(Answer::from(bad), false, false, peer).await?;
                talk.finish().await?;
                return if is_late { Err(late()) } else { Ok(()) };
            }
            None => return Ok(()),
        };
        if !talk.exchange(head, peer).await? {
            return talk.finish().await;
        }
        wait = peer.shared.mail.gate.load().listener.idle_timeout;
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Talk<IO> {
    /// The head of the next request; none at the end. Its first byte may take `patience`.
    async fn head(&mut self, patience: Duration) -> io::Result<Option<Result<http1::Head, Bad>>> {
        let mut deadline = Instant::now() + patience;
        let mut is_begun = false;
        loop {
            if !self.buffer.is_empty() {
                match http1::read_head(&self.buffer) {
                    Err(bad) => return Ok(Some(Err(bad))),
                    Ok(Some((head, length))) => {
                        self.buffer.drain(..length);
                        return Ok(Some(Ok(head)));
                    }
                    Ok(None) if !is_begun => {
                        is_begun = true;
                        deadline = Instant::now() + patience::HEAD;
                    }
                    Ok(None) => {}
                }
            }
            match timeout_at(deadline, self.fill()).await {
                Ok(Ok(1..)) => {}
                Ok(read) => return read.map(|_| None),
                Err(_) if is_begun => {
                    return Ok(Some(Err(Bad::of(408, "the request did not arrive in time"))));
                }
                Err(_) => return Ok(None),
            }
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.io.read_buf(&mut self.buffer).await
    }

    /// Answers one request. False: the connection ends.
    async fn exchange(&mut self, head: http1::Head, peer: &Rc<Peer>) -> io::Result<bool> {
        let (is_new, is_kept) = (head.is_new, head.is_kept);
        let is_head = head.method == "HEAD";
        let body = http1::Body::new(head.length);
        let waits = head.waits && head.length != Length::Bytes(0);
        let mut client = Sender { talk: self, body, waits };
        let authority = http1::values(&head.fields, "host").next().map(str::to_owned);
        let head = Head {
            method: head.method,
            target: head.target.into(),
            authority,
            fields: head.fields,
            takes_pushes: false,
            asked: std::cell::Cell::default(),
        };
        let answered = exchange::answer(peer, head, &mut client);
        let answered = AssertUnwindSafe(answered).catch_unwind().await;
        let Some(answer) = answered.unwrap_or_else(|_| Some(internal_error())) else {
            return Ok(false);
        };
        // What was not read cannot be told from the next request.
        let is_kept = is_kept && client.body.is_done();
        let is_stream = matches!(answer.content, Content::Stream(_));
        let is_kept = is_kept && (is_new || !is_stream);
        self.send_as(answer, is_head, is_kept, is_new, peer).await?;
        Ok(is_kept)
    }

    async fn send(
        &mut self,
        answer: Answer,
        is_head: bool,
        is_kept: bool,
        peer: &Rc<Peer>,
    ) -> io::Result<()> {
        self.send_as(answer, is_head, is_kept, true, peer).await
    }

    async fn send_as(
        &mut self,
        answer: Answer,
        is_head: bool,
        is_kept: bool,
        is_new: bool,
        peer: &Rc<Peer>,
    ) -> io::Result<()> {
        let length = answer.length();
        let status = answer.status;
        let mut text =
            format!("HTTP/1.1 {status} {}\r\nserver: om\r\n", web::status::reason(status));
        for (name, value) in &answer.headers {
            let value = String::from_utf8_lossy(value.as_bytes());
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        match length {
            _ if status == 204 || status == 304 => {}
            Some(length) => text.push_str(&format!("content-length: {length}\r\n")),
            None if is_new => text.push_str("transfer-encoding: chunked\r\n"),
            None => {}
        }
        if !is_kept {
            text.push_str("connection: close\r\n");
        }
        text.push_str("\r\n");
        let mut head = text.as_bytes();
        match answer.content {
            _ if is_head => {}
            Content::Texts(texts) => {
                for text in texts {
                    let bytes = text.bytes(&peer.shared).await.ok_or(io::ErrorKind::BrokenPipe)?;
                    self.write_together(&[std::mem::take(&mut head), &bytes]).await?;
                }
            }
            Content::Stream(stream) => {
                self.write(std::mem::take(&mut head)).await?;
                self.stream(stream, is_new).await?;
            }
        }
        self.write(head).await?;
        self.io.flush().await
    }

    /// Sends a stream until either side ends it.
    async fn stream(&mut self, mut stream: Stream, is_new: bool) -> io::Result<()> {
        let form = if stream.form == Form::Pushed { Form::Lines } else { stream.form };
        let mut number = 0;
        loop {
            let item = tokio::select! {
                item = stream.next() => item,
                () = self.gone() => return Err(io::ErrorKind::BrokenPipe.into()),
            };
            let Some(item) = item else { break };
            let Some(bytes) = form.write(&mut number, &item) else { continue };
            if is_new {
                let length = format!("{:x}\r\n", bytes.len());
                self.write_together(&[length.as_bytes(), &bytes, b"\r\n"]).await?;
            } else {
                self.write(&bytes).await?;
            }
            self.io.flush().await?;
        }
        drop(stream);
        if is_new { self.write(b"0\r\n\r\n").await } else { Ok(()) }
    }

    /// Writes pieces one after the other: in one call, and over TLS in one record, where they are short.
    async fn write_together(&mut self, pieces: &[&[u8]]) -> io::Result<()> {
        if pieces.iter().map(|piece| piece.len()).sum::<usize>() <= TOGETHER {
            return self.write(&pieces.concat()).await;
        }
        for piece in pieces {
            self.write(piece).await?;
        }
        Ok(())
    }

    /// Writes all of it, unless the client does not read.
    async fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = timeout(patience::READER, self.io.write(bytes)).await;
            match written.map_err(|_| late())?? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                count => bytes = &bytes[count..],
            }
        }
        Ok(())
    }

    /// Returns when the client ends the connection. What it sends meanwhile is kept, up to a bound.
    async fn gone(&mut self) {
        while self.buffer.len() < MOST_EARLY {
            if !matches!(self.fill().await, Ok(1..)) {
                return;
            }
        }
        std::future::pending().await
    }

    /// Ends the connection. Unread bytes would make the system reset it and the client lose its answer, so some are read.
    async fn finish(&mut self) -> io::Result<()> {
        self.io.shutdown().await?;
        let drained = async {
            for _ in 0..64 {
                self.buffer.clear();
                if self.fill().await? == 0 {
                    break;
                }
            }
            Ok(())
        };
        timeout(Duration::from_secs(1), drained).await.unwrap_or(Ok(()))
    }
}

/// The client of one request.
struct Sender<'a, IO> {
    talk: &'a mut Talk<IO>,
    body: http1::Body,
    /// It waits for a word before it sends the body.
    waits: bool,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Client for Sender<'_, IO> {
    async fn piece(&mut self) -> Option<Result<Bytes, Broken>> {
        if std::mem::take(&mut self.waits)
            && self.talk.write(b"HTTP/1.1 100 Continue\r\n\r\n").await.is_err()
        {
            return Some(Err(Broken::Gone));
        }
        while !self.body.is_done() {
            if self.talk.buffer.is_empty() && !matches!(self.talk.fill().await, Ok(1..)) {
                return Some(Err(Broken::Gone));
            }
            let mut piece = vec![];
            match self.body.read(&self.talk.buffer, &mut piece) {
                Ok(taken) => _ = self.talk.buffer.drain(..taken),
                Err(bad) => return Some(Err(Broken::Bad(bad))),
            }
            if !piece.is_empty() {
                return Some(Ok(piece.into()));
            }
        }
        None
    }

    async fn gone(&mut self) {
        self.talk.gone().await;
    }
}
