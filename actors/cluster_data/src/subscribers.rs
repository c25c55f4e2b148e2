//! Subscribers of events: who gets which document. The documents are made outside of the actor, in order: they are as long
//! as the cluster data, and filters look at every object.

use std::cell::LazyCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use model::{ObjectPath, Timestamp};
use tokio::sync::{Mutex, mpsc};

use dataset::snapshot::Snapshot;
use dataset::state::dirty::Dirty;
use link::heavy::Held;
use mail::cluster_data::{ObjectFilter, Subscribe};
use mail::stream::{Item, Since};
use metrics::counts::Counts;

use crate::kept::{self, Document, Kept};

/// Documents that wait for one subscriber before it loses some.
const QUEUE: usize = 256;

/// News that wait to be made into documents before all subscribers lose some: the gap in the ids tells them.
const MOST_NEWS: usize = 256;

/// How long what happened is kept after the last subscriber went away that may come back.
const KEPT_FOR: Duration = Duration::from_secs(600);

/// The number of the last item of this daemon. Of the process: numbers go on when the actor falls.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A snapshot and its time.
pub(super) type Moment = (Arc<Snapshot>, Timestamp);

/// What subscribers are to be told, or who joins them.
pub(super) enum News {
    /// Somebody subscribed, at this moment.
    Subscriber(Box<(Subscriber, Start)>),
    /// An event about an object, or about none, as a document; and when.
    Event(Option<ObjectPath>, String, Box<Moment>),
    /// A publication.
    Patch(Box<Patch>),
}

/// What changed from one snapshot to the next.
pub(super) struct Patch {
    pub(super) old: Arc<Snapshot>,
    pub(super) new: Arc<Snapshot>,
    pub(super) changes: Dirty,
    pub(super) now: Timestamp,
    /// The turns of the large messages that made it: the next one is read once this is told.
    pub(super) turns: Vec<Held>,
}

/// How a subscription begins.
pub(super) struct Start {
    full: bool,
    since: Option<Since>,
    now: Moment,
}

/// Who wants to hear what.
pub(super) struct Subscriber {
    filter: Option<ObjectFilter>,
    queue: mpsc::Sender<Item>,
    /// Whether it is told what it lost.
    gaps: bool,
    /// It lost something, behind this item, and is not told yet.
    behind: Option<u64>,
}

impl Subscriber {
    fn wants(&self, path: Option<&ObjectPath>) -> bool {
        match (&self.filter, path) {
            (Some(filter), Some(path)) => filter(path),
            _ => true,
        }
    }

    /// Hands over a document; false when nobody reads any more. One that does not fit is lost.
    fn send(&mut self, item: Item, lost: &mut u64) -> bool {
        let before = item.number.map_or(0, |number| number.saturating_sub(1));
        match self.queue.try_send(item) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(_)) => {
                *lost += 1;
                if self.gaps {
                    self.behind.get_or_insert(before);
                }
                true
            }
            Err(mpsc::error::TrySendError::Closed(_)) => false,
        }
    }

    /// Whether it lost something, and reads again: all that waited for it is read.
    fn is_to_be_told(&self) -> bool {
        self.behind.is_some() && self.queue.capacity() == QUEUE
    }

    /// Tells all: what it lost first, if it did.
    fn tell_all(
        &mut self,
        gap: Option<(&str, &str)>,
        now: &Moment,
        number: u64,
        lost: &mut u64,
    ) -> bool {
        let (snapshot, at) = now;
        let item = |text: String| Item::numbered(text.into(), number);
        if let Some((reason, from)) = gap {
            let data = serde_json::json!({"reason": reason, "from": from, "to": id(number + 1)});
            let nodename = snapshot.nodename();
            let gap =
                serde_json::json!({"kind": "gap", "nodename": nodename, "ts": at, "data": data});
            if !self.send(item(gap.to_string()), lost) {
                return false;
            }
        }
        let keep = self.filter.as_ref().map(|filter| &**filter as &dyn Fn(&ObjectPath) -> bool);
        let full = format!(
            r#"{{"kind":"full","nodename":"{}","ts":{},"data":{}}}"#,
            snapshot.nodename(),
            at.0,
            snapshot.status_text(keep)
        );
        self.send(item(full), lost)
    }
}

/// The id of an item.
fn id(number: u64) -> String {
    format!("{}.{number}", mail::stream::life())
}

/// All subscribers, with what they are not told yet.
#[derive(Default)]
pub(super) struct Subscribers {
    /// Held by who tells them something, who may outlive the actor.
    crowd: Arc<Mutex<Crowd>>,
    /// To see who went away.
    queues: Vec<mpsc::WeakSender<Item>>,
    news: VecDeque<(u64, News)>,
    is_telling: bool,
    /// Until then somebody may come back.
    awaited: Option<Instant>,
    /// Bytes that are kept for them.
    room: usize,
    counts: Arc<Counts>,
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
    /// Whether nobody listens, and nobody may come back. Forgets those who went away.
    pub(super) fn is_empty(&mut self) -> bool {
        let before = self.queues.len();
        let is_open = |queue: mpsc::Sender<Item>| !queue.is_closed();
        self.queues.retain(|queue| queue.upgrade().is_some_and(is_open));
        if before > self.queues.len() {
            self.with_crowd(|crowd| crowd.list.retain(|subscriber| !subscriber.queue.is_closed()));
            if self.awaited.is_some() {
                self.awaited = Some(Instant::now() + KEPT_FOR);
            }
        }
        if self.queues.is_empty() && self.awaited.is_some_and(|until| until <= Instant::now()) {
            self.awaited = None;
            self.with_crowd(|crowd| crowd.kept.clear());
            // From here on things happen that nobody counts: whoever comes back has missed something.
            NUMBER.fetch_add(1, Ordering::Relaxed);
        }
        self.queues.is_empty() && self.awaited.is_none()
    }

    /// Does this to the subscribers, unless they are told something.
    fn with_crowd(&self, does: impl FnOnce(&mut Crowd)) {
        if let Ok(mut crowd) = self.crowd.try_lock() {
            does(&mut crowd);
        }
    }

    /// The actor fell. What was being told is told on, and what comes is told behind it.
    pub(super) fn on_restart(&mut self) {
        self.is_telling = false;
    }

    /// None yet; what they miss is counted.
    pub(super) fn counting(counts: Arc<Counts>) -> Self {
        Self { counts, ..Self::default() }
    }

    /// So many bytes are kept for those who come back.
    pub(super) fn keep(&mut self, room: usize) {
        self.room = room;
    }

    /// Adds one, from this moment on.
    pub(super) fn add(&mut self, subscribe: Subscribe, now: Moment) -> mpsc::Receiver<Item> {
        let Subscribe { filter, full, gaps, since } = subscribe;
        let (queue, receiver) = mpsc::channel(QUEUE);
        self.queues.push(queue.downgrade());
        if gaps {
            self.awaited = Some(Instant::now() + KEPT_FOR);
        }
        let subscriber = Subscriber { filter, queue, gaps, behind: None };
        let news = News::Subscriber(Box::new((subscriber, Start { full, since, now })));
        self.news.push_back((NUMBER.load(Ordering::Relaxed), news));
        receiver
    }

    /// Keeps what they are to be told.
    pub(super) fn tell(&mut self, news: News) {
        let told =
            self.news.iter().filter(|(_, news)| !matches!(news, News::Subscriber(..))).count();
        // It has a number, told or not: so it is missed.
        let number = NUMBER.fetch_add(1, Ordering::Relaxed) + 1;
        if told < MOST_NEWS {
            self.news.push_back((number, news));
        }
    }

    /// What is to be told now, and to whom; [`Self::on_told`] is to follow. None: nothing, or they are told something already.
    pub(super) fn take(&mut self) -> Option<Telling> {
        if self.news.is_empty() || std::mem::replace(&mut self.is_telling, true) {
            return None;
        }
        let room = if self.awaited.is_some() { self.room } else { 0 };
        let (crowd, counts) = (self.crowd.clone(), self.counts.clone());
        Some(Telling { crowd, counts, news: std::mem::take(&mut self.news), room })
    }

    /// They were told.
    pub(super) fn on_told(&mut self) {
        self.is_telling = false;
    }
}

/// News on their way to the subscribers.
pub(super) struct Telling {
    crowd: Arc<Mutex<Crowd>>,
    counts: Arc<Counts>,
    news: VecDeque<(u64, News)>,
    room: usize,
}

impl Telling {
    /// Tells them, behind all that was on its way before.
    pub(super) async fn run(self) {
        let Self { crowd, counts, news, room } = self;
        let mut crowd = crowd.lock_owned().await;
        let telling = machine::blocking::run(move || {
            crowd.kept.set_room(room);
            crowd.counts = counts;
            let told = catch_unwind(AssertUnwindSafe(|| crowd.tell_all(news)));
            if told.is_err() {
                // Nobody knows who was told what. Each sees the end of its stream, and subscribes again.
                *crowd = Crowd::default();
            }
        });
        _ = telling.await;
    }
}

/// The subscribers, where they are told.
#[derive(Default)]
struct Crowd {
    list: Vec<Subscriber>,
    /// What was told, for those who come back.
    kept: Kept,
    /// Number of the last item that was told.
    last: u64,
    /// Documents lost by subscribers that did not read.
    lost: u64,
    counts: Arc<Counts>,
}

impl Crowd {
    /// Tells news in their order. Blocks, for as long as they are many.
    fn tell_all(&mut self, news: VecDeque<(u64, News)>) {
        for (number, news) in news {
            match news {
                News::Subscriber(joined) => {
                    let (subscriber, start) = *joined;
                    self.add(subscriber, start, number);
                }
                News::Event(path, document, now) => {
                    self.document(number, Document::event(path, document), &now);
                }
                News::Patch(patch) => {
                    let Patch { old, new, changes, now, turns: _turns } = *patch;
                    let mut parts = vec![];
                    changes.tell_ops(&old, &new, |path, ops| {
                        parts.push((path.cloned(), kept::text_of(&ops)));
                    });
                    // All that a peer told before, where it told all of it anew.
                    drop(old);
                    let document = Document::patch(new.generation, now, parts);
                    self.document(number, document, &(new, now));
                }
            }
        }
    }

    /// Begins a subscription: behind the item that it knows, with all, or with what comes.
    fn add(&mut self, mut subscriber: Subscriber, start: Start, number: u64) {
        self.reach(number);
        let lost = &mut self.lost;
        let counts = &self.counts.tallies;
        let is_there = match &start.since {
            Some(since) => match since.number.map(|known| self.kept.since(known, number)) {
                Some(Some(documents)) => documents.into_iter().all(|(number, document)| {
                    let text = document.text(&|path| subscriber.wants(path));
                    text.is_none_or(|text| subscriber.send(Item::numbered(text, number), lost))
                }),
                Some(None) => {
                    let reason = if since.number > Some(number) { "unknown" } else { "evicted" };
                    counts.on_gap(reason);
                    subscriber.tell_all(Some((reason, &since.id)), &start.now, number, lost)
                }
                None => {
                    counts.on_gap(since.reason);
                    subscriber.tell_all(Some((since.reason, &since.id)), &start.now, number, lost)
                }
            },
            None if start.full => subscriber.tell_all(None, &start.now, number, lost),
            None => true,
        };
        if is_there {
            self.list.push(subscriber);
        }
    }

    /// All up to this item was told. If it was not, too much happened at once, and who is there has missed something.
    fn reach(&mut self, number: u64) {
        let before = std::mem::replace(&mut self.last, number);
        if before < number {
            for subscriber in self.list.iter_mut().filter(|subscriber| subscriber.gaps) {
                subscriber.behind.get_or_insert(before);
            }
        }
    }

    /// Tells a document, to each what it wants of it. A patch is sent even if nothing is left: its id counts.
    fn document(&mut self, number: u64, document: Document, now: &Moment) {
        self.reach(number - 1);
        let before = std::mem::replace(&mut self.last, number);
        // Made for the first one who wants it all.
        let whole = LazyCell::new(|| document.whole());
        let lost = &mut self.lost;
        let counts = &self.counts.tallies;
        self.list.retain_mut(|subscriber| {
            if subscriber.is_to_be_told() {
                counts.on_gap("slow");
                let from = id(subscriber.behind.take().unwrap_or(before));
                return subscriber.tell_all(Some(("slow", &from)), now, number, lost);
            }
            if subscriber.behind.is_some() {
                return !subscriber.queue.is_closed();
            }
            let text = match subscriber.filter {
                None => Some(whole.clone()),
                Some(_) => document.text(&|path| subscriber.wants(path)),
            };
            text.is_none_or(|text| subscriber.send(Item::numbered(text, number), lost))
        });
        drop(whole);
        self.kept.push(number, document);
    }
}
