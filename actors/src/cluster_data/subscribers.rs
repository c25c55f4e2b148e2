//! Subscribers of events: who gets which document. The documents are made outside of the actor, in order: they are as long
//! as the cluster data, and filters look at every object.

use std::collections::VecDeque;
use std::sync::Arc;

use model::{ObjectPath, Timestamp};
use monitor::Ops;
use tokio::sync::mpsc;

use super::state::Dirty;
use super::{ObjectFilter, Snapshot};

/// Documents that wait for one subscriber before it loses some.
const QUEUE: usize = 256;

/// News that wait to be made into documents before all subscribers lose some: the gap in the ids tells them.
const MOST_NEWS: usize = 256;

/// What subscribers are to be told, or who joins them.
pub(super) enum News {
    /// Somebody subscribed; from this snapshot on if it is to be told whole.
    Subscriber(Subscriber, Option<(Arc<Snapshot>, Timestamp)>),
    /// An event about an object, or about none, as a document.
    Event(Option<ObjectPath>, String),
    /// A publication.
    Patch(Box<Patch>),
}

/// What changed from one snapshot to the next.
pub(super) struct Patch {
    pub(super) old: Arc<Snapshot>,
    pub(super) new: Arc<Snapshot>,
    pub(super) changes: Dirty,
    pub(super) now: Timestamp,
}

/// Who wants to hear what.
pub(super) struct Subscriber {
    filter: Option<ObjectFilter>,
    queue: mpsc::Sender<Arc<str>>,
}

impl Subscriber {
    fn wants(&self, path: Option<&ObjectPath>) -> bool {
        match (&self.filter, path) {
            (Some(filter), Some(path)) => filter(path),
            _ => true,
        }
    }

    /// Hands over a document; false when nobody reads any more. One that does not fit is lost.
    fn send(&self, document: Arc<str>, lost: &mut u64) -> bool {
        match self.queue.try_send(document) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                *lost += 1;
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }
}

/// All subscribers, with what they are not told yet.
#[derive(Default)]
pub(super) struct Subscribers {
    /// Away while they are told something.
    list: Option<Crowd>,
    /// Kept to see who went away.
    queues: Vec<mpsc::Sender<Arc<str>>>,
    news: VecDeque<News>,
    is_started: bool,
}

impl std::fmt::Debug for Subscribers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscribers")
            .field("count", &self.queues.len())
            .field("news", &self.news.len())
            .finish_non_exhaustive()
    }
}

impl Subscribers {
    /// Whether nobody listens. Forgets those who went away.
    pub(super) fn is_empty(&mut self) -> bool {
        self.queues.retain(|queue| !queue.is_closed());
        if let Some(crowd) = &mut self.list {
            crowd.list.retain(|subscriber| !subscriber.queue.is_closed());
        }
        self.queues.is_empty()
    }

    /// The actor fell: who was being told something is lost with the one who waited for that, and subscribes again.
    pub(super) fn on_restart(&mut self) {
        if self.is_started && self.list.is_none() {
            *self = Self::default();
        }
    }

    /// Adds one; `first`: it is told all of this first.
    pub(super) fn add(
        &mut self,
        filter: Option<ObjectFilter>,
        first: Option<(Arc<Snapshot>, Timestamp)>,
    ) -> mpsc::Receiver<Arc<str>> {
        let (queue, receiver) = mpsc::channel(QUEUE);
        self.queues.push(queue.clone());
        self.news.push_back(News::Subscriber(Subscriber { filter, queue }, first));
        receiver
    }

    /// Keeps what they are to be told.
    pub(super) fn tell(&mut self, news: News) {
        let told = self.news.iter().filter(|news| !matches!(news, News::Subscriber(..))).count();
        if told < MOST_NEWS {
            self.news.push_back(news);
        }
    }

    /// The subscribers and what they are to be told now, to be given [back](Self::give_back). None: nothing, or they are
    /// told something already.
    pub(super) fn take(&mut self) -> Option<(Crowd, VecDeque<News>)> {
        if self.news.is_empty() {
            return None;
        }
        if !std::mem::replace(&mut self.is_started, true) {
            self.list = Some(Crowd::default());
        }
        let crowd = self.list.take()?;
        Some((crowd, std::mem::take(&mut self.news)))
    }

    /// They were told. None: the subscribers were lost, as telling them panicked.
    pub(super) fn give_back(&mut self, crowd: Option<Crowd>) {
        if crowd.is_none() {
            // Each sees the end of its stream, and subscribes again.
            self.queues.clear();
        }
        self.list = Some(crowd.unwrap_or_default());
    }
}

/// The subscribers, where they are told.
#[derive(Default)]
pub(super) struct Crowd {
    list: Vec<Subscriber>,
    /// Documents lost by subscribers that did not read.
    lost: u64,
}

impl Crowd {
    /// Tells news in their order. Blocks, for as long as they are many.
    pub(super) fn tell_all(&mut self, news: VecDeque<News>) {
        for news in news {
            match news {
                News::Subscriber(subscriber, first) => self.add(subscriber, first),
                News::Event(path, document) => self.event(path.as_ref(), document.into()),
                News::Patch(patch) => self.patch(&patch),
            }
        }
    }

    fn add(&mut self, subscriber: Subscriber, first: Option<(Arc<Snapshot>, Timestamp)>) {
        let first = first.map(|(snapshot, now)| {
            let filter = subscriber.filter.as_ref();
            let keep = filter.map(|filter| &**filter as &dyn Fn(&ObjectPath) -> bool);
            format!(
                r#"{{"kind":"full","nodename":"{}","ts":{},"data":{}}}"#,
                snapshot.nodename(),
                now.0,
                snapshot.status_text(keep)
            )
        });
        if first.is_none_or(|document| subscriber.send(document.into(), &mut self.lost)) {
            self.list.push(subscriber);
        }
    }

    fn event(&mut self, path: Option<&ObjectPath>, document: Arc<str>) {
        let lost = &mut self.lost;
        self.list.retain(|subscriber| {
            !subscriber.wants(path) || subscriber.send(document.clone(), lost)
        });
    }

    /// Tells a patch, to each what it wants of it. The document is sent even if nothing is left: its id counts.
    fn patch(&mut self, patch: &Patch) {
        if self.list.is_empty() {
            return;
        }
        let ops = patch.changes.ops(&patch.old, &patch.new);
        let (id, ts) = (patch.new.generation, patch.now.0);
        let document = |keep: &dyn Fn(Option<&ObjectPath>) -> bool| -> Arc<str> {
            let mut all = Ops::new();
            for (_, ops) in ops.iter().filter(|(path, _)| keep(path.as_ref())) {
                all.extend(ops);
            }
            serde_json::json!({"kind": "patch", "id": id, "ts": ts, "data": all.as_slice()})
                .to_string()
                .into()
        };
        let whole = document(&|_| true);
        let lost = &mut self.lost;
        self.list.retain(|subscriber| {
            let text = match subscriber.filter {
                None => whole.clone(),
                Some(_) => document(&|path| subscriber.wants(path)),
            };
            subscriber.send(text, lost)
        });
    }
}
