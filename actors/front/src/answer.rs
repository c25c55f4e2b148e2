//! What a client is answered, whichever HTTP it speaks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use mail::requests::Outcome;
use mail::stream::Item;
use serde_json::Value;
use tokio::sync::mpsc;
use web::deployed::Bad;
use wire::Prepared;

use crate::shared::{Share, Shared};
use crate::tenure::{JUDGED, Tenure};

/// JSON, as all but streams are answered.
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// How the items of a stream are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Responses that are pushed.
    Pushed,
    /// Server-sent events.
    Events,
    /// A line each.
    Lines,
}

impl Form {
    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Pushed => "application/json",
            Self::Events => "text/event-stream",
            Self::Lines => "application/x-ndjson",
        })
    }

    /// An item as the body carries it; none for a sign of life that this form has no word for.
    pub(crate) fn write(self, count: &mut u64, item: &Item) -> Option<Bytes> {
        let text = &item.text;
        match self {
            // Where it is, without an item: who comes back begins there.
            Self::Events
                if text.is_empty()
                    && let Some(id) = item.id() =>
            {
                Some(format!("id: {id}\n\n").into())
            }
            Self::Events if text.is_empty() => Some(Bytes::from_static(b":\n\n")),
            _ if text.is_empty() => None,
            Self::Events => {
                *count += 1;
                let id = item.id().unwrap_or_else(|| count.to_string());
                Some(format!("id: {id}\ndata: {text}\n\n").into())
            }
            Self::Lines => Some(format!("{text}\n").into()),
            Self::Pushed => Some(Bytes::copy_from_slice(text.as_bytes())),
        }
    }
}

/// A stream of items, and its place among all of them.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) form: Form,
    pub(crate) items: mpsc::Receiver<Item>,
    /// Whether changes of which nothing is left are passed over.
    pub(crate) is_brief: bool,
    /// When it had something to say last, and when it was judged last.
    said: Instant,
    judged: Instant,
    held: Held,
}

/// What a stream holds until it ends.
#[derive(Debug, Default)]
pub(crate) struct Held {
    #[expect(dead_code, reason = "held until the stream ends")]
    pub(crate) share: Share,
    /// None: nothing ends it.
    pub(crate) tenure: Option<Tenure>,
}

/// Begins a change of which nothing is left.
const NOTHING_LEFT: &str = "{\"data\":[],\"id\":";

/// Silence after which a stream shows that it lives.
const SILENCE: Duration = Duration::from_secs(15);

impl Stream {
    fn new(form: Form, items: mpsc::Receiver<Item>, held: Held) -> Self {
        let now = Instant::now();
        Self { form, items, is_brief: false, said: now, judged: now, held }
    }

    /// The next item, a sign of life after a silence; none at the end, and none once its user lost what it needs.
    pub(crate) async fn next(&mut self) -> Option<Item> {
        loop {
            let pause = if self.held.tenure.is_some() { JUDGED } else { SILENCE };
            let item = tokio::time::timeout(pause, self.items.recv()).await;
            if let Some(tenure) = &mut self.held.tenure
                && self.judged.elapsed() >= JUDGED
            {
                self.judged = Instant::now();
                if !tenure.holds() {
                    log::info!("a stream ends: its user lost what it needs");
                    return None;
                }
            }
            let item = match item {
                Ok(item) => item?,
                Err(_) if self.said.elapsed() < SILENCE => continue,
                Err(_) => "".into(),
            };
            if !(self.is_brief && item.text.starts_with(NOTHING_LEFT)) {
                self.said = Instant::now();
                return Some(item);
            }
        }
    }
}

/// What follows the headers.
#[derive(Debug)]
pub(crate) enum Content {
    /// These texts, one after the other.
    Texts(Vec<Text>),
    Stream(Stream),
}

/// A text that may have to be inflated first.
#[derive(Debug)]
pub(crate) enum Text {
    Plain(Bytes),
    Kept(Arc<Prepared>),
}

impl Text {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Plain(bytes) => bytes.len(),
            Self::Kept(body) => body.len(),
        }
    }

    /// Its bytes. None where the daemon ends meanwhile.
    pub(crate) async fn bytes(self, shared: &Shared) -> Option<Bytes> {
        match self {
            Self::Plain(bytes) => Some(bytes),
            Self::Kept(body) => {
                let _turn = shared.turn().await?;
                let inflate = move || Bytes::from(body.json().into_owned());
                link::heavy::apart(inflate).await
            }
        }
    }
}

/// What a client is answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) content: Content,
}

/// The plain text of a body, without a copy.
struct Plain(Arc<Prepared>);

impl AsRef<[u8]> for Plain {
    fn as_ref(&self) -> &[u8] {
        self.0.plain().unwrap_or_default()
    }
}

fn text_of(body: &Arc<Prepared>) -> Text {
    match body.plain() {
        Some(_) => Text::Plain(Bytes::from_owner(Plain(body.clone()))),
        None => Text::Kept(body.clone()),
    }
}

impl Answer {
    /// A status and a text.
    pub(crate) fn new(status: u16, content_type: HeaderValue, text: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![(CONTENT_TYPE, content_type)],
            content: Content::Texts(vec![Text::Plain(text.into())]),
        }
    }

    /// A status and nothing else.
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: vec![], content: Content::Texts(vec![]) }
    }

    /// The reply of a request, with the status that it stands for. Nothing at all is `{}`.
    pub(crate) fn of_reply(reply: &Value) -> Self {
        let status = web::status::of_reply(reply);
        match reply {
            Value::Null => Self::new(status, JSON, "{}"),
            reply => Self::of_prepared(status, &Arc::new(Prepared::new(reply))),
        }
    }

    fn of_prepared(status: u16, body: &Arc<Prepared>) -> Self {
        let texts = match body.parts() {
            [] => vec![text_of(body)],
            parts => parts.iter().map(text_of).collect(),
        };
        Self { status, headers: vec![(CONTENT_TYPE, JSON)], content: Content::Texts(texts) }
    }

    /// What a request was answered, in the form that its client takes.
    pub(crate) fn of_outcome(outcome: Outcome, form: Form, held: Held) -> Self {
        match outcome {
            Outcome::Json(reply) => Self::of_reply(&reply),
            Outcome::Prepared(body) => Self::of_prepared(200, &body),
            Outcome::Nothing => Self::of_reply(&Value::Null),
            Outcome::Stream(items) => {
                let mut headers = vec![(CONTENT_TYPE, form.content_type())];
                if form == Form::Events {
                    headers.push((CACHE_CONTROL, HeaderValue::from_static("no-cache")));
                }
                Self {
                    status: 200,
                    headers,
                    content: Content::Stream(Stream::new(form, items, held)),
                }
            }
        }
    }

    /// Bytes of the content; none for a stream.
    pub(crate) fn length(&self) -> Option<usize> {
        match &self.content {
            Content::Texts(texts) => Some(texts.iter().map(Text::len).sum()),
            Content::Stream(_) => None,
        }
    }
}

impl From<Bad> for Answer {
    fn from(bad: Bad) -> Self {
        Self { status: bad.status, ..Self::of_reply(&bad.reply) }
    }
}
