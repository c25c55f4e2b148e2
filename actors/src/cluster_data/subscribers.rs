//! Subscribers of events: who gets which document.

use std::sync::Arc;

use model::ObjectPath;
use monitor::Ops;
use tokio::sync::mpsc;

use super::ObjectFilter;

/// Documents that wait for one subscriber before it loses some.
const QUEUE: usize = 256;

struct Subscriber {
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

/// All subscribers.
#[derive(Default)]
pub(super) struct Subscribers {
    list: Vec<Subscriber>,
    /// Documents lost by subscribers that did not read.
    lost: u64,
}

impl std::fmt::Debug for Subscribers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subscribers")
            .field("count", &self.list.len())
            .field("lost", &self.lost)
            .finish()
    }
}

impl Subscribers {
    /// Whether nobody listens. Forgets those who went away.
    pub(super) fn is_empty(&mut self) -> bool {
        self.list.retain(|subscriber| !subscriber.queue.is_closed());
        self.list.is_empty()
    }

    /// Adds one, with its first document.
    pub(super) fn add(
        &mut self,
        filter: Option<ObjectFilter>,
        first: Option<String>,
    ) -> mpsc::Receiver<Arc<str>> {
        let (queue, receiver) = mpsc::channel(QUEUE);
        let subscriber = Subscriber { filter, queue };
        let mut lost = 0;
        if first.is_none_or(|document| subscriber.send(document.into(), &mut lost)) {
            self.list.push(subscriber);
        }
        receiver
    }

    /// Tells an event about an object, or about none.
    pub(super) fn event(&mut self, path: Option<&ObjectPath>, document: &str) {
        let document: Arc<str> = document.into();
        let lost = &mut self.lost;
        self.list.retain(|subscriber| {
            !subscriber.wants(path) || subscriber.send(document.clone(), lost)
        });
    }

    /// Tells a patch, to each what it wants of it. The document is sent even if nothing is left: its id counts.
    pub(super) fn patch(&mut self, id: u64, ts: f64, ops: &[(Option<ObjectPath>, Ops)]) {
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
