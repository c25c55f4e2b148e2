//! An answer on its way over HTTP/2.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, SERVER};
use http::{Method, Request, Response, StatusCode, Uri};

use crate::answer::{Answer, Content, Form, Stream};
use crate::patience;
use crate::shared::Shared;

/// Bytes that wait for the client at once.
const PIECE: usize = 16 << 10;

/// Begins the item that tells what is lost.
const GAP: &str = "{\"data\":{\"from\":";

/// The client is gone, or does not read.
#[derive(Debug)]
pub(super) struct Gone;

impl From<h2::Error> for Gone {
    fn from(_: h2::Error) -> Self {
        Self
    }
}

/// One stream that is answered.
pub(super) struct Sending<'a> {
    respond: SendResponse<Bytes>,
    shared: &'a Arc<Shared>,
    /// The path and query that were asked for.
    target: Rc<str>,
}

impl<'a> Sending<'a> {
    pub(super) fn new(
        respond: SendResponse<Bytes>,
        shared: &'a Arc<Shared>,
        target: Rc<str>,
    ) -> Self {
        Self { respond, shared, target }
    }

    /// Sends an answer, without its content to a request for the head alone.
    pub(super) async fn send(&mut self, answer: Answer, is_head: bool) -> Result<(), Gone> {
        let length = answer.length();
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or_default();
        let headers = response.headers_mut();
        headers.insert(SERVER, HeaderValue::from_static("om"));
        headers.extend(answer.headers.into_iter().map(|(name, value)| (Some(name), value)));
        let texts = match answer.content {
            Content::Texts(texts) => texts,
            Content::Stream(stream) => return self.stream(response, stream).await,
        };
        if let Some(length) = length.filter(|length| *length > 0 || !texts.is_empty()) {
            headers.insert(CONTENT_LENGTH, length.into());
        }
        if is_head || texts.is_empty() {
            self.respond.send_response(response, true)?;
            return Ok(());
        }
        let mut out = self.respond.send_response(response, false)?;
        let last = texts.len() - 1;
        for (at, text) in texts.into_iter().enumerate() {
            let bytes = text.bytes(self.shared).await.ok_or(Gone)?;
            write(&mut out, bytes, at == last).await?;
        }
        Ok(())
    }

    /// Sends a stream until either side ends it.
    async fn stream(&mut self, mut response: Response<()>, mut stream: Stream) -> Result<(), Gone> {
        let form = stream.form;
        if form == Form::Pushed {
            response.headers_mut().insert(CONTENT_LENGTH, 2.into());
        }
        let mut out = self.respond.send_response(response, false)?;
        if form == Form::Pushed {
            // The stream stays open: only on an open one can be pushed.
            write(&mut out, Bytes::from_static(b"{}"), false).await?;
        }
        let mut number = 0;
        loop {
            let item = tokio::select! {
                item = stream.next() => item,
                _ = poll_fn(|cx| out.poll_reset(cx)) => return Err(Gone),
            };
            let Some(item) = item else { break };
            if form == Form::Pushed && item.text.starts_with(GAP) {
                // Who takes pushes cannot be told: it comes back, and begins anew.
                break;
            }
            let Some(bytes) = form.write(&mut number, &item) else { continue };
            match form {
                Form::Pushed => self.push(bytes).await?,
                Form::Events | Form::Lines => write(&mut out, bytes, false).await?,
            }
        }
        drop(stream);
        if form != Form::Pushed {
            out.send_data(Bytes::new(), true)?;
        }
        Ok(())
    }

    /// Pushes one item, as the answer to a request like this one.
    async fn push(&mut self, item: Bytes) -> Result<(), Gone> {
        let mut request = Request::new(());
        *request.method_mut() = Method::GET;
        // Absolute, or the promise would lack scheme and authority, which clients refuse.
        let uri = format!("http://localhost{}", self.target);
        *request.uri_mut() = uri.parse().unwrap_or_else(|_| Uri::from_static("http://localhost/"));
        let mut pushed = self.respond.push_request(request)?;
        let mut response = Response::new(());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_LENGTH, item.len().into());
        let mut out = pushed.send_response(response, false)?;
        // One after the other: clients refuse many open ones.
        write(&mut out, item, true).await
    }
}

/// Sends bytes as fast as the client takes them.
async fn write(out: &mut SendStream<Bytes>, mut bytes: Bytes, is_last: bool) -> Result<(), Gone> {
    if bytes.is_empty() && is_last {
        out.send_data(bytes, true)?;
        return Ok(());
    }
    while !bytes.is_empty() {
        out.reserve_capacity(bytes.len().min(PIECE));
        let room = match poll_fn(|cx| out.poll_capacity(cx)).now_or_never() {
            Some(room) => Ok(room),
            None => {
                tokio::time::timeout(patience::READER, poll_fn(|cx| out.poll_capacity(cx))).await
            }
        };
        let Ok(room) = room else {
            out.send_reset(Reason::CANCEL);
            return Err(Gone);
        };
        let room = room.ok_or(Gone)??;
        let piece = bytes.split_to(room.min(bytes.len()));
        let is_end = is_last && bytes.is_empty();
        out.send_data(piece, is_end)?;
    }
    Ok(())
}
