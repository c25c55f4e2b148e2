//! What is to be looked at, in the order in which it is due, and what is under way.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use model::ObjectPath;

/// When an object is due, and how often it failed.
#[derive(Debug, Clone, Copy)]
struct Pending {
    not_before: Instant,
    failures: u32,
}

/// Objects that are to be looked at. Each step costs the same with ten thousand of them as with ten.
#[derive(Debug)]
pub(crate) struct Queue {
    /// Most that are taken while others are under way.
    most: usize,
    pending: BTreeMap<ObjectPath, Pending>,
    /// Those of them that wait for nothing but their time.
    due: BTreeSet<(Instant, ObjectPath)>,
    /// What is under way, how often: an order does not wait for what was begun before.
    running: BTreeMap<ObjectPath, usize>,
}

impl Queue {
    pub(crate) fn new(most: usize) -> Self {
        let (pending, due, running) = Default::default();
        Self { most, pending, due, running }
    }

    /// Wants an object looked at from this time on, whatever was wanted of it before.
    pub(crate) fn want(&mut self, path: ObjectPath, not_before: Instant, failures: u32) {
        if let Some(old) = self.pending.insert(path.clone(), Pending { not_before, failures }) {
            self.due.remove(&(old.not_before, path.clone()));
        }
        if !self.running.contains_key(&path) {
            self.due.insert((not_before, path));
        }
    }

    /// Whether an object is to be looked at.
    pub(crate) fn is_wanted(&self, path: &ObjectPath) -> bool {
        self.pending.contains_key(path)
    }

    /// Takes what is due first, and how often it failed; none while as many as may be are under way.
    pub(crate) fn take(&mut self, now: Instant) -> Option<(ObjectPath, u32)> {
        let (at, _) = self.due.first()?;
        if *at > now || self.is_full() {
            return None;
        }
        let (_, path) = self.due.pop_first()?;
        let failures = self.pending.remove(&path).map_or(0, |pending| pending.failures);
        Some((path, failures))
    }

    /// When something is due; none while that waits for what is under way.
    pub(crate) fn next(&self) -> Option<Instant> {
        let (at, _) = self.due.first()?;
        (!self.is_full()).then_some(*at)
    }

    /// Notes that something is under way. What is wanted of the object waits for its end.
    pub(crate) fn begin(&mut self, path: &ObjectPath) {
        *self.running.entry(path.clone()).or_default() += 1;
        if let Some(pending) = self.pending.get(path) {
            self.due.remove(&(pending.not_before, path.clone()));
        }
    }

    /// Notes its end.
    pub(crate) fn end(&mut self, path: &ObjectPath) {
        let Some(count) = self.running.get_mut(path) else { return };
        *count -= 1;
        if *count > 0 {
            return;
        }
        self.running.remove(path);
        if let Some(pending) = self.pending.get(path) {
            self.due.insert((pending.not_before, path.clone()));
        }
    }

    /// How many objects something is under way for.
    #[cfg(test)]
    pub(crate) fn running(&self) -> usize {
        self.running.len()
    }

    fn is_full(&self) -> bool {
        self.running.len() >= self.most
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn object(name: &str) -> ObjectPath {
        ObjectPath::parse(name).unwrap()
    }

    fn taken(queue: &mut Queue, now: Instant) -> Option<String> {
        queue.take(now).map(|(path, failures)| format!("{path} {failures}"))
    }

    #[test]
    fn what_is_due_first_is_taken_first() {
        let (now, mut queue) = (Instant::now(), Queue::new(9));
        let later = now + Duration::from_secs(1);
        queue.want(object("b"), now, 2);
        queue.want(object("a"), later, 1);
        queue.want(object("c"), now, 0);
        assert_eq!(taken(&mut queue, now).as_deref(), Some("b 2"));
        assert_eq!(taken(&mut queue, now).as_deref(), Some("c 0"));
        assert_eq!((taken(&mut queue, now), queue.next()), (None, Some(later)));
        // Whatever was wanted before: the last one counts.
        queue.want(object("a"), now, 0);
        assert_eq!(taken(&mut queue, now).as_deref(), Some("a 0"));
        assert_eq!((taken(&mut queue, later), queue.next()), (None, None));
    }

    #[test]
    fn an_object_under_way_is_taken_again_after_its_last_end() {
        let (now, mut queue) = (Instant::now(), Queue::new(9));
        queue.want(object("a"), now, 0);
        queue.begin(&object("a"));
        queue.begin(&object("a"));
        queue.want(object("a"), now, 3);
        assert!(queue.is_wanted(&object("a")));
        queue.end(&object("a"));
        assert_eq!((taken(&mut queue, now), queue.next()), (None, None), "one is under way still");
        queue.end(&object("a"));
        assert_eq!(queue.next(), Some(now));
        assert_eq!(taken(&mut queue, now).as_deref(), Some("a 3"));
        assert!(!queue.is_wanted(&object("a")));
    }

    #[test]
    fn no_more_are_taken_than_may_be_under_way() {
        let (now, mut queue) = (Instant::now(), Queue::new(2));
        for name in ["a", "b", "c"] {
            queue.want(object(name), now, 0);
        }
        for name in ["a", "b"] {
            assert_eq!(taken(&mut queue, now), Some(format!("{name} 0")));
            queue.begin(&object(name));
        }
        assert_eq!((taken(&mut queue, now), queue.next()), (None, None));
        queue.end(&object("a"));
        assert_eq!(queue.next(), Some(now));
        assert_eq!(taken(&mut queue, now).as_deref(), Some("c 0"));
    }
}
