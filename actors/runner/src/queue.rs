//! Which instances are to be evaluated, and which are being evaluated.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use model::ObjectPath;
use tokio::sync::oneshot;

/// What is asked of one instance.
#[derive(Debug, Default)]
pub(super) struct Request {
    /// Resources to ask; none for all.
    pub(super) rids: Option<BTreeSet<String>>,
    /// What was found before may no longer hold: an action ran, the configuration changed.
    pub(super) is_fresh: bool,
    /// Who waits for the result.
    pub(super) waiters: Vec<oneshot::Sender<bool>>,
}

impl Request {
    /// Asks for what both ask for.
    fn merge(&mut self, other: Self) {
        self.rids = match (self.rids.take(), other.rids) {
            (Some(mut one), Some(two)) => {
                one.extend(two);
                Some(one)
            }
            _ => None,
        };
        self.is_fresh |= other.is_fresh;
        self.waiters.extend(other.waiters);
    }
}

/// What is under way of one instance: one evaluation at most, and statuses that commands post.
#[derive(Debug, Default)]
struct Turn {
    under_way: usize,
    /// Something was posted meanwhile: what an evaluation finds is older.
    is_overtaken: bool,
}

/// Evaluations asked for and under way. Those of one instance never overlap: what is asked while one runs makes one more.
#[derive(Debug, Default)]
pub(super) struct Queue {
    order: VecDeque<ObjectPath>,
    waiting: BTreeMap<ObjectPath, Request>,
    running: BTreeMap<ObjectPath, Turn>,
    /// Asked for while they run.
    again: BTreeMap<ObjectPath, Request>,
}

impl Queue {
    /// Asks for an evaluation.
    pub(super) fn push(&mut self, path: ObjectPath, request: Request) {
        if self.running.contains_key(&path) {
            match self.again.get_mut(&path) {
                Some(again) => again.merge(request),
                None => _ = self.again.insert(path, request),
            }
        } else if let Some(waiting) = self.waiting.get_mut(&path) {
            waiting.merge(request);
        } else {
            self.order.push_back(path.clone());
            self.waiting.insert(path, request);
        }
    }

    /// Takes the next one to run, if fewer than `limit` run.
    pub(super) fn start(&mut self, limit: usize) -> Option<(ObjectPath, Request)> {
        if self.running.len() >= limit {
            return None;
        }
        let path = self.order.pop_front()?;
        let request = self.waiting.remove(&path)?;
        self.running.entry(path.clone()).or_default().under_way += 1;
        Some((path, request))
    }

    /// A status is posted: it overtakes the evaluation under way, and none begins before [`Self::end`].
    pub(super) fn post(&mut self, path: ObjectPath) {
        let turn = self.running.entry(path).or_default();
        turn.is_overtaken |= turn.under_way > 0;
        turn.under_way += 1;
    }

    /// Whether something was posted since the evaluation under way began.
    pub(super) fn is_overtaken(&self, path: &ObjectPath) -> bool {
        self.running.get(path).is_some_and(|turn| turn.is_overtaken)
    }

    /// An evaluation or a post ended.
    pub(super) fn end(&mut self, path: &ObjectPath) {
        let Some(turn) = self.running.get_mut(path) else { return };
        turn.under_way -= 1;
        if turn.under_way > 0 {
            return;
        }
        self.running.remove(path);
        if let Some(again) = self.again.remove(path) {
            self.push(path.clone(), again);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(name: &str) -> ObjectPath {
        ObjectPath::parse(name).unwrap()
    }

    fn request(rids: Option<&[&str]>) -> Request {
        let rids = rids.map(|rids| rids.iter().map(|rid| (*rid).to_owned()).collect());
        Request { rids, ..Request::default() }
    }

    #[test]
    fn an_instance_is_never_evaluated_twice_at_a_time_and_what_is_asked_meanwhile_makes_one_more() {
        let mut queue = Queue::default();
        queue.push(path("svc1"), request(Some(&["app#1"])));
        queue.push(path("svc1"), request(Some(&["app#2"])));
        let (_, first) = queue.start(4).unwrap();
        assert_eq!(first.rids.unwrap().len(), 2);
        queue.push(path("svc1"), request(Some(&["app#1"])));
        queue.push(path("svc1"), request(None));
        assert!(queue.start(4).is_none());
        queue.end(&path("svc1"));
        let (_, second) = queue.start(4).unwrap();
        assert_eq!(second.rids, None);
        queue.end(&path("svc1"));
        assert!(queue.start(4).is_none());
    }

    #[test]
    fn a_post_overtakes_what_is_under_way_and_what_begins_next_has_seen_it() {
        let mut queue = Queue::default();
        queue.push(path("svc1"), request(None));
        queue.start(4).unwrap();
        assert!(!queue.is_overtaken(&path("svc1")));
        queue.post(path("svc1"));
        assert!(queue.is_overtaken(&path("svc1")));
        queue.push(path("svc1"), request(None));
        queue.end(&path("svc1"));
        assert!(queue.start(4).is_none(), "the post is not through");
        queue.end(&path("svc1"));
        queue.start(4).unwrap();
        assert!(!queue.is_overtaken(&path("svc1")));
    }

    #[test]
    fn no_more_than_allowed_run_and_the_first_asked_comes_first() {
        let mut queue = Queue::default();
        for name in ["svc3", "svc1", "svc2"] {
            queue.push(path(name), request(None));
        }
        assert_eq!(queue.start(2).unwrap().0, path("svc3"));
        assert_eq!(queue.start(2).unwrap().0, path("svc1"));
        assert!(queue.start(2).is_none());
        queue.end(&path("svc3"));
        assert_eq!(queue.start(2).unwrap().0, path("svc2"));
    }
}
